//! What a decision is made from: plain values, without the Kubernetes client.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::DrainReport;

use super::Marks;

/// A fleet as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// What is wanted of it.
    pub fleet: Fleet,
    /// Its Deployments, and the current revision even where its Deployment does not exist yet.
    pub revisions: Vec<Revision>,
    /// Its server pods, those that end included.
    pub pods: Vec<Pod>,
}

/// What is wanted of a fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Pods that are wanted, as the HPA or a person wrote it (`spec.replicas`).
    pub desired: u32,
    /// Pods that always stay (`spec.autoscaling.minReplicas`), even when `desired` says less.
    pub floor: u32,
    /// Nothing new is begun; what is missing is repaired, and drains that run go on (`spec.paused`).
    pub paused: bool,
    /// The fleet is being deleted, in this way.
    pub deletion: Option<Deletion>,
    /// Hash of the revision that the spec makes.
    pub revision: String,
    /// How sockets leave a pod.
    pub policy: Policy,
    /// How a new revision replaces the old one.
    pub rollout: Rollout,
}

impl Fleet {
    /// Pods that shall serve.
    pub fn wanted(&self) -> u32 {
        self.desired.max(self.floor)
    }
}

/// What happens to a deleted fleet's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// All pods drain, then they go.
    Drain,
    /// The pods go at once, with the grace period that they have.
    Immediate,
}

/// How sockets leave a pod (`spec.drain`).
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Time that a pod has to become empty.
    pub deadline: SignedDuration,
    /// Budget of the whole fleet over every cause, sockets per second; `None` for one that follows from
    /// the serving capacity.
    pub reconnects_per_second: Option<f64>,
    /// Free places that the others must have, as a multiple of the sockets to be moved; at least 1.
    pub headroom: f64,
}

/// How a new revision replaces the old one (`spec.rollout`).
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Pods beyond the wanted ones while pods are replaced; at least 1.
    pub max_surge: u32,
    /// Holds the rollout where it is; scaling goes on.
    pub paused: bool,
    /// Pods of old revisions that stay.
    pub partition: u32,
    /// The current revision has not become Ready in time, or is judged bad: while an old one works it gets
    /// no more pods and no more sockets, and those that it has leave.
    pub failed: bool,
}

/// A revision's Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Hash of the template.
    pub hash: String,
    /// When the Deployment was made; the newest of the old revisions takes over while the current one
    /// does not work. `None` where there is no Deployment yet.
    pub created: Option<Timestamp>,
    /// `spec.replicas` as observed or as last applied, whichever is newer; 0 where there is no Deployment
    /// yet.
    pub replicas: u32,
    /// Pods that the Deployment's status counts (`status.replicas`).
    pub status_replicas: u32,
    /// Ready ones among them (`status.readyReplicas`).
    pub status_ready: u32,
    /// This is the Deployment as last applied, and the controllers have seen it:
    /// `status.observedGeneration` is `metadata.generation`.
    pub settled: bool,
    /// The version of the Deployment that was looked at; empty where there is none.
    pub resource_version: String,
}

/// Names one pod, this very one, for an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// Its name.
    pub name: String,
    /// Its UID: precondition of every write.
    pub uid: String,
    /// The version that was looked at: precondition of every patch.
    pub resource_version: String,
    /// Admin endpoint, `None` before the pod has an address.
    pub admin: Option<SocketAddr>,
}

/// A server pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Which one.
    pub id: PodRef,
    /// Hash of its template.
    pub revision: String,
    /// Node it runs on; `None` before it is assigned.
    pub node: Option<String>,
    /// Zone of that node (`topology.kubernetes.io/zone`).
    pub zone: Option<String>,
    /// State of that node.
    pub node_state: NodeState,
    /// When it was made.
    pub created: Timestamp,
    /// How far it has come.
    pub phase: PodPhase,
    /// Whether it is Ready.
    pub ready: bool,
    /// Since when it is Ready or not.
    pub ready_since: Timestamp,
    /// Its server does not run (CrashLoopBackOff, ImagePullBackOff, …): it holds no socket.
    pub broken: bool,
    /// Set once it is being deleted: when the kubelet kills it at the latest (`metadata.deletionTimestamp`).
    pub deleting: Option<Timestamp>,
    /// Somebody asks for it to be drained (`socketfleet.io/drain-requested`).
    pub requested: bool,
    /// What the operator has written on it.
    pub marks: Marks,
    /// Its sockets, when they are known and fresh.
    pub sockets: Option<Sockets>,
    /// What its server last said about its drain.
    pub report: Option<Report>,
    /// Pace, sockets per second, that a call may have set of which the answer was lost.
    /// [`Memory::recall`](super::Memory::recall) fills it in.
    pub unsure: Option<f64>,
}

/// What a server said about its drain, in `/health` or in answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When the answer came.
    pub at: Timestamp,
    /// The answer.
    pub drain: DrainReport,
}

/// State of a pod's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Takes pods, or the pod has no node yet.
    Fine,
    /// Unschedulable, or tainted `NoExecute`: its pods are about to be evicted.
    Cordoned,
    /// Has not been heard of for longer than a hiccup: its pods' sockets are lost.
    Lost,
}

/// How far a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// Not running yet.
    Pending,
    /// Running.
    Running,
    /// Over (`Succeeded` or `Failed`): no longer counted by its ReplicaSet.
    Ended,
}

/// A pod's open sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Open now.
    pub open: u64,
    /// Open at most.
    pub capacity: u64,
}

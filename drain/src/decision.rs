//! What a decision says: numbers for the plan, actions for the executor, words for status and Events.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use socketfleet_api::contract::{DrainReason, DrainRequest, PodDrainPhase};

use super::{Marks, PodRef};

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// `spec.replicas` of each revision's Deployment, for every revision in
    /// [`Observed::revisions`](super::Observed::revisions).
    pub replicas: BTreeMap<String, u32>,
    /// Where `replicas` is lower than observed: on which conditions, and which pods must be those that go.
    /// [`Verifier`](super::Verifier) checks it.
    pub shrinks: Vec<Shrink>,
    /// What to do to pods, in any order.
    pub actions: Vec<Action>,
    /// When to look again at the latest, when nothing is observed before.
    pub requeue_after: Option<Duration>,
    /// A deleted fleet's pods have no sockets left: the finalizer may go.
    pub deleted: bool,
    /// For status, conditions and metrics.
    pub summary: Summary,
}

/// A Deployment that gets smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrink {
    /// Its revision.
    pub revision: String,
    /// UIDs of the pods that may go; none where only replicas that have no pod are taken away.
    pub victims: Vec<String>,
    /// The version of the Deployment that was looked at: precondition of the write. A pod that was deleted
    /// or replaced meanwhile shows in the Deployment's status, and so in this version.
    pub resource_version: String,
}

/// One thing to do to one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The pod.
    pub pod: PodRef,
    /// The thing.
    pub step: Step,
}

/// What to do to a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write its marks, under preconditions on UID and resource version.
    Mark {
        /// The marks as they shall be.
        to: Marks,
        /// What to tell people once it is done.
        note: Option<Note>,
    },
    /// `POST /drain`: start to drain, or change the pace.
    Tell(DrainRequest),
    /// `DELETE /drain`: serve again.
    TakeBack,
    /// Delete it, so that its ReplicaSet replaces it: exactly this one, at an unchanged number of replicas.
    Replace,
}

/// An Event on the fleet and the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Machine-readable, as in `DrainStarted`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Whether somebody should look at it.
    pub warning: bool,
}

/// Where the fleet is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Pods that do not drain, those on order included: `status.replicas`, the base of the HPA's tolerance.
    pub serving: u32,
    /// Of the pods that do not drain, those that are Ready.
    pub ready: u32,
    /// Pods of old revisions that the partition keeps, once no other of them is left; else 0.
    pub kept: u32,
    /// Drains that run, oldest first.
    pub drains: Vec<DrainProgress>,
    /// Why what should happen does not, most important first.
    pub holds: Vec<Hold>,
    /// Open sockets of all pods, as far as they are known.
    pub open_sockets: u64,
    /// Sockets that the serving pods accept.
    pub capacity: u64,
    /// Free places on pods that take new sockets.
    pub free: u64,
    /// The fleet's budget, sockets per second.
    pub budget: f64,
    /// What draining pods may use of it now.
    pub pace: f64,
}

/// A pod's drain, for status.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainProgress {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// How far it is.
    pub phase: PodDrainPhase,
    /// Since when.
    pub since: Timestamp,
    /// What it drains for.
    pub reason: DrainReason,
    /// Why it was chosen.
    pub why: String,
    /// Open sockets when the drain began.
    pub sockets: Option<u64>,
    /// Sockets that are left, when they are known.
    pub remaining: Option<u64>,
    /// Sockets that have been moved, as the server last said; `None` when it does not.
    pub moved: Option<u64>,
    /// Of these, closed because the deadline had come.
    pub cut: u64,
    /// When the drain began.
    pub started: Timestamp,
    /// When what is left is closed.
    pub deadline: Timestamp,
    /// When it should be empty at the present pace.
    pub empty_at: Option<Timestamp>,
}

/// Why something waits.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Hold {
    /// `spec.paused`.
    #[error("the fleet is paused: set spec.paused to false to let drains begin")]
    Paused,
    /// The current revision has no Ready pod.
    #[error("revision {revision} has no Ready pod: the old revision keeps its sockets")]
    RevisionNotReady {
        /// The current revision.
        revision: String,
    },
    /// Socket counts are missing.
    #[error("open sockets of {count} pods are not known ({pod} among them): scale-in is frozen")]
    CountsUnknown {
        /// How many pods.
        count: usize,
        /// One of them.
        pod: String,
    },
    /// The others have no room for a victim's sockets.
    #[error("{pod} holds {sockets} sockets and the other pods have {free} free places: {needed} are needed")]
    NoRoom {
        /// The pod that should drain.
        pod: String,
        /// Its sockets.
        sockets: u64,
        /// Free places on the pods that would take them.
        free: u64,
        /// Free places that are needed.
        needed: u64,
    },
    /// Too few pods are Ready to do without this one.
    #[error("{pod} has to stay until {wanted} other pods are Ready ({ready} are)")]
    TooFewReady {
        /// The pod that should drain.
        pod: String,
        /// Ready pods without it.
        ready: u32,
        /// Pods that are wanted.
        wanted: u32,
    },
    /// The drains that run use the whole budget.
    #[error("{pod} waits for the drains that run: {remaining} sockets leave at {budget:.0}/s")]
    Budget {
        /// The pod that should drain.
        pod: String,
        /// Sockets that are leaving already.
        remaining: u64,
        /// The budget.
        budget: f64,
    },
    /// Drains run, but the others are full.
    #[error("the other pods are full: sockets of draining pods stay until there is room")]
    Full,
    /// A Deployment cannot shrink: the wrong pod might go.
    #[error("an empty pod of revision {revision} stays until {cause}")]
    Unsafe {
        /// The revision.
        revision: String,
        /// What it waits for.
        cause: String,
    },
}

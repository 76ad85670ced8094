use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::{DrainReason, PodDrainPhase};

/// Types of the conditions in [`SocketFleetStatus::conditions`].
pub mod condition {
    /// True: enough pods are Ready for what is wanted.
    pub const READY: &str = "Ready";
    /// True: a rollout, scaling or a drain is under way and gets on. False with reason
    /// `ProgressDeadlineExceeded` or `ConnectErrors`: the rollout has failed, and the old revision serves.
    pub const PROGRESSING: &str = "Progressing";
    /// False: the spec cannot be carried out (a missing Secret, say); the last good state keeps running.
    pub const ACCEPTED: &str = "Accepted";
    /// False: open sockets are not known for all pods; scale-in is frozen, scale-out is not.
    pub const METRICS_AVAILABLE: &str = "MetricsAvailable";
    /// True: pods are being emptied.
    pub const DRAINING: &str = "Draining";
    /// True: a drain should begin or go on and cannot; the message says what blocks it.
    pub const DRAIN_BLOCKED: &str = "DrainBlocked";
    /// True: the managed Redis is Ready, or the fleet has none to run.
    pub const REDIS_READY: &str = "RedisReady";
}

/// What the operator last saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SocketFleetStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// In one word, for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Pods that do not drain; `/scale` gives this number to the autoscaler.
    #[serde(default)]
    pub replicas: i32,

    /// Pods that are Ready and do not drain.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Pods that are being emptied.
    #[serde(default)]
    pub draining_replicas: i32,

    /// Label selector of the fleet's server pods, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Open sockets of all pods, draining ones included.
    #[serde(default)]
    pub open_sockets: i64,

    /// Open sockets that the serving pods accept.
    #[serde(default)]
    pub capacity: i64,

    /// The numbers as `kubectl get` shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<StatusSummary>,

    /// Revision that the spec makes. New sockets go to it, unless its rollout has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,

    /// Revisions that have pods, the current one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionStatus>,

    /// Drains under way, oldest first, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<DrainStatus>,

    /// Drains that have ended, newest first: the last 10, and those whose clients are still coming back, at
    /// most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_drains: Vec<DrainRecord>,

    /// Conditions by the Kubernetes conventions; [`condition`] has the types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a fleet is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// No pod is Ready yet.
    Pending,
    /// All that is wanted is Ready.
    Running,
    /// Pods are being added.
    ScalingOut,
    /// A new revision takes over.
    RollingOut,
    /// Pods are being emptied.
    Draining,
    /// Held by `spec.paused`.
    Paused,
    /// Something does not work: see the conditions.
    Degraded,
    /// The fleet is being deleted.
    Terminating,
}

/// Numbers for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusSummary {
    /// Open sockets, shortened: `26.1k`.
    pub sockets: String,
    /// Open sockets as a share of the capacity: `65%`.
    pub utilization: String,
}

/// A revision: pods of one template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// Hash of the template.
    pub name: String,
    /// Its pods.
    pub replicas: i32,
    /// Its Ready pods.
    pub ready_replicas: i32,
    /// Its open sockets.
    pub open_sockets: i64,
}

/// A drain that has ended: what became of its sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainRecord {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// Why it drained.
    #[schemars(with = "String")]
    pub reason: DrainReason,
    /// When the drain began.
    pub started_at: Time,
    /// When the pod was seen without sockets, or gone.
    pub ended_at: Time,
    /// Sockets that were moved.
    pub moved: i64,
    /// Of these, closed because the deadline had come.
    pub cut: i64,
    /// Sockets whose session was recovered by another server, as those servers count.
    pub recovered: i64,
    /// Half of these were away for at most so many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_p50_ms: Option<i64>,
    /// All but a hundredth of these were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_p99_ms: Option<i64>,
    /// Clients have had a minute to come back: the numbers do not change any more.
    #[serde(default)]
    pub settled: bool,
}

/// A pod that is being emptied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// How far the drain is.
    #[schemars(with = "String")]
    pub phase: PodDrainPhase,
    /// Why it drains.
    #[schemars(with = "String")]
    pub reason: DrainReason,
    /// Why this pod was chosen, and what the drain waits for.
    pub message: String,
    /// Sockets that are left; absent when they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// Sockets that have been moved.
    #[serde(default)]
    pub moved: i64,
    /// Of these, closed because the deadline had come.
    #[serde(default)]
    pub cut: i64,
    /// When the pod should be empty at its present pace; absent while that is 0 or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_at: Option<Time>,
    /// When the drain began.
    pub started_at: Time,
    /// When what is left is closed.
    pub deadline: Time,
}

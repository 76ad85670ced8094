use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How sockets leave a pod before it is removed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.terminationGracePeriodSeconds) || self.deadlineSeconds + 15 <= self.terminationGracePeriodSeconds").message("spec.drain.deadlineSeconds must be at least 15 seconds shorter than spec.drain.terminationGracePeriodSeconds, else an evicted pod is killed in mid-drain: lower deadlineSeconds or raise terminationGracePeriodSeconds").field_path(".deadlineSeconds")
)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// Seconds that a pod has to become empty. What is left then is closed at once; its clients still
    /// recover their session.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub deadline_seconds: i32,

    /// Grace period of the pods, seconds: it bounds the drain of a pod that is deleted or evicted by
    /// somebody else. Default: `deadlineSeconds` + 15. Cluster autoscalers may honour less (600 s is common).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 86_415))]
    pub termination_grace_period_seconds: Option<i32>,

    /// Sockets that may be moved per second, in the whole fleet and over every cause. Default: what lets the
    /// pods that stay take a full pod's sockets within half of the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub reconnects_per_second: Option<i32>,

    /// Free places that the other pods must have, in per cent of the sockets to be moved, before a drain
    /// begins.
    #[serde(default = "default_headroom_percent")]
    #[schemars(range(min = 100, max = 1000))]
    pub headroom_percent: i32,
}

impl Default for DrainSpec {
    fn default() -> Self {
        Self {
            deadline_seconds: default_deadline_seconds(),
            termination_grace_period_seconds: None,
            reconnects_per_second: None,
            headroom_percent: default_headroom_percent(),
        }
    }
}

fn default_deadline_seconds() -> i32 {
    300
}

fn default_headroom_percent() -> i32 {
    110
}

/// How a new revision replaces the old one: new sockets go to the new one only, the old one drains away.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Pods beyond `replicas` while two revisions run: a number or a percentage, rounded up.
    #[serde(default = "default_max_surge")]
    #[x_kube(validation = Rule::new("string(self).matches('^([1-9][0-9]*|([1-9][0-9]?|100)%)$')").message("spec.rollout.maxSurge must be a number of at least 1 or a percentage from 1% to 100%: a new revision needs a pod before the old one may drain"))]
    pub max_surge: IntOrString,

    /// Holds the rollout where it is; scaling goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,

    /// Pods that stay with the old revision, a number or a percentage of `replicas` (rounded up, but one
    /// pod is always left to the new revision below 100%): with `90%` a tenth of the pods is a canary. Lower
    /// it to go on, 0 to finish. Raising it brings no pod back. Without an old revision it means nothing.
    #[serde(default = "default_partition")]
    #[x_kube(validation = Rule::new("string(self).matches('^([0-9]+|([0-9]|[1-9][0-9]|100)%)$')").message("spec.rollout.partition must be a number of at least 0 or a percentage from 0% to 100%: it says how many pods stay with the old revision; use 0 to replace all of them"))]
    pub partition: IntOrString,

    /// Seconds that the new revision has to show a Ready pod, and seconds that all of its pods may be unready
    /// later on. Then the rollout has failed: its pods leave, and the old revision serves on.
    #[serde(default = "default_progress_deadline_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub progress_deadline_seconds: i32,

    /// Share of connects, in percentage points, that the servers of the new revision may refuse beyond what
    /// the old revision's refuse. More, over at least 100 connects, and the rollout has failed. 100: never.
    #[serde(default = "default_max_connect_error_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub max_connect_error_percent: i32,
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            max_surge: default_max_surge(),
            paused: false,
            partition: default_partition(),
            progress_deadline_seconds: default_progress_deadline_seconds(),
            max_connect_error_percent: default_max_connect_error_percent(),
        }
    }
}

fn default_max_surge() -> IntOrString {
    IntOrString::String("25%".into())
}

fn default_partition() -> IntOrString {
    IntOrString::Int(0)
}

fn default_progress_deadline_seconds() -> i32 {
    600
}

fn default_max_connect_error_percent() -> i32 {
    10
}

/// What happens to open sockets when the fleet is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The pods drain within `drain.deadlineSeconds`, then everything goes.
    #[default]
    Drain,
    /// Everything goes at once; the pods still have their grace period.
    Immediate,
}

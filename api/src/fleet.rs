//! `SocketFleet`, version `v1alpha1`.
//!
//! Every field has a default or may be absent, so that `spec: {}` is a whole fleet. What can be refused
//! without looking at the cluster is a CEL rule here: the API server refuses it at once, and
//! [`SocketFleet::validate_cel`] runs the same rules in `socketfleet-operator plan` and before planning.

mod autoscaling;
mod drain;
mod history;
mod network;
mod redis;
mod server;
mod status;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use autoscaling::{AutoscalingSpec, PrometheusSource};
pub use drain::{DeletionPolicy, DrainSpec, RolloutSpec};
pub use history::{
    HISTORY_KEY, RevisionRecord, RolloutFailure, Verdict, accepted_name, previous, read_history,
};
pub use network::{NetworkPolicySpec, ServiceSpec, ServiceType, SessionAffinity};
pub use redis::{ExternalRedis, ManagedRedis, Persistence, RedisSpec, RedisType, WhenDeleted};
pub use server::{ImagePullPolicy, PodOptions, ServerSpec};
pub use status::{
    DrainRecord, DrainStatus, Phase, RevisionStatus, SocketFleetStatus, StatusSummary, condition,
};

pub use crate::contract::AdapterKind;

/// A fleet of Socket.IO servers that scales on open sockets and drains a pod before it removes it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "socketfleet.io",
    version = "v1alpha1",
    kind = "SocketFleet",
    plural = "socketfleets",
    singular = "socketfleet",
    shortname = "sf",
    category = "all",
    namespaced,
    cel,
    derive = "PartialEq",
    status = "SocketFleetStatus",
    doc = "A fleet of Socket.IO servers that scales on open sockets and drains a pod before it removes it.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".spec.replicas",
        description = "Pods that are wanted"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Pods that are Ready and do not drain"
    ),
    printcolumn(
        name = "Sockets",
        type_ = "string",
        json_path = ".status.summary.sockets",
        description = "Open sockets of all pods"
    ),
    printcolumn(
        name = "Capacity",
        type_ = "string",
        json_path = ".status.summary.utilization",
        description = "Open sockets as a share of what the serving pods accept"
    ),
    printcolumn(
        name = "Draining",
        type_ = "integer",
        json_path = ".status.drainingReplicas",
        description = "Pods that are being emptied"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.currentRevision",
        description = "Hash of the pod template that new sockets go to"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message(
        "metadata.name must be at most 40 characters: names of pods and Services are made from it; choose a shorter name"
    ),
    validation = Rule::new("!has(self.spec.autoscaling) || !has(self.spec.autoscaling.targetOpenSockets) || self.spec.autoscaling.targetOpenSockets <= self.spec.server.maxConnections").message(
        "spec.autoscaling.targetOpenSockets must be at most spec.server.maxConnections: lower the target (80 % of maxConnections is the default) or raise maxConnections"
    ).field_path(".spec.autoscaling.targetOpenSockets"),
    // Kubernetes makes a limit the request where there is none.
    validation = Rule::new("!has(self.spec.autoscaling) || !has(self.spec.autoscaling.targetCPUUtilizationPercentage) || (has(self.spec.server.resources.requests) && 'cpu' in self.spec.server.resources.requests) || (has(self.spec.server.resources.limits) && 'cpu' in self.spec.server.resources.limits)").message(
        "spec.autoscaling.targetCPUUtilizationPercentage is a share of the server's CPU request, which is not set: set spec.server.resources.requests.cpu"
    ).field_path(".spec.autoscaling.targetCPUUtilizationPercentage")
)]
#[serde(rename_all = "camelCase")]
pub struct SocketFleetSpec {
    /// Pods that are wanted. With `autoscaling` the HorizontalPodAutoscaler writes it through `/scale`:
    /// leave it out of the manifest then.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 5000))]
    pub replicas: i32,

    /// The Socket.IO server.
    #[serde(default)]
    pub server: ServerSpec,

    /// What is added to the pods: labels, placement, volumes.
    #[serde(default)]
    pub pod: PodOptions,

    /// How the pods share rooms.
    #[serde(default)]
    pub redis: RedisSpec,

    /// Scales `replicas` on open sockets. Absent: the fleet has a fixed size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,

    /// How sockets leave a pod before it is removed.
    #[serde(default)]
    pub drain: DrainSpec,

    /// How a changed server or pod replaces the old one.
    #[serde(default)]
    pub rollout: RolloutSpec,

    /// The Service that clients reach the fleet through.
    #[serde(default)]
    pub service: ServiceSpec,

    /// Who may reach the pods.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// Pods that node drains and other evictions may take away at once: a number or a percentage.
    #[serde(default = "default_max_unavailable")]
    #[x_kube(validation = Rule::new("string(self).matches('^([1-9][0-9]*|([1-9][0-9]?|100)%)$')").message("spec.maxUnavailable must be a number of at least 1 or a percentage from 1% to 100%: with 0 no node could ever be drained"))]
    pub max_unavailable: IntOrString,

    /// Leaves the fleet as it is: no scaling, no rollout, no new drain. What is missing is still repaired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,

    /// What happens to open sockets when the fleet is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn default_replicas() -> i32 {
    3
}

fn default_max_unavailable() -> IntOrString {
    IntOrString::Int(1)
}

impl Default for SocketFleetSpec {
    /// What the API server makes of `spec: {}`.
    fn default() -> Self {
        Self {
            replicas: default_replicas(),
            server: ServerSpec::default(),
            pod: PodOptions::default(),
            redis: RedisSpec::default(),
            autoscaling: None,
            drain: DrainSpec::default(),
            rollout: RolloutSpec::default(),
            service: ServiceSpec::default(),
            network_policy: NetworkPolicySpec::default(),
            max_unavailable: default_max_unavailable(),
            paused: false,
            deletion_policy: DeletionPolicy::default(),
        }
    }
}

impl SocketFleetSpec {
    /// Open sockets for each pod that the autoscaler aims at: `autoscaling.targetOpenSockets`, else 80 % of
    /// `server.maxConnections`; at least 1.
    pub fn target_open_sockets(&self) -> i32 {
        let wanted = self.autoscaling.as_ref().and_then(|a| a.target_open_sockets);
        let default = i64::from(self.server.max_connections) * 4 / 5;
        wanted.unwrap_or_else(|| i32::try_from(default).unwrap_or(i32::MAX)).max(1)
    }
}

/// Resources from names and quantities.
fn resources<const R: usize, const L: usize>(
    requests: [(&str, &str); R],
    limits: [(&str, &str); L],
) -> ResourceRequirements {
    fn map<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, Quantity> {
        pairs.into_iter().map(|(k, v)| (k.to_owned(), Quantity(v.to_owned()))).collect()
    }
    ResourceRequirements { requests: Some(map(requests)), limits: Some(map(limits)), claims: None }
}

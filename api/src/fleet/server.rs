use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract;

/// The Socket.IO server: its image and how it is run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.port != self.adminPort").message("spec.server.adminPort must differ from spec.server.port: choose another port for one of them"),
    validation = Rule::new("!has(self.env) || self.env.all(e, !(e.name in ['REDIS_URL', 'REDIS_PREFIX', 'REDIS_ADAPTER', 'MAX_CONNECTIONS', 'INSTANCE_ID', 'PORT', 'ADMIN_PORT', 'SOCKET_PATH', 'ADMIN_TOKEN_FILE', 'SHUTDOWN_DRAIN_SECONDS']))").message("spec.server.env must not set a variable of the pod contract (REDIS_URL, MAX_CONNECTIONS, PORT, …): the operator sets these from spec.redis, spec.server and spec.drain")
)]
#[serde(rename_all = "camelCase")]
pub struct ServerSpec {
    /// Image that keeps the pod contract. Default: the `socket-server` that the operator was released with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,

    /// When the image is pulled. Default: Kubernetes' own rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Replaces the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,

    /// Arguments of the entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,

    /// Environment of the server, beside the pod contract's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,

    /// Sources of further environment: ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromSource>,

    /// Port of the Socket.IO endpoint, and of `/health` for load balancers.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,

    /// Port of probes, metrics and drain calls; only the operator and those in
    /// `networkPolicy.adminFrom` reach it.
    #[serde(default = "default_admin_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub admin_port: i32,

    /// Path of the Socket.IO endpoint.
    #[serde(default = "default_path")]
    #[x_kube(validation = Rule::new("self.startsWith('/') && self.endsWith('/')").message("spec.server.path must begin and end with a slash, as in /socket.io/"))]
    #[schemars(length(max = 256))]
    pub path: String,

    /// Open sockets that one pod accepts; further ones are refused with 503.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: i32,

    /// CPU and memory of the server.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,

    /// Where `pod.volumes` are mounted in the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
}

impl Default for ServerSpec {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_policy: None,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            env_from: Vec::new(),
            port: default_port(),
            admin_port: default_admin_port(),
            path: default_path(),
            max_connections: default_max_connections(),
            resources: default_resources(),
            volume_mounts: Vec::new(),
        }
    }
}

fn default_port() -> i32 {
    contract::DEFAULT_SOCKET_PORT.into()
}

fn default_admin_port() -> i32 {
    contract::DEFAULT_ADMIN_PORT.into()
}

fn default_path() -> String {
    contract::DEFAULT_SOCKET_PATH.into()
}

fn default_max_connections() -> i32 {
    contract::DEFAULT_MAX_CONNECTIONS as i32
}

fn default_resources() -> ResourceRequirements {
    super::resources([("cpu", "250m"), ("memory", "512Mi")], [("cpu", "1"), ("memory", "2Gi")])
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At each start of a container.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl ImagePullPolicy {
    /// The name that Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What is added to the fleet's pods. A change rolls the fleet.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.labels) || self.labels.all(k, !k.startsWith('socketfleet.io/') && !k.startsWith('app.kubernetes.io/'))").message("spec.pod.labels must not use the prefixes socketfleet.io/ and app.kubernetes.io/: the operator owns these; choose another prefix")
)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// Labels of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,

    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// Affinity to nodes and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// How the pods are spread. Default: over zones and nodes where that can be had. With `DoNotSchedule`
    /// set `nodeTaintsPolicy: Honor`, else a cordoned node counts as an empty zone and blocks node drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,

    /// ServiceAccount of the pods. Default: one that the operator makes, without any rights or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,

    /// Secrets for pulling images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Volumes of the pods; `server.volumeMounts` says where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

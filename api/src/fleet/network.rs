use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service that clients, an Ingress or a load balancer reach the fleet through. It bears the fleet's
/// name and leads to the pods that take new sockets.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'").message("spec.service.nodePort goes with spec.service.type NodePort or LoadBalancer: change the type or remove nodePort")
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Type of the Service.
    #[serde(default)]
    pub r#type: ServiceType,

    /// Port of the Service.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,

    /// Port on each node. Default: one that Kubernetes chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,

    /// Annotations of the Service, for load balancers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,

    /// Stickiness. Clients that poll need `ClientIP`, or a sticky cookie at the ingress; with WebSocket only,
    /// `None` spreads best.
    #[serde(default)]
    pub session_affinity: SessionAffinity,
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            r#type: ServiceType::default(),
            port: default_port(),
            node_port: None,
            annotations: BTreeMap::new(),
            session_affinity: SessionAffinity::default(),
        }
    }
}

fn default_port() -> i32 {
    80
}

/// Type of the traffic Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Inside the cluster.
    #[default]
    ClusterIP,
    /// On a port of every node too.
    NodePort,
    /// Behind the cloud's load balancer too.
    LoadBalancer,
}

impl ServiceType {
    /// The name that Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Stickiness of the traffic Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SessionAffinity {
    /// Each connection goes to any pod.
    #[default]
    None,
    /// Connections of one address go to one pod.
    ClientIP,
}

impl SessionAffinity {
    /// The name that Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::ClientIP => "ClientIP",
        }
    }
}

/// NetworkPolicies of the fleet: the socket port is open to all, the admin port to the operator, Redis to the
/// fleet's pods.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether the operator makes them.
    #[serde(default = "default_enabled")]
    pub enabled: bool,

    /// Who else reaches the admin port: Prometheus, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_from: Vec<NetworkPolicyPeer>,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: default_enabled(), admin_from: Vec::new() }
    }
}

fn default_enabled() -> bool {
    true
}

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::SecretKeySelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Scaling on open sockets, by a HorizontalPodAutoscaler on the fleet's `/scale`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("spec.autoscaling.minReplicas must be at most spec.autoscaling.maxReplicas: lower minReplicas or raise maxReplicas").field_path(".minReplicas")
)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingSpec {
    /// Fewest pods.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 5000))]
    pub min_replicas: i32,

    /// Most pods.
    #[serde(default = "default_max_replicas")]
    #[schemars(range(min = 1, max = 5000))]
    pub max_replicas: i32,

    /// Open sockets for each pod that the autoscaler aims at. Default: 80 % of `server.maxConnections`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub target_open_sockets: Option<i32>,

    /// CPU use, in per cent of the request, above which the fleet grows as well. Needs metrics-server.
    #[serde(default, rename = "targetCPUUtilizationPercentage", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: Option<i32>,

    /// Speed of scaling, as in a HorizontalPodAutoscaler. Default: Kubernetes' own, with 300 s of
    /// stabilisation on the way down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,

    /// Takes the open sockets from Prometheus as well as from the pods; the larger count holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSource>,
}

impl Default for AutoscalingSpec {
    fn default() -> Self {
        Self {
            min_replicas: default_min_replicas(),
            max_replicas: default_max_replicas(),
            target_open_sockets: None,
            target_cpu_utilization_percentage: None,
            behavior: None,
            prometheus: None,
        }
    }
}

fn default_min_replicas() -> i32 {
    3
}

fn default_max_replicas() -> i32 {
    20
}

/// A Prometheus server that knows the fleet's open sockets.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSource {
    /// Base URL of the server.
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https'] && !self.contains('@')").message("spec.autoscaling.prometheus.url must be an http or https URL without credentials, as in http://prometheus.monitoring:9090; put credentials into bearerTokenSecretRef"))]
    #[schemars(length(max = 2048))]
    pub url: String,

    /// PromQL that gives one sample: the fleet's open sockets. Default: the sum of `socketfleet_open_sockets`
    /// over the pods of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,

    /// Key of a Secret in the fleet's namespace that holds a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret_ref: Option<SecretKeySelector>,
}

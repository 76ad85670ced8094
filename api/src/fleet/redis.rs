use k8s_openapi::api::core::v1::{ResourceRequirements, SecretKeySelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::AdapterKind;

/// How the pods share rooms, presence and the sessions of clients that move.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.managed) && has(self.external))").message("spec.redis.managed and spec.redis.external exclude each other: remove the one that spec.redis.type does not name"),
    validation = Rule::new("(self.type == 'External') == has(self.external)").message("spec.redis.external goes with spec.redis.type External: set both, or neither"),
    validation = Rule::new("!has(self.managed) || self.type == 'Managed'").message("spec.redis.managed goes with spec.redis.type Managed: change the type or remove managed"),
    validation = Rule::new("(has(self.managed) && has(self.managed.persistence)) == (has(oldSelf.managed) && has(oldSelf.managed.persistence))").message("spec.redis.managed.persistence cannot be added or removed: the data would be lost; make a new fleet, or move to spec.redis.type External")
)]
#[serde(rename_all = "camelCase")]
pub struct RedisSpec {
    /// Where Redis comes from.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf || oldSelf != 'Managed'").message("spec.redis.type cannot leave Managed: the managed Redis and what it holds would be lost; make a new fleet"))]
    pub r#type: RedisType,

    /// Format in which the servers talk over Redis.
    #[serde(default)]
    pub adapter: AdapterKind,

    /// Prefix of the adapter's keys and channels (`key` of the Node adapters). Fleets that share an external
    /// Redis need different ones.
    #[serde(default = "default_prefix")]
    #[schemars(length(min = 1, max = 64))]
    pub prefix: String,

    /// The Redis that the operator runs, for type `Managed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,

    /// The Redis that you run, for type `External`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
}

impl Default for RedisSpec {
    fn default() -> Self {
        Self {
            r#type: RedisType::default(),
            adapter: AdapterKind::default(),
            prefix: default_prefix(),
            managed: None,
            external: None,
        }
    }
}

fn default_prefix() -> String {
    "socket.io".into()
}

/// Where Redis comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RedisType {
    /// The operator runs one server for the fleet.
    #[default]
    Managed,
    /// You run it: a server, Sentinel or Cluster.
    External,
    /// None: each pod has its own rooms, and a client that is moved to another pod starts anew.
    None,
}

/// One Redis server run by the operator.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRedis {
    /// Image with `redis-server` and `redis-cli` of Redis 6.2 or newer. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,

    /// CPU and memory; `maxmemory` is three quarters of the memory limit.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,

    /// Keeps the data on a volume. Absent: it lasts as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,

    /// What happens to this Redis and its data when the fleet is deleted.
    #[serde(default)]
    pub when_deleted: WhenDeleted,
}

impl Default for ManagedRedis {
    fn default() -> Self {
        Self {
            image: None,
            resources: default_resources(),
            persistence: None,
            when_deleted: WhenDeleted::default(),
        }
    }
}

fn default_resources() -> ResourceRequirements {
    super::resources([("cpu", "100m"), ("memory", "128Mi")], [("cpu", "2"), ("memory", "1Gi")])
}

/// A volume for Redis' append-only file.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("spec.redis.managed.persistence cannot be changed: a StatefulSet cannot resize its volume; resize the PersistentVolumeClaim, or make a new fleet")
)]
#[serde(rename_all = "camelCase")]
pub struct Persistence {
    /// Size of the volume.
    pub size: Quantity,
    /// StorageClass of the volume. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

/// What happens to the managed Redis when its fleet is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenDeleted {
    /// It goes with the fleet.
    #[default]
    Delete,
    /// It stays, with its Service, Secret and volume; a new fleet of the same name takes it over.
    Retain,
}

/// A Redis run by somebody else.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRedis {
    /// Key of a Secret in the fleet's namespace that holds the URL: `redis://`, `rediss://`,
    /// `redis-sentinel://` or `redis-cluster://`.
    pub url_secret_ref: SecretKeySelector,
}

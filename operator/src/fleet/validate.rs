//! Spec and what it refers to → [`ValidatedFleet`]: everything that can fail, fails here.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use kube::{CustomResourceExt, Resource, ResourceExt};
use serde_json::Value;
use socketfleet_api::fleet::{Persistence, RedisType, WhenDeleted};
use socketfleet_api::{SocketFleet, SocketFleetSpec};

use super::plan::pod_template::{ADMIN_MOUNT, ADMIN_VOLUME, TMP_VOLUME};
use super::references::{References, SecretRef, secret_refs};
use super::schema;
use crate::quantity;
use crate::settings::Platform;

/// Seconds between the end of the drain that SIGTERM starts and the kubelet's SIGKILL.
const SHUTDOWN_MARGIN_SECONDS: i32 = 10;
/// What the grace period exceeds the deadline by when the user does not say.
const GRACE_MARGIN_SECONDS: i32 = 15;

/// Grace period that the cluster autoscaler honours by default; others' are of that order.
const HONOURED_GRACE_SECONDS: i32 = 600;

/// The CRD's schema.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(SocketFleet::crd()).unwrap_or_default();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
});

/// A fleet that can be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedFleet {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What its objects are owned by; `None` without a cluster.
    pub owner: Option<OwnerReference>,
    /// Its spec.
    pub spec: SocketFleetSpec,
    /// Image of the server.
    pub image: String,
    /// Grace period of the server pods.
    pub grace_seconds: i32,
    /// Part of it that a drain may take.
    pub shutdown_drain_seconds: i32,
    /// Open sockets a pod that the autoscaler aims at.
    pub target_open_sockets: i32,
    /// Its Redis.
    pub redis: Redis,
}

impl ValidatedFleet {
    /// Pods that are wanted: `spec.replicas`, within the bounds of the autoscaler.
    pub fn wanted_replicas(&self) -> u32 {
        let wanted = self.spec.replicas;
        let wanted = match &self.spec.autoscaling {
            Some(bounds) => wanted.min(bounds.max_replicas).max(bounds.min_replicas),
            None => wanted,
        };
        u32::try_from(wanted).unwrap_or(0)
    }
}

/// Where a fleet's Redis comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Redis {
    /// The operator runs it.
    Managed(ManagedRedis),
    /// Somebody else does.
    External {
        /// Secret with the URL.
        secret: String,
        /// Its key.
        key: String,
    },
    /// There is none.
    None,
}

/// A Redis that the operator runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagedRedis {
    /// Its image.
    pub image: String,
    /// CPU and memory.
    pub resources: ResourceRequirements,
    /// Bytes of data it may hold; `None` without a memory limit.
    pub maxmemory: Option<u64>,
    /// Its volume.
    pub persistence: Option<Persistence>,
    /// What happens to it when the fleet is deleted.
    pub when_deleted: WhenDeleted,
}

/// Why a spec cannot be carried out: each message names the field and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .messages.join("; "))]
pub struct Invalid {
    /// Reason of the condition.
    pub reason: &'static str,
    /// What is wrong, everything at once.
    pub messages: Vec<String>,
}

/// Validates a fleet, given what [`rules`] say of it.
///
/// # Errors
/// What is wrong with it.
pub fn validate(
    fleet: &SocketFleet,
    rules: Vec<String>,
    references: &References,
    platform: &Platform,
) -> Result<ValidatedFleet, Invalid> {
    let mut messages = rules;
    messages.extend(name(&fleet.name_any()));
    messages.extend(quantities(&fleet.spec));
    messages.extend(volumes(&fleet.spec));
    if !messages.is_empty() {
        return Err(Invalid { reason: "InvalidSpec", messages });
    }
    let missing: Vec<_> = secret_refs(&fleet.spec).iter().filter_map(|r| missing(r, references)).collect();
    if !missing.is_empty() {
        return Err(Invalid { reason: "SecretNotFound", messages: missing });
    }
    Ok(resolve(fleet, fleet.spec.clone(), platform))
}

/// A fleet of a spec that was accepted before: what it refers to may have gone since, and the pods that run do not mind.
pub fn resolve(fleet: &SocketFleet, mut spec: SocketFleetSpec, platform: &Platform) -> ValidatedFleet {
    spec.replicas = fleet.spec.replicas;
    spec.paused = fleet.spec.paused;
    let grace_seconds = spec
        .drain
        .termination_grace_period_seconds
        .unwrap_or(spec.drain.deadline_seconds + GRACE_MARGIN_SECONDS);
    ValidatedFleet {
        name: fleet.name_any(),
        namespace: fleet.namespace().unwrap_or_else(|| "default".into()),
        owner: fleet.controller_owner_ref(&()),
        image: spec.server.image.clone().unwrap_or_else(|| platform.server_image.clone()),
        grace_seconds,
        shutdown_drain_seconds: grace_seconds - SHUTDOWN_MARGIN_SECONDS,
        target_open_sockets: spec.target_open_sockets(),
        redis: redis(&spec, platform),
        spec,
    }
}

fn redis(spec: &SocketFleetSpec, platform: &Platform) -> Redis {
    match (spec.redis.r#type, &spec.redis.external) {
        (RedisType::None, _) | (RedisType::External, None) => Redis::None,
        (RedisType::External, Some(external)) => Redis::External {
            secret: external.url_secret_ref.name.clone(),
            key: external.url_secret_ref.key.clone(),
        },
        (RedisType::Managed, _) => {
            let wanted = spec.redis.managed.clone().unwrap_or_default();
            let limit = wanted.resources.limits.as_ref().and_then(|limits| limits.get("memory"));
            Redis::Managed(ManagedRedis {
                image: wanted.image.unwrap_or_else(|| platform.redis_image.clone()),
                maxmemory: limit.and_then(|limit| quantity::units(&limit.0)).map(|bytes| bytes / 4 * 3),
                resources: wanted.resources,
                persistence: wanted.persistence,
                when_deleted: wanted.when_deleted,
            })
        }
    }
}

/// What can be carried out and will perhaps not do what is expected of it.
pub fn warnings(fleet: &ValidatedFleet) -> Vec<String> {
    let grace = fleet.grace_seconds;
    let long = (grace > HONOURED_GRACE_SECONDS).then(|| {
        format!(
            "the pods' grace period is {grace} s (spec.drain.terminationGracePeriodSeconds), and cluster autoscalers end \
             pods after {HONOURED_GRACE_SECONDS} s unless they are told otherwise (--max-graceful-termination-sec): shorten \
             spec.drain.deadlineSeconds, or see that yours waits as long"
        )
    });
    long.into_iter().collect()
}

/// What the CRD's CEL rules find wrong. An API server applied them, but perhaps those of an older CRD; without a cluster
/// nobody has.
pub fn rules(fleet: &SocketFleet) -> Vec<String> {
    static COMPILED: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(&SCHEMA));
    let Ok(object) = serde_json::to_value(fleet) else { return vec!["the fleet is not JSON".into()] };
    match Validator::new().validate_compiled(&COMPILED, &object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

/// Services are named after the fleet, and their names are narrower than those of other objects (RFC 1035).
fn name(name: &str) -> Option<String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(inner)
        && name.len() <= 40;
    (!fits).then(|| {
        format!(
            "metadata.name {name:?} must begin with a letter and consist of at most 40 lower-case letters, digits and \
             hyphens, because a Service is named after it: make a fleet of another name"
        )
    })
}

fn quantities(spec: &SocketFleetSpec) -> Vec<String> {
    let managed = spec.redis.managed.as_ref();
    let mut fields = resources("spec.server.resources", &spec.server.resources);
    if let Some(managed) = managed {
        fields.extend(resources("spec.redis.managed.resources", &managed.resources));
    }
    if let Some(persistence) = managed.and_then(|m| m.persistence.as_ref()) {
        fields.push(("spec.redis.managed.persistence.size".into(), &persistence.size.0));
    }
    let bad = |(field, text): (String, &str)| {
        quantity::millis(text)
            .is_none_or(|n| n < 0)
            .then(|| format!("{field} is {text:?}: write a quantity such as 500m, 2 or 1Gi"))
    };
    fields.into_iter().filter_map(bad).collect()
}

fn resources<'a>(field: &str, resources: &'a ResourceRequirements) -> Vec<(String, &'a str)> {
    let ResourceRequirements { requests, limits, claims: _ } = resources;
    [("requests", requests), ("limits", limits)]
        .into_iter()
        .flat_map(|(kind, map)| {
            map.iter().flatten().map(move |(name, q)| (format!("{field}.{kind}.{name}"), &*q.0))
        })
        .collect()
}

fn volumes(spec: &SocketFleetSpec) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut messages = Vec::new();
    for volume in &spec.pod.volumes {
        let name = volume.name.as_str();
        if [ADMIN_VOLUME, TMP_VOLUME].contains(&name) {
            messages.push(format!(
                "spec.pod.volumes has {name:?}, a volume of the operator: choose another name"
            ));
        } else if !names.insert(name) {
            messages.push(format!("spec.pod.volumes has {name:?} twice: remove one"));
        }
    }
    let mut paths = BTreeSet::new();
    for mount in &spec.server.volume_mounts {
        let (name, path) = (mount.name.as_str(), mount.mount_path.trim_end_matches('/'));
        if !names.contains(name) {
            messages.push(format!(
                "spec.server.volumeMounts mounts {name:?}, which is not in spec.pod.volumes: add the volume there"
            ));
        }
        if path == ADMIN_MOUNT {
            messages.push(format!(
                "spec.server.volumeMounts uses {path}, where the operator mounts: choose another path"
            ));
        } else if !paths.insert(path) {
            messages.push(format!(
                "spec.server.volumeMounts uses {path} twice: choose another path for one of them"
            ));
        }
    }
    messages
}

fn missing(reference: &SecretRef, references: &References) -> Option<String> {
    let SecretRef { field, secret, key, optional } = reference;
    if *optional {
        return None;
    }
    match (references.get(secret), key) {
        (None, _) => Some(format!(
            "{field} names Secret {secret:?}, which does not exist: create it in the fleet's namespace"
        )),
        (Some(keys), Some(key)) if !keys.contains(key) => {
            Some(format!("{field} names key {key:?}, which Secret {secret:?} does not have: add it there"))
        }
        _ => None,
    }
}

/// Reads a fleet as the API server would, and as strictly as kubectl.
///
/// # Errors
/// Why the value is not a SocketFleet.
pub fn from_json(value: Value) -> Result<SocketFleet, String> {
    let (version, kind) = (SocketFleet::api_version(&()), SocketFleet::kind(&()));
    if value["apiVersion"] != *version || value["kind"] != *kind {
        return Err(format!("apiVersion and kind must be {version} and {kind}"));
    }
    let wrong = schema::check(&value["spec"], &SCHEMA["properties"]["spec"]);
    if !wrong.is_empty() {
        return Err(wrong.iter().map(|message| format!("spec.{message}")).collect::<Vec<_>>().join("; "));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

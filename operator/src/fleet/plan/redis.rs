use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    ExecAction, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, SeccompProfile, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use socketfleet_api::fleet::WhenDeleted;

use super::object::{hash, metadata};
use super::pod_template::restricted;
use super::redis_owned;
use crate::fleet::credentials::{Credentials, keys};
use crate::fleet::names::{self, CREDENTIALS, Names, REDIS};
use crate::fleet::validate::{ManagedRedis, ValidatedFleet};

/// User and group `redis` of the official images.
const USER: i64 = 999;
const CONFIG_FILE: &str = "redis.conf";
const CONFIG_ANNOTATION: &str = "socketfleet.io/config-hash";

/// Redis' configuration, without the password.
pub(super) fn config_map(fleet: &ValidatedFleet, redis: &ManagedRedis) -> ConfigMap {
    ConfigMap {
        metadata: metadata(fleet, Names(&fleet.name).redis(), REDIS, redis_owned(redis)),
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), configuration(redis))])),
        ..ConfigMap::default()
    }
}

fn configuration(redis: &ManagedRedis) -> String {
    let append_only = if redis.persistence.is_some() { "yes" } else { "no" };
    // Evicting would lose messages that a client has not fetched yet; a full Redis refuses, and that is seen.
    let memory = redis
        .maxmemory
        .map(|bytes| format!("maxmemory {bytes}\nmaxmemory-policy noeviction\n"))
        .unwrap_or_default();
    format!(
        "bind * -::*\nport 6379\ntcp-keepalive 60\ndir /data\nsave \"\"\nappendonly {append_only}\nappendfsync everysec\n\
         {memory}include /etc/redis/auth/{}\n",
        keys::REDIS_AUTH_CONF
    )
}

/// One Redis server.
pub(super) fn stateful_set(
    fleet: &ValidatedFleet,
    redis: &ManagedRedis,
    credentials: &Credentials,
) -> StatefulSet {
    let names = Names(&fleet.name);
    let claim = redis.persistence.as_ref().map(|wanted| PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some("data".into()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), wanted.size.clone())])),
                limits: None,
            }),
            storage_class_name: wanted.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    });
    StatefulSet {
        metadata: metadata(fleet, names.redis(), REDIS, redis_owned(redis)),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(names.redis()),
            selector: names::label_selector(&fleet.name, REDIS),
            template: template(fleet, redis, credentials),
            volume_claim_templates: claim.map(|claim| vec![claim]),
            persistent_volume_claim_retention_policy: redis.persistence.is_some().then(|| {
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(
                        match redis.when_deleted {
                            WhenDeleted::Delete => "Delete",
                            WhenDeleted::Retain => "Retain",
                        }
                        .into(),
                    ),
                    when_scaled: Some("Retain".into()),
                }
            }),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn template(fleet: &ValidatedFleet, redis: &ManagedRedis, credentials: &Credentials) -> PodTemplateSpec {
    let names = Names(&fleet.name);
    // Redis reads both at its start only.
    let annotations = [
        (CONFIG_ANNOTATION, hash(&configuration(redis).into(), 16)),
        (CREDENTIALS, hash(&credentials.redis_password.as_str().into(), 16)),
    ];
    let config = Volume {
        name: "config".into(),
        config_map: Some(ConfigMapVolumeSource { name: names.redis(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    let auth = Volume {
        name: "auth".into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names.redis_secret()),
            items: Some(vec![KeyToPath {
                key: keys::REDIS_AUTH_CONF.into(),
                path: keys::REDIS_AUTH_CONF.into(),
                mode: None,
            }]),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let data = redis.persistence.is_none().then(|| Volume {
        name: "data".into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(names::labels(&fleet.name, REDIS)),
            annotations: Some(annotations.map(|(k, v)| (k.to_owned(), v)).into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container(redis, names)],
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".into(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            node_selector: Some(fleet.spec.pod.node_selector.clone()).filter(|m| !m.is_empty()),
            tolerations: Some(fleet.spec.pod.tolerations.clone()).filter(|v| !v.is_empty()),
            image_pull_secrets: Some(fleet.spec.pod.image_pull_secrets.clone()).filter(|v| !v.is_empty()),
            volumes: Some([Some(config), Some(auth), data].into_iter().flatten().collect()),
            ..PodSpec::default()
        }),
    }
}

fn container(redis: &ManagedRedis, names: Names<'_>) -> Container {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only,
        ..VolumeMount::default()
    };
    Container {
        name: REDIS.into(),
        image: Some(redis.image.clone()),
        command: Some(vec!["redis-server".into(), format!("/etc/redis/conf/{CONFIG_FILE}")]),
        // For redis-cli, in the probes and for people.
        env: Some(vec![EnvVar {
            name: "REDISCLI_AUTH".into(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: names.redis_secret(),
                    key: keys::REDIS_PASSWORD.into(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
        }]),
        ports: Some(vec![ContainerPort {
            name: Some(REDIS.into()),
            container_port: 6379,
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(redis.resources.clone()),
        volume_mounts: Some(vec![
            mount("config", "/etc/redis/conf", Some(true)),
            mount("auth", "/etc/redis/auth", Some(true)),
            mount("data", "/data", None),
        ]),
        // Loading a large append-only file takes its time: five minutes.
        startup_probe: Some(ping(1, 300)),
        liveness_probe: Some(ping(10, 6)),
        readiness_probe: Some(ping(2, 3)),
        security_context: Some(restricted()),
        ..Container::default()
    }
}

/// `redis-cli ping` succeeds on an error reply too, hence the comparison.
fn ping(period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(["sh", "-c", r#"[ "$(redis-cli ping)" = PONG ]"#].map(String::from).to_vec()),
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile,
    SecretKeySelector, SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use socketfleet_api::contract::{Traffic, env, labels, paths, ports};

use super::object::hash;
use crate::fleet::credentials::{Credentials, keys};
use crate::fleet::names::{self, CREDENTIALS, Names, SERVER};
use crate::fleet::validate::{Redis, ValidatedFleet};

/// Volumes that the operator adds; `spec.pod.volumes` cannot use these names.
pub(crate) const ADMIN_VOLUME: &str = "socketfleet-admin";
pub(crate) const TMP_VOLUME: &str = "socketfleet-tmp";
/// Where the admin token is mounted.
pub(crate) const ADMIN_MOUNT: &str = "/etc/socketfleet/admin";
/// Where servers may write.
pub(crate) const TMP_MOUNT: &str = "/tmp";

/// Names volumes whose contents a cluster autoscaler may take away with the pod.
const EXPENDABLE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// User and group of the server: `nobody` of distroless images.
const NON_ROOT: i64 = 65532;

/// The server pods of one revision.
pub(super) struct Revision {
    /// Hash of the template: pods of one hash are alike.
    pub hash: String,
    /// The template, with the hash among its labels.
    pub template: PodTemplateSpec,
}

/// Builds the template and its hash. What the operator flips on running pods (the traffic label) and the hash itself
/// are added after hashing.
pub(super) fn revision(fleet: &ValidatedFleet, credentials: &Credentials) -> Revision {
    let mut template = template(fleet, credentials);
    let hash = hash(&serde_json::to_value(&template).unwrap_or_default(), 8);
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend([
        (labels::REVISION.to_owned(), hash.clone()),
        (labels::TRAFFIC.to_owned(), Traffic::Accept.as_str().to_owned()),
    ]);
    Revision { hash, template }
}

fn template(fleet: &ValidatedFleet, credentials: &Credentials) -> PodTemplateSpec {
    let pod = &fleet.spec.pod;
    let mut labels = pod.labels.clone();
    labels.extend(names::labels(&fleet.name, SERVER));
    let mut annotations = pod.annotations.clone();
    annotations.insert(CREDENTIALS.into(), credentials_hash(fleet, credentials));
    if !mounts_tmp(fleet) {
        // Else a cluster autoscaler keeps the node of a pod that has an emptyDir.
        annotations.entry(EXPENDABLE_VOLUMES.into()).or_insert_with(|| TMP_VOLUME.into());
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![server(fleet)],
            service_account_name: Some(
                pod.service_account_name.clone().unwrap_or_else(|| Names(&fleet.name).fleet()),
            ),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(fleet.grace_seconds.into()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(NON_ROOT),
                run_as_group: Some(NON_ROOT),
                fs_group: Some(NON_ROOT),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".into(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            node_selector: Some(pod.node_selector.clone()).filter(|m| !m.is_empty()),
            tolerations: Some(pod.tolerations.clone()).filter(|v| !v.is_empty()),
            affinity: pod.affinity.clone(),
            topology_spread_constraints: Some(spread(fleet)).filter(|v| !v.is_empty()),
            priority_class_name: pod.priority_class_name.clone(),
            image_pull_secrets: Some(pod.image_pull_secrets.clone()).filter(|v| !v.is_empty()),
            volumes: Some(volumes(fleet)),
            ..PodSpec::default()
        }),
    }
}

/// New credentials make a new revision: a pod reads the old ones until it ends.
fn credentials_hash(fleet: &ValidatedFleet, credentials: &Credentials) -> String {
    let Credentials { admin_token, redis_password } = credentials;
    let redis_password = matches!(fleet.redis, Redis::Managed(_)).then_some(redis_password);
    hash(&serde_json::json!([admin_token, redis_password]), 16)
}

fn server(fleet: &ValidatedFleet) -> Container {
    let server = &fleet.spec.server;
    let port = |name: &str, number| ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    Container {
        name: SERVER.into(),
        image: Some(fleet.image.clone()),
        image_pull_policy: server.image_pull_policy.map(|policy| policy.as_str().into()),
        command: Some(server.command.clone()).filter(|v| !v.is_empty()),
        args: Some(server.args.clone()).filter(|v| !v.is_empty()),
        env: Some(environment(fleet)),
        env_from: Some(server.env_from.clone()).filter(|v| !v.is_empty()),
        ports: Some(vec![port(ports::SOCKET, server.port), port(ports::ADMIN, server.admin_port)]),
        resources: Some(server.resources.clone()),
        volume_mounts: Some(mounts(fleet)),
        // A minute to start; then a process that hangs is ended after half a minute, and one that must not get
        // sockets is out of the way within three seconds.
        startup_probe: Some(probe(paths::LIVEZ, 1, 60)),
        liveness_probe: Some(probe(paths::LIVEZ, 10, 3)),
        readiness_probe: Some(probe(paths::READYZ, 1, 3)),
        security_context: Some(restricted()),
        ..Container::default()
    }
}

/// The variables of the pod contract, then the user's, which may refer to them.
fn environment(fleet: &ValidatedFleet) -> Vec<EnvVar> {
    let server = &fleet.spec.server;
    let value =
        |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    let from = |name: &str, source: EnvVarSource| EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(source),
    };
    let mut variables = vec![
        from(
            env::INSTANCE_ID,
            EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".into()),
                    field_path: "metadata.name".into(),
                }),
                ..EnvVarSource::default()
            },
        ),
        value(env::PORT, server.port.to_string()),
        value(env::ADMIN_PORT, server.admin_port.to_string()),
        value(env::SOCKET_PATH, server.path.clone()),
        value(env::MAX_CONNECTIONS, server.max_connections.to_string()),
        value(env::SHUTDOWN_DRAIN_SECONDS, fleet.shutdown_drain_seconds.to_string()),
        value(env::ADMIN_TOKEN_FILE, format!("{ADMIN_MOUNT}/{}", keys::ADMIN_TOKEN)),
    ];
    if let Some((secret, key)) = redis_url(fleet) {
        let selector = SecretKeySelector { name: secret, key, optional: None };
        variables.extend([
            from(env::REDIS_URL, EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() }),
            value(env::REDIS_PREFIX, fleet.spec.redis.prefix.clone()),
            value(env::REDIS_ADAPTER, fleet.spec.redis.adapter.as_str().into()),
        ]);
    }
    variables.extend(server.env.iter().cloned());
    variables
}

/// Secret and key of Redis' URL.
fn redis_url(fleet: &ValidatedFleet) -> Option<(String, String)> {
    match &fleet.redis {
        Redis::Managed(_) => Some((Names(&fleet.name).redis_secret(), keys::REDIS_URL.into())),
        Redis::External { secret, key } => Some((secret.clone(), key.clone())),
        Redis::None => None,
    }
}

fn volumes(fleet: &ValidatedFleet) -> Vec<Volume> {
    let admin = Volume {
        name: ADMIN_VOLUME.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(Names(&fleet.name).admin_secret()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let tmp = (!mounts_tmp(fleet)).then(|| Volume {
        name: TMP_VOLUME.into(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit: Some(Quantity("64Mi".into())), medium: None }),
        ..Volume::default()
    });
    [Some(admin), tmp].into_iter().flatten().chain(fleet.spec.pod.volumes.clone()).collect()
}

fn mounts(fleet: &ValidatedFleet) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only,
        ..VolumeMount::default()
    };
    let tmp = (!mounts_tmp(fleet)).then(|| mount(TMP_VOLUME, TMP_MOUNT, None));
    [Some(mount(ADMIN_VOLUME, ADMIN_MOUNT, Some(true))), tmp]
        .into_iter()
        .flatten()
        .chain(fleet.spec.server.volume_mounts.clone())
        .collect()
}

/// Whether the user brings a `/tmp`. The root file system is read-only, and many runtimes want one.
fn mounts_tmp(fleet: &ValidatedFleet) -> bool {
    fleet.spec.server.volume_mounts.iter().any(|m| m.mount_path.trim_end_matches('/') == TMP_MOUNT)
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(ports::ADMIN.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// What the `restricted` Pod Security Standard asks of a container, with a read-only root file system.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

/// Over zones, then over nodes, where that can be had. Each revision is spread by itself, because the old one leaves.
fn spread(fleet: &ValidatedFleet) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        topology_key: key.into(),
        max_skew: 1,
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(names::label_selector(&fleet.name, SERVER)),
        match_label_keys: Some(vec![labels::REVISION.into()]),
        // Else a cordoned node counts as an empty one.
        node_taints_policy: Some("Honor".into()),
        ..TopologySpreadConstraint::default()
    };
    fleet
        .spec
        .pod
        .topology_spread_constraints
        .clone()
        .unwrap_or_else(|| vec![over("topology.kubernetes.io/zone"), over("kubernetes.io/hostname")])
}

//! What of each kind is kept, and which changes nobody has to look at. 5,000 pods in full are 100 MB.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Node, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, Secret,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels::{COMPONENT, POD_DELETION_COST};

use super::packed::Packed;
use crate::kinds::Kind;

pub(super) fn fleet(fleet: &mut SocketFleet) {
    fleet.metadata.managed_fields = None;
}

/// The operator's own writes to the status are no news.
pub(super) fn same_fleet(old: &SocketFleet, new: &SocketFleet) -> bool {
    old.spec == new.spec && same_metadata(&old.metadata, &new.metadata)
}

/// What tells a server pod apart, where it runs, how far it is, and the operator's marks.
pub(super) fn pod(pod: &mut Pod) {
    let ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        labels,
        annotations,
        creation_timestamp,
        deletion_timestamp,
        ..
    } = std::mem::take(&mut pod.metadata);
    let ours =
        |key: &str| key.starts_with("socketfleet.io/") || [COMPONENT, POD_DELETION_COST].contains(&key);
    let only_ours = |map: Option<BTreeMap<String, String>>| {
        map.map(|all| all.into_iter().filter(|(key, _)| ours(key)).collect::<BTreeMap<_, _>>())
            .filter(|m| !m.is_empty())
    };
    pod.metadata = ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        labels: only_ours(labels),
        annotations: only_ours(annotations),
        creation_timestamp,
        deletion_timestamp,
        ..ObjectMeta::default()
    };
    pod.spec = pod.spec.take().map(|spec| PodSpec {
        node_name: spec.node_name,
        containers: spec
            .containers
            .into_iter()
            .map(|c| Container { name: c.name, ports: c.ports, ..Container::default() })
            .collect(),
        ..PodSpec::default()
    });
    pod.status = pod.status.take().map(|status| PodStatus {
        phase: status.phase,
        pod_ip: status.pod_ip,
        conditions: status.conditions.map(|all| all.into_iter().filter(|c| c.type_ == "Ready").collect()),
        container_statuses: status.container_statuses.map(|all| {
            let short = |c: ContainerStatus| ContainerStatus {
                name: c.name,
                state: c.state,
                ready: c.ready,
                ..ContainerStatus::default()
            };
            all.into_iter().map(short).collect()
        }),
        ..PodStatus::default()
    });
}

pub(super) fn same_pod(old: &Pod, new: &Pod) -> bool {
    old.spec == new.spec && old.status == new.status && same_metadata(&old.metadata, &new.metadata)
}

/// Names of Secrets, and whether they change.
pub(super) fn metadata(secret: &mut PartialObjectMeta<Secret>) {
    let ObjectMeta { name, namespace, uid, resource_version, .. } = std::mem::take(&mut secret.metadata);
    secret.metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
}

/// The status is kept where it is looked at.
pub(super) fn owned(kind: Kind) -> fn(&mut Packed) {
    match kind {
        Kind::Deployment | Kind::StatefulSet => |_| {},
        _ => Packed::drop_status,
    }
}

pub(super) fn same_owned(old: &Packed, new: &Packed) -> bool {
    old.same_rest(new) && same_metadata(old.meta(), new.meta())
}

pub(super) fn node(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    node.spec = node.spec.take().map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    node.status = node.status.take().map(|status| NodeStatus {
        // Without the heartbeat, which is no news.
        conditions: status.conditions.map(|all| {
            let ready = all.into_iter().filter(|c| c.type_ == "Ready");
            ready
                .map(|c| k8s_openapi::api::core::v1::NodeCondition { last_heartbeat_time: None, ..c })
                .collect()
        }),
        ..NodeStatus::default()
    });
}

pub(super) fn same_node(old: &Node, new: &Node) -> bool {
    old.spec == new.spec && old.status == new.status && old.metadata.labels == new.metadata.labels
}

fn same_metadata(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid == new.uid
        && old.labels == new.labels
        && old.annotations == new.annotations
        && old.owner_references == new.owner_references
        && old.finalizers == new.finalizers
        && old.deletion_timestamp == new.deletion_timestamp
}

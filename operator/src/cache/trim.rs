//! What of each kind is kept, and which changes nobody has to look at. 5,000 pods in full are 100 MB.

use k8s_openapi::api::core::v1::{Container, Node, NodeSpec, NodeStatus, Pod, PodSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{DynamicObject, PartialObjectMeta};
use socketfleet_api::SocketFleet;

use crate::kinds::Kind;

pub(super) fn fleet(fleet: &mut SocketFleet) {
    fleet.metadata.managed_fields = None;
}

/// The operator's own writes to the status are no news.
pub(super) fn same_fleet(old: &SocketFleet, new: &SocketFleet) -> bool {
    old.spec == new.spec && same_metadata(&old.metadata, &new.metadata)
}

pub(super) fn pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            containers: spec
                .containers
                .into_iter()
                .map(|c| Container { name: c.name, ports: c.ports, ..Container::default() })
                .collect(),
            ..PodSpec::default()
        });
    }
    if let Some(status) = &mut pod.status {
        status.container_statuses.iter_mut().flatten().for_each(|c| {
            c.volume_mounts = None;
            c.allocated_resources_status = None;
            c.resources = None;
        });
    }
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
pub(super) fn owned(kind: Kind) -> fn(&mut DynamicObject) {
    match kind {
        Kind::Deployment | Kind::StatefulSet => |object| object.metadata.managed_fields = None,
        _ => |object| {
            object.metadata.managed_fields = None;
            if let Some(data) = object.data.as_object_mut() {
                data.remove("status");
            }
        },
    }
}

pub(super) fn same_owned(old: &DynamicObject, new: &DynamicObject) -> bool {
    old.data == new.data && same_metadata(&old.metadata, &new.metadata)
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

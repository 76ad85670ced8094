//! From Kubernetes' objects to [`Pod`].

use std::net::SocketAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, ContainerStatus, PodCondition};
use socketfleet_api::contract::{labels, ports};

use super::{Marks, NodeState, Pod, PodPhase, PodRef, Report, Sockets};
use crate::fleet::names::SERVER;
use crate::open_sockets::PodCount;

/// Label of a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// Taints of nodes that are about to be removed: by an autoscaler, or because a cloud takes them back.
const ABOUT_TO_GO: [&str; 5] = [
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "aws-node-termination-handler/spot-itn",
    "cloud.google.com/impending-node-termination",
];
/// Taints of nodes that do not answer: nothing can be drained there.
const SILENT: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Reads a server pod and the node it runs on, where that is known. Its sockets and its server's report
/// come from elsewhere and are left unknown. `None` for an object that the API server has not
/// completed (no UID, no revision): it cannot be acted upon. `tolerations` are the fleet's: a taint that its
/// pods bear for ever is none.
pub fn pod(pod: &core::Pod, node: Option<&core::Node>, tolerations: &[core::Toleration]) -> Option<Pod> {
    let metadata = &pod.metadata;
    let none = Default::default();
    let labels = metadata.labels.as_ref().unwrap_or(&none);
    let annotations = metadata.annotations.as_ref().unwrap_or(&none);
    let created = metadata.creation_timestamp.as_ref()?.0;
    let ready = condition(pod, "Ready");
    Some(Pod {
        id: PodRef {
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            resource_version: metadata.resource_version.clone()?,
            admin: admin(pod),
        },
        revision: labels.get(labels::REVISION)?.clone(),
        node: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
        zone: node.and_then(|n| n.metadata.labels.as_ref()?.get(ZONE).cloned()),
        node_state: node.map_or(NodeState::Fine, |node| node_state(node, tolerations)),
        created,
        phase: phase(pod),
        ready: ready.is_some_and(|c| c.status == "True"),
        ready_since: ready.and_then(|c| c.last_transition_time.as_ref()).map_or(created, |t| t.0),
        broken: server(pod).is_some_and(|s| s.state.as_ref().is_some_and(|state| state.running.is_none())),
        deleting: metadata.deletion_timestamp.as_ref().map(|t| t.0),
        requested: annotations.get(labels::DRAIN_REQUESTED).is_some_and(|v| v == "true"),
        marks: Marks::read(labels, annotations),
        sockets: None,
        report: None,
        unsure: None,
    })
}

/// Adds what its server said of itself, when that is fresh.
pub fn with_count(mut pod: Pod, count: &PodCount, now: Timestamp) -> Pod {
    if let Some(reading) = count.known() {
        pod.sockets = Some(Sockets { open: reading.open, capacity: reading.capacity });
        let at = now.checked_sub(reading.age).unwrap_or(now);
        pod.report = Some(Report { at, drain: reading.drain.clone() });
    }
    pod
}

fn condition<'a>(pod: &'a core::Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn server(pod: &core::Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|s| s.name == SERVER)
}

fn phase(pod: &core::Pod) -> PodPhase {
    match pod.status.as_ref().and_then(|s| s.phase.as_deref()) {
        Some("Succeeded" | "Failed") => PodPhase::Ended,
        // `Unknown` is what a lost node leaves behind: its pods may still run.
        Some("Running" | "Unknown") => PodPhase::Running,
        _ => PodPhase::Pending,
    }
}

fn admin(pod: &core::Pod) -> Option<SocketAddr> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let mut declared = pod.spec.as_ref()?.containers.iter().flat_map(|c| c.ports.iter().flatten());
    let port = declared.find(|p| p.name.as_deref() == Some(ports::ADMIN))?.container_port;
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

fn node_state(node: &core::Node, tolerations: &[core::Toleration]) -> NodeState {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    // The control plane says Unknown when the kubelet has been silent for its grace period.
    if conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "Unknown") {
        return NodeState::Lost;
    }
    let Some(spec) = &node.spec else { return NodeState::Fine };
    let going = |t: &core::Taint| ABOUT_TO_GO.contains(&t.key.as_str()) || evicts(t, tolerations);
    if spec.unschedulable == Some(true) || spec.taints.iter().flatten().any(going) {
        NodeState::Cordoned
    } else {
        NodeState::Fine
    }
}

/// Whether a taint takes the pods away, at once or after the time that they bear it.
fn evicts(taint: &core::Taint, tolerations: &[core::Toleration]) -> bool {
    let borne = |t: &core::Toleration| {
        let key = t.key.as_ref().is_none_or(|key| *key == taint.key);
        let value = t.operator.as_deref() == Some("Exists") || t.value == taint.value;
        let effect = t.effect.as_ref().is_none_or(|effect| *effect == taint.effect);
        key && value && effect && t.toleration_seconds.is_none()
    };
    taint.effect == "NoExecute" && !SILENT.contains(&taint.key.as_str()) && !tolerations.iter().any(borne)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(key: &str, effect: &str) -> core::Node {
        let taint = core::Taint { key: key.into(), effect: effect.into(), ..core::Taint::default() };
        let spec = core::NodeSpec { taints: Some(vec![taint]), ..core::NodeSpec::default() };
        core::Node { spec: Some(spec), ..core::Node::default() }
    }

    #[test]
    fn nodes_that_lose_their_pods_are_cordoned() {
        for (key, effect, state) in [
            ("maintenance", "NoExecute", NodeState::Cordoned),
            ("maintenance", "NoSchedule", NodeState::Fine),
            ("karpenter.sh/disrupted", "NoSchedule", NodeState::Cordoned),
            ("node.kubernetes.io/not-ready", "NoExecute", NodeState::Fine),
        ] {
            assert_eq!(node_state(&node(key, effect), &[]), state, "{key}:{effect}");
        }
    }

    #[test]
    fn what_the_pods_bear_for_ever_does_not_take_them_away() {
        let mut toleration = core::Toleration {
            key: Some("dedicated".into()),
            operator: Some("Exists".into()),
            ..core::Toleration::default()
        };
        let tainted = node("dedicated", "NoExecute");
        assert_eq!(node_state(&tainted, &[toleration.clone()]), NodeState::Fine);
        toleration.toleration_seconds = Some(300);
        assert_eq!(node_state(&tainted, &[toleration]), NodeState::Cordoned);
    }
}

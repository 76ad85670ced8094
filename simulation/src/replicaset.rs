//! The order in which a ReplicaSet deletes pods it has too many of
//! (`ActivePodsWithRanks` of Kubernetes' controller utilities).

use socketfleet_drain::{Pod, PodPhase};

/// Sorts what goes first to the front: not assigned, Pending, not Ready, lowest deletion cost, most pods of
/// the set on its node, Ready for the shortest time, youngest.
pub fn deletion_key(pod: &Pod, on_node: usize) -> impl Ord + use<> {
    let since = if pod.ready { pod.ready_since } else { pod.created };
    (
        pod.node.is_some(),
        pod.phase == PodPhase::Running,
        pod.ready,
        pod.marks.deletion_cost.unwrap_or(0),
        std::cmp::Reverse(on_node),
        std::cmp::Reverse(since),
        std::cmp::Reverse(pod.created),
    )
}

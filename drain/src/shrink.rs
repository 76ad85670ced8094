//! How many replicas each Deployment gets, so that exactly the emptied pods go.
//!
//! A ReplicaSet that has too many pods deletes in this order: not assigned, Pending, not Ready, lowest
//! deletion cost. It reads pods from a cache, so what decides must have been true, and seen, for a moment.
//! A Deployment shrinks only when each pod that may be first in that order is one that we have emptied.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::PodDrainPhase;

use super::census::{Census, View, count};
use super::{Hold, NodeState, PodPhase, Revision, Shrink};

/// Deletion cost of a pod that is empty: less than any other's.
pub(super) const VICTIM_COST: i32 = i32::MIN;
/// Deletion cost of a pod that drains: should a ReplicaSet delete one of its own accord, then this.
pub(super) const DRAINING_COST: i32 = i32::MIN / 2;
/// Time for which the marks and the readiness of a victim must have been as they are: what we see by now
/// the ReplicaSet's controller has seen too.
const SEEN: SignedDuration = SignedDuration::from_secs(2);
/// A pod that has not been Ready for this long is not on its way to or from Ready.
const STEADY: SignedDuration = SignedDuration::from_secs(10);
/// An empty pod whose readiness does not follow is removed by its cost alone after this time, and a pod
/// that does not answer this long after its deadline.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Replicas for each revision.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    pub replicas: BTreeMap<String, u32>,
    pub shrinks: Vec<Shrink>,
    /// Indices of pods to be deleted at an unchanged number of replicas, so that they are replaced.
    pub replace: Vec<usize>,
    pub holds: Vec<Hold>,
}

/// `births` is how many pods a revision gets beyond those that it has.
pub(super) fn replicas(census: &Census<'_>, births: &BTreeMap<&str, u32>, now: Timestamp) -> Replicas {
    let mut out = Replicas::default();
    for revision in &census.observed.revisions {
        let born = births.get(revision.hash.as_str()).copied().unwrap_or(0);
        let removable: Vec<usize> = (0..census.views.len())
            .filter(|&i| census.views[i].pod.revision == revision.hash)
            .filter(|&i| removable(&census.views[i], now))
            .collect();
        let counted = census.counted(&revision.hash);
        // A step that is still under way takes its pods whatever we think of them by now.
        let under_way = counted.saturating_sub(revision.replicas);
        let keep = counted + born - under_way.max(removable.len() as u32);
        let target = if keep >= revision.replicas {
            // Those that are replaced are deleted by name, which is exact.
            out.replace.extend(removable.iter().take(born as usize));
            keep
        } else {
            match safe(census, revision, counted, keep, &removable, now) {
                Ok(target) => {
                    if target < revision.replicas {
                        let uid = |&i: &usize| census.views[i].pod.id.uid.clone();
                        let goes = target < counted;
                        out.shrinks.push(Shrink {
                            revision: revision.hash.clone(),
                            victims: if goes { removable.iter().map(uid).collect() } else { Vec::new() },
                            resource_version: revision.resource_version.clone(),
                        });
                    }
                    target
                }
                Err(cause) => {
                    if !removable.is_empty() {
                        out.holds.push(Hold::Unsafe { revision: revision.hash.clone(), cause });
                    }
                    revision.replicas
                }
            }
        };
        out.replicas.insert(revision.hash.clone(), target);
    }
    out
}

/// May go: emptied and out of the Service as observed, and first in the ReplicaSet's order.
fn removable(view: &View<'_>, now: Timestamp) -> bool {
    let marks = &view.pod.marks;
    let (Some(mark), Some(_)) = (&marks.drain, &view.drain) else { return false };
    if !view.counted || marks.deletion_cost != Some(VICTIM_COST) {
        return false;
    }
    let in_phase = now.duration_since(mark.since);
    match mark.phase {
        PodDrainPhase::Empty if !view.empty() => false,
        PodDrainPhase::Empty if view.pod.ready => in_phase >= PATIENCE,
        PodDrainPhase::Empty => in_phase >= SEEN && now.duration_since(view.pod.ready_since) >= SEEN,
        PodDrainPhase::Forced => in_phase >= PATIENCE,
        PodDrainPhase::Notified | PodDrainPhase::Draining => false,
    }
}

/// The number that the Deployment may shrink to now, towards `keep`; or what has to happen first.
fn safe(
    census: &Census<'_>,
    revision: &Revision,
    counted: u32,
    keep: u32,
    removable: &[usize],
    now: Timestamp,
) -> Result<u32, String> {
    if !revision.settled {
        return Err("the last change of the Deployment has been seen by its controller".to_owned());
    }
    if counted > revision.replicas {
        return Err("the pods of the last step have gone".to_owned());
    }
    if counted < revision.replicas {
        // Replicas without a pod (a quota, say): nobody goes when only these are taken away.
        return if revision.status_replicas == counted {
            Ok(keep.max(counted))
        } else {
            Err("all its replicas have a pod".to_owned())
        };
    }
    let ready =
        count(census.views.iter().filter(|v| v.counted && v.pod.ready && v.pod.revision == revision.hash));
    if (revision.status_replicas, revision.status_ready) != (counted, ready) {
        return Err("its controller sees the same pods as we do".to_owned());
    }
    // They are in ascending order.
    let chosen = |i: usize| removable.binary_search(&i).is_ok();
    let sure = removable.iter().all(|&i| {
        let pod = census.views[i].pod;
        !pod.ready && pod.phase == PodPhase::Running
    });
    for (_, view) in census.views.iter().enumerate().filter(|&(i, _)| !chosen(i)) {
        let pod = view.pod;
        let unchanged_for = now.duration_since(pod.ready_since);
        if !view.counted || pod.revision != revision.hash || (pod.ready && unchanged_for >= SEEN) {
            continue;
        }
        if view.empty() && pod.marks.drain.as_ref().is_some_and(|d| d.phase == PodDrainPhase::Empty) {
            continue; // As good a choice as the victims.
        }
        let name = &pod.id.name;
        if pod.phase == PodPhase::Pending || pod.ready {
            // The controller may still see one that was Pending a moment ago as the first to go.
            return Err(format!("{name} has been Ready for a moment"));
        }
        // Both sort keys speak for the victims, so a pod that has been unready for a while does no harm.
        let steady = pod.node_state == NodeState::Lost || unchanged_for >= STEADY;
        if !(sure && steady) {
            return Err(format!("{name} is Ready"));
        }
    }
    Ok(keep)
}

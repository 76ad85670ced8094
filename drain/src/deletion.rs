//! A fleet that is being deleted: all its pods drain, then they go.

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::{DrainReason, PodDrainPhase};

use super::Decision;
use super::census::Census;
use super::start::begin;

/// A pod that is not empty this long after its deadline does not hold the deletion up.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// No drain: the pods have the grace period of their template.
pub(super) fn immediate(census: &Census<'_>) -> Decision {
    let mut decision = Decision { deleted: true, ..Decision::default() };
    none_left(census, &mut decision);
    decision
}

/// Every pod drains; nobody chooses, and nobody waits for room.
pub(super) fn begin_all(census: &mut Census<'_>, now: Timestamp) {
    let deadline = now + census.observed.fleet.policy.deadline;
    for view in census.views.iter_mut().filter(|v| v.counted && v.drain.is_none()) {
        begin(view, DrainReason::FleetDeleted, "the fleet is being deleted".to_owned(), now, deadline);
    }
}

/// Everything stays until the last pod is empty or has had its time.
pub(super) fn replicas(census: &Census<'_>, now: Timestamp, decision: &mut Decision) {
    let over = |drain: &super::DrainMark| {
        drain.phase == PodDrainPhase::Empty || now.duration_since(drain.deadline) >= PATIENCE
    };
    let mut counted = census.views.iter().filter(|v| v.counted);
    if counted.all(|v| v.drain.as_ref().is_some_and(over)) {
        decision.deleted = true;
        none_left(census, decision);
    } else {
        let as_it_is = |r: &super::Revision| (r.hash.clone(), r.replicas);
        decision.replicas = census.observed.revisions.iter().map(as_it_is).collect();
    }
}

fn none_left(census: &Census<'_>, decision: &mut Decision) {
    decision.replicas = census.observed.revisions.iter().map(|r| (r.hash.clone(), 0)).collect();
}

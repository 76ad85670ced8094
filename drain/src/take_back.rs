//! Drains that end because what they were for is over, or because their pod is wanted again.

use std::cmp::Reverse;

use jiff::Timestamp;
use socketfleet_api::contract::{DrainReason, PodDrainPhase};

use super::census::{Census, Serving, View};
use super::demand::Demand;
use super::room::Room;
use super::{NodeState, Note};

pub(super) fn take_back(census: &mut Census<'_>, now: Timestamp) {
    let full = Room::of(census).free == 0;
    for index in 0..census.views.len() {
        let view = &census.views[index];
        if let Some(cause) = cause_gone(census, view, full, now)
            && may_return(census, view)
        {
            serve_again(&mut census.views[index], cause);
        }
    }
    if census.observed.fleet.paused {
        return;
    }
    // Least drained first: it has the most conversations to keep.
    let mut wanted_again: Vec<_> = (0..census.views.len())
        .filter(|&i| {
            let view = &census.views[i];
            view.in_pool
                && view.counted
                && view.doom.is_none()
                && !view.lifeless()
                && may_return(census, view)
        })
        .filter_map(|i| Some((census.views[i].drain.as_ref()?.phase, Reverse(census.views[i].held), i)))
        .collect();
    wanted_again.sort_unstable();
    for (_, _, index) in wanted_again.into_iter().take(Demand::of(census).missing() as usize) {
        serve_again(&mut census.views[index], "more pods are wanted");
    }
}

/// Why a drain has lost its cause, `None` while it has one.
fn cause_gone(census: &Census<'_>, view: &View<'_>, full: bool, now: Timestamp) -> Option<&'static str> {
    let drain = view.drain.as_ref()?;
    if view.pod.deleting.is_some() {
        return None;
    }
    let policy = &census.observed.fleet.policy;
    let optional = matches!(drain.reason, DrainReason::ScaleIn | DrainReason::Rollout);
    let under_way = matches!(drain.phase, PodDrainPhase::Notified | PodDrainPhase::Draining);
    let time_left = drain.deadline.duration_since(now);
    if full && optional && under_way && view.held != Some(0) && time_left < policy.deadline / 2 {
        return Some("the other pods are full, and its sockets would be cut at the deadline");
    }
    if view.doom.is_some() {
        return None;
    }
    match drain.reason {
        DrainReason::ScaleIn => None,
        DrainReason::Rollout if !view.old => Some("its revision is the current one again"),
        DrainReason::Rollout if view.kept => Some("spec.rollout.partition keeps it"),
        DrainReason::Rollout if census.serving == Serving::Current => None,
        DrainReason::Rollout if census.observed.fleet.rollout.failed => Some("the rollout has failed"),
        DrainReason::Rollout => Some("the new revision has no Ready pod"),
        DrainReason::Manual => Some("the request was withdrawn"),
        DrainReason::NodeDrain if view.pod.node_state == NodeState::Fine => Some("its node takes pods again"),
        DrainReason::NodeDrain => None,
        DrainReason::FleetDeleted => Some("the fleet is not being deleted"),
        DrainReason::Deleted | DrainReason::Shutdown => Some("it is not being deleted"),
    }
}

/// An empty pod whose Deployment shrinks, or may have been made to shrink, is on its way out.
fn may_return(census: &Census<'_>, view: &View<'_>) -> bool {
    let Some(drain) = &view.drain else { return false };
    let shrinking = census
        .revision(&view.pod.revision)
        .is_none_or(|revision| !revision.settled || census.counted(&revision.hash) > revision.replicas);
    let emptied = matches!(drain.phase, PodDrainPhase::Empty | PodDrainPhase::Forced);
    view.pod.deleting.is_none() && !(emptied && shrinking)
}

fn serve_again(view: &mut View<'_>, cause: &str) {
    view.drain = None;
    view.note = Some(Note {
        reason: "DrainCancelled",
        message: format!("{} serves again: {cause}", view.pod.id.name),
        warning: false,
    });
}

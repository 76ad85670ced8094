//! The machine: what to do for one fleet now.

use std::time::Duration;

use jiff::Timestamp;
use socketfleet_api::contract::{PodDrainPhase, Traffic};

use super::census::{Census, View};
use super::demand::{self, Demand};
use super::room::{self, Room};
use super::shrink::{DRAINING_COST, Replicas, VICTIM_COST};
use super::{
    Action, Decision, Deletion, Marks, Observed, PodPhase, Step, advance, deletion, pace, pacing, shrink,
    start, summary, take_back,
};

/// How soon to look again while pods drain.
const SOON: Duration = Duration::from_secs(1);
/// How soon to look again while something waits: for counts and room no watch fires.
const LATER: Duration = Duration::from_secs(5);

/// What to do now. The same observation at the same time gives the same answer, and acting on it twice
/// does no harm.
pub fn next_actions(observed: &Observed, now: Timestamp) -> Decision {
    let mut census = Census::take(observed, now);
    let budget = pacing::budget(&observed.fleet.policy, Room::of(&census).capacity);
    let mut holds = Vec::new();

    // Which pods leave, which come back, how far each drain is.
    match observed.fleet.deletion {
        Some(Deletion::Immediate) => return deletion::immediate(&census),
        Some(Deletion::Drain) => deletion::begin_all(&mut census, now),
        None => {
            take_back::take_back(&mut census, now);
            start::start(&mut census, budget, now, &mut holds);
        }
    }
    advance::advance(&mut census, now);

    // What follows from it.
    let room = Room::of(&census);
    let demand = Demand::of(&census);
    let mut decision = Decision::default();
    if observed.fleet.deletion.is_some() {
        deletion::replicas(&census, now, &mut decision);
    } else {
        let births = demand::births(&census, &demand);
        let Replicas { replicas, shrinks, replace, holds: waits } = shrink::replicas(&census, &births, now);
        let delete = |i: usize| Action { pod: census.views[i].pod.id.clone(), step: Step::Replace };
        decision.actions.extend(replace.into_iter().map(delete));
        decision.replicas = replicas;
        decision.shrinks = shrinks;
        holds.extend(waits);
    }
    let paces = pace::paces(&census, &room, budget, now, &mut holds);
    decision.actions.extend(paces.calls);
    decision.requeue_after = requeue_after(&census, holds.is_empty());
    decision.summary = summary::summary(&census, &demand, &room, budget, &paces.of, holds, now);
    let traffic = room::traffic(&census, &room);
    decision.actions.extend(census.views.into_iter().zip(traffic).filter_map(|(v, t)| mark(v, t)));
    decision
}

/// Writes what differs from the marks on the pod.
fn mark(view: View<'_>, traffic: Traffic) -> Option<Action> {
    let seen = &view.pod.marks;
    if view.pod.phase == PodPhase::Ended {
        return None;
    }
    let deletion_cost = match view.drain.as_ref().map(|d| d.phase) {
        Some(PodDrainPhase::Notified | PodDrainPhase::Draining) => Some(DRAINING_COST),
        Some(PodDrainPhase::Forced | PodDrainPhase::Empty) => Some(VICTIM_COST),
        // Others may use the annotation too; only our own values are taken away.
        None => seen.deletion_cost.filter(|cost| ![DRAINING_COST, VICTIM_COST].contains(cost)),
    };
    let to = Marks { traffic: Some(traffic), deletion_cost, drain: view.drain };
    let step = Step::Mark { to, note: view.note };
    match &step {
        Step::Mark { to, .. } if to == seen => None,
        _ => Some(Action { pod: view.pod.id.clone(), step }),
    }
}

fn requeue_after(census: &Census<'_>, nothing_waits: bool) -> Option<Duration> {
    if census.views.iter().any(View::leaving) {
        Some(SOON)
    } else if nothing_waits {
        None
    } else {
        Some(LATER)
    }
}

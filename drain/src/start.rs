//! Drains that begin: one victim after the other, as long as the fleet can do without it.

use jiff::Timestamp;
use socketfleet_api::contract::{DrainReason, PodDrainPhase};

use super::census::{Census, START_UP, Serving, View};
use super::demand::Demand;
use super::room::Room;
use super::victims::{Candidates, Victim};
use super::{DrainMark, Hold, Note, pacing};

/// Drains that begin in one look. The next look is a second later, and a decision stays short in any fleet.
const AT_ONCE: u32 = 250;

pub(super) fn start(census: &mut Census<'_>, budget: f64, now: Timestamp, holds: &mut Vec<Hold>) {
    let mut demand = Demand::of(census);
    let mut room = Room::of(census);
    holds.extend(revision_not_ready(census, now));
    if census.observed.fleet.paused {
        if demand.excess() > 0 {
            holds.push(Hold::Paused);
        }
        return;
    }
    let mut candidates = Candidates::of(census, now);
    let unknown = Unknown::of(census);
    let mut begun = 0;
    while demand.excess() > 0 {
        if begun == AT_ONCE {
            return;
        }
        let Some(victim) = candidates.next(census, demand.surplus(), now) else { return };
        if let Err(hold) = admit(census, &victim, &demand, &room, budget, &unknown) {
            holds.push(hold);
            return;
        }
        let deadline = now + census.observed.fleet.policy.deadline;
        let view = &mut census.views[victim.index];
        if view.doom.is_some() {
            demand.doomed -= 1;
        } else {
            demand.staying -= 1;
        }
        demand.ready -= u32::from(view.works());
        room.release(view);
        begin(view, victim.reason, victim.why, now, deadline);
        candidates.remove(victim.index);
        begun += 1;
    }
    // Pods that have to go one by one wait for those that replace them.
    if let Some(victim) = candidates.next(census, false, now)
        && matches!(victim.reason, DrainReason::Manual | DrainReason::NodeDrain)
    {
        let (pod, works) = (census.views[victim.index].pod, census.views[victim.index].works());
        let ready = demand.ready.saturating_sub(u32::from(works));
        holds.push(Hold::TooFewReady { pod: pod.id.name.clone(), ready, wanted: demand.wanted });
    }
}

/// Whether the fleet can do without the victim now.
fn admit(
    census: &Census<'_>,
    victim: &Victim,
    demand: &Demand,
    room: &Room,
    budget: f64,
    unknown: &Unknown,
) -> Result<(), Hold> {
    let view = &census.views[victim.index];
    if view.lifeless() {
        return Ok(());
    }
    let pod = || view.pod.id.name.clone();
    let Some(sockets) = view.held else {
        return Err(Hold::CountsUnknown { count: 1, pod: pod() });
    };
    if let Some(hold) = unknown.silent.as_ref().filter(|_| victim.reason == DrainReason::ScaleIn) {
        return Err(hold.clone());
    }
    if let Some(hold) = &unknown.drains {
        return Err(hold.clone());
    }
    let ready = demand.ready - u32::from(view.works());
    if ready < demand.wanted && !victim.broken {
        return Err(Hold::TooFewReady { pod: pod(), ready, wanted: demand.wanted });
    }
    let policy = &census.observed.fleet.policy;
    room.without(view).admit(&view.pod.id.name, sockets, policy.headroom)?;
    pacing::admit(&view.pod.id.name, sockets, room.committed, budget, policy)
}

/// Pods whose sockets are not known. Who begins to drain is not among them: it changes nothing.
struct Unknown {
    /// Pods of the pool.
    silent: Option<Hold>,
    /// Pods that drain: what they use of the budget is not known.
    drains: Option<Hold>,
}

impl Unknown {
    fn of(census: &Census<'_>) -> Self {
        let mut pool = census.pool().filter(|v| v.held.is_none());
        let hold = |view: &View<'_>, others: usize| Hold::CountsUnknown {
            count: 1 + others,
            pod: view.pod.id.name.clone(),
        };
        let silent = pool.next().map(|first| hold(first, pool.count()));
        Self { silent, drains: census.views.iter().find(|v| silent_drain(v)).map(|view| hold(view, 0)) }
    }
}

fn silent_drain(view: &View<'_>) -> bool {
    view.counted
        && view.held.is_none()
        && view.drain.as_ref().is_some_and(|d| d.phase < PodDrainPhase::Forced)
}

/// Marks the beginning of a drain. Its deadline is set here and never again.
pub(super) fn begin(
    view: &mut View<'_>,
    reason: DrainReason,
    why: String,
    now: Timestamp,
    deadline: Timestamp,
) {
    let sockets = view.held.map_or("an unknown number of".to_owned(), |n| n.to_string());
    view.note = Some(Note {
        reason: "DrainStarted",
        message: format!("{} drains {sockets} sockets ({}): {why}", view.pod.id.name, reason.as_str()),
        warning: false,
    });
    view.drain = Some(DrainMark {
        phase: PodDrainPhase::Notified,
        since: now,
        started: now,
        deadline,
        reason,
        why,
        sockets: view.held,
    });
}

fn revision_not_ready(census: &Census<'_>, now: Timestamp) -> Option<Hold> {
    let fleet = &census.observed.fleet;
    let tried = |v: &View<'_>| !v.old && v.counted && now.duration_since(v.pod.created) >= START_UP;
    let blocked = census.serving == Serving::Old && !fleet.rollout.failed && census.views.iter().any(tried);
    blocked.then(|| Hold::RevisionNotReady { revision: fleet.revision.clone() })
}

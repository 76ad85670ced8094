//! What servers are told about their drain.

use jiff::Timestamp;
use socketfleet_api::contract::{DrainPhase, DrainReason, DrainRequest, Traffic};

use super::census::{Census, View};
use super::pacing::{self, Share};
use super::room::Room;
use super::{Action, Hold, Step};

/// Time between a pod's leaving the Service and its first closed socket: by then the nodes send the
/// clients that come back elsewhere.
const OUT_OF_SERVICE: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
/// Drains that were held because the others were full go on when this share of their places is free.
const RESUME: f64 = 0.05;

/// Calls to servers, and the paces they amount to.
#[derive(Debug, Default)]
pub(super) struct Paces {
    /// Calls to make.
    pub calls: Vec<Action>,
    /// Pace of each view's drain, sockets per second; 0 where there is none.
    pub of: Vec<f64>,
}

pub(super) fn paces(
    census: &Census<'_>,
    room: &Room,
    budget: f64,
    now: Timestamp,
    holds: &mut Vec<Hold>,
) -> Paces {
    let mut paces = Paces { calls: Vec::new(), of: vec![0.0; census.views.len()] };
    let (mut indices, mut shares) = (Vec::new(), Vec::new());
    let mut imposed = 0.0;
    for (index, view) in census.views.iter().enumerate() {
        if taken_back(view) {
            // Until it has heard of it, it goes on.
            imposed += in_force(view, now).unwrap_or(0.0);
            paces.calls.push(Action { pod: view.pod.id.clone(), step: Step::TakeBack });
        } else if view.pod.deleting.is_some() && view.leaving() {
            paces.of[index] = spread(view, now);
            imposed += paces.of[index];
        } else if may_be_told(view, now) && view.held == Some(0) {
            // Nobody is moved, so neither room nor budget matters: only the doors close.
            if view.report_phase() != Some(DrainPhase::Draining) {
                paces.calls.extend(tell(view, Some(0.0)));
            }
        } else if may_be_told(view, now) {
            indices.push(index);
            shares.push(Share { remaining: remaining(view), in_force: in_force(view, now) });
        }
    }
    let full = full(room, &shares);
    let shared = if census.observed.fleet.deletion.is_some() {
        // Nobody stays who could be overrun: the servers spread themselves over the time they have.
        vec![None; shares.len()]
    } else if full {
        holds.extend((!shares.is_empty()).then_some(Hold::Full));
        vec![Some(0.0); shares.len()]
    } else {
        pacing::share((budget - imposed).max(0.0), &shares).into_iter().map(Some).collect()
    };
    for ((index, share), pace) in indices.into_iter().zip(shares).zip(shared) {
        let view = &census.views[index];
        paces.of[index] = pace.unwrap_or_else(|| spread(view, now));
        if must_be_told(view, share.in_force, pace) {
            paces.calls.extend(tell(view, pace));
        }
    }
    paces
}

fn tell(view: &View<'_>, pace: Option<f64>) -> Option<Action> {
    let drain = view.drain.as_ref()?;
    let deadline = u64::try_from(drain.deadline.as_millisecond()).unwrap_or(0);
    let request = DrainRequest { deadline, reconnects_per_second: pace, reason: drain.reason };
    Some(Action { pod: view.pod.id.clone(), step: Step::Tell(request) })
}

/// Its server drains for us though its pod is to serve.
fn taken_back(view: &View<'_>) -> bool {
    let by_itself = view.pod.report.as_ref().is_some_and(|r| r.drain.reason == Some(DrainReason::Shutdown));
    view.drain.is_none() && view.serves() && view.drains() && !by_itself
}

/// Its server is to drain, and either does or may be told: its marks have been seen, its absence from the
/// Service long enough.
fn may_be_told(view: &View<'_>, now: Timestamp) -> bool {
    let (Some(seen), Some(_)) = (&view.pod.marks.drain, &view.drain) else { return false };
    let out_of_service =
        view.pod.marks.traffic == Some(Traffic::Drain) && now.duration_since(seen.started) >= OUT_OF_SERVICE;
    view.counted && !view.empty() && (out_of_service || view.report_phase() == Some(DrainPhase::Draining))
}

fn must_be_told(view: &View<'_>, in_force: Option<f64>, pace: Option<f64>) -> bool {
    let report = view.pod.report.as_ref().map(|r| &r.drain).filter(|r| r.phase == DrainPhase::Draining);
    match (report, pace) {
        (None, Some(pace)) => pace > 0.0,
        (None, None) => true,
        (Some(report), None) => report.reconnects_per_second.is_some(),
        (Some(_), Some(pace)) => {
            let in_force = in_force.unwrap_or(0.0);
            view.pod.unsure.is_some() || (pace - in_force).abs() > 0.01 * in_force
        }
    }
}

fn remaining(view: &View<'_>) -> u64 {
    view.held.or(view.drain.as_ref().and_then(|d| d.sockets)).unwrap_or(0)
}

/// Pace that the server drains at, at most; `None` where it does not say.
fn in_force(view: &View<'_>, now: Timestamp) -> Option<f64> {
    if view.drain.as_ref().is_some_and(|drain| now >= drain.deadline) {
        return Some(0.0); // All has been closed.
    }
    let Some(report) = view.pod.report.as_ref().map(|r| &r.drain) else { return view.pod.unsure };
    let told = match report.phase {
        DrainPhase::Draining => report.reconnects_per_second.unwrap_or_else(|| spread(view, now)),
        DrainPhase::Serving | DrainPhase::Drained => 0.0,
    };
    Some(told.max(view.pod.unsure.unwrap_or(0.0)))
}

/// Pace of a server that spreads its drain over the time it has.
fn spread(view: &View<'_>, now: Timestamp) -> f64 {
    let end = view.pod.deleting.or(view.drain.as_ref().map(|d| d.deadline));
    let left = end.map_or(0.0, |end| end.duration_since(now).as_secs_f64());
    remaining(view) as f64 / left.max(1.0)
}

/// The others have no place left, or not enough to go on with drains that were held.
fn full(room: &Room, shares: &[Share]) -> bool {
    let held = shares.iter().all(|s| s.in_force == Some(0.0));
    room.free == 0 || (held && (room.free as f64) < room.capacity as f64 * RESUME)
}

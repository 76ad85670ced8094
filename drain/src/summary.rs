//! What people and the autoscaler get to know.

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::{DrainPhase, DrainReason};

use super::census::{Census, View, count};
use super::demand::Demand;
use super::room::Room;
use super::{DrainProgress, Hold, Summary};

pub(super) fn summary(
    census: &Census<'_>,
    demand: &Demand,
    room: &Room,
    budget: f64,
    paces: &[f64],
    holds: Vec<Hold>,
    now: Timestamp,
) -> Summary {
    let sockets = |v: &View<'_>| v.pod.sockets.filter(|_| !v.lifeless());
    let mut drains: Vec<_> =
        census.views.iter().zip(paces).filter_map(|(view, pace)| progress(view, *pace, now)).collect();
    drains.sort_by(|a, b| (a.started, &a.pod).cmp(&(b.started, &b.pod)));
    Summary {
        serving: replicas(census, demand),
        ready: count(census.views.iter().filter(|v| v.serves() && v.pod.ready)),
        kept: kept(census),
        drains,
        holds,
        open_sockets: census.views.iter().filter_map(|v| v.held).sum(),
        capacity: census.pool().filter_map(sockets).map(|s| s.capacity).sum(),
        free: room.free,
        budget,
        pace: paces.iter().sum(),
    }
}

/// The autoscaler proposes this number again while the load is within its tolerance. So pods on order
/// count (else it takes a scale-out back), and pods that others replace do not (else a rollout's surge
/// becomes the wanted number).
fn replicas(census: &Census<'_>, demand: &Demand) -> u32 {
    if census.observed.fleet.deletion.is_some() || census.observed.fleet.paused {
        demand.serving()
    } else if demand.doomed > 0 {
        demand.wanted
    } else {
        demand.serving().max(demand.wanted)
    }
}

fn kept(census: &Census<'_>) -> u32 {
    let replaced = census.views.iter().any(|v| v.doom == Some(DrainReason::Rollout));
    if replaced { 0 } else { count(census.views.iter().filter(|v| v.kept)) }
}

fn progress(view: &View<'_>, pace: f64, now: Timestamp) -> Option<DrainProgress> {
    let drain = view.drain.as_ref().filter(|_| view.leaving())?;
    let seconds = view.held.filter(|_| pace > 0.0).map(|held| held as f64 / pace);
    let empty_at = seconds
        .and_then(|s| SignedDuration::try_from_secs_f64(s).ok())
        .and_then(|left| now.checked_add(left).ok())
        .map(|at| at.min(drain.deadline.max(now)));
    let report = view.pod.report.as_ref().map(|r| &r.drain).filter(|r| r.phase != DrainPhase::Serving);
    Some(DrainProgress {
        pod: view.pod.id.name.clone(),
        uid: view.pod.id.uid.clone(),
        phase: drain.phase,
        since: drain.since,
        reason: drain.reason,
        why: drain.why.clone(),
        sockets: drain.sockets,
        remaining: view.held,
        moved: report.map(|r| r.moved),
        cut: report.map_or(0, |r| r.forced),
        started: drain.started,
        deadline: drain.deadline,
        empty_at,
    })
}

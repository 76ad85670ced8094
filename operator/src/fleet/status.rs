//! Pure: the status of a fleet.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use socketfleet_api::SocketFleetStatus;
use socketfleet_api::fleet::{DrainRecord, DrainStatus, Phase, RevisionStatus, StatusSummary, Verdict};

use super::conditions::{Facts, conditions};
use super::drain_view::condition;
use super::names::{Names, selector_text};
use super::observe::Observed;
use super::validate::{Invalid, Redis, ValidatedFleet, warnings};
use crate::drain::{self, Decision, DrainProgress, PodPhase};
use crate::kinds::Kind;
use crate::open_sockets::Totals;

/// Drains that the status lists.
const LISTED_DRAINS: usize = 50;

/// What a look at a fleet has found.
pub struct Findings<'a> {
    /// The fleet as it is carried out.
    pub fleet: &'a ValidatedFleet,
    /// What belongs to it.
    pub observed: &'a Observed,
    /// The same, as the drain machine saw it.
    pub view: &'a drain::Observed,
    /// What the drain machine says.
    pub decision: &'a Decision,
    /// Its open sockets.
    pub totals: &'a Totals,
    /// What is known of drains that have ended.
    pub last_drains: &'a [DrainRecord],
    /// Its rollout has failed.
    pub verdict: Option<&'a Verdict>,
    /// Why its spec is not carried out.
    pub invalid: Option<&'a Invalid>,
}

/// The status that follows from the findings.
pub fn status(found: &Findings<'_>, now: Timestamp) -> SocketFleetStatus {
    let Findings { fleet, observed, view, decision, totals, last_drains, verdict, invalid } = found;
    let summary = &decision.summary;
    let before = observed.fleet.status.clone().unwrap_or_default();
    let generation = observed.fleet.metadata.generation;
    let revisions = revisions(view);
    let warnings = warnings(fleet);
    let facts = Facts {
        invalid: *invalid,
        warnings: &warnings,
        wanted: view.fleet.desired,
        summary,
        doubt: totals.doubt.as_ref(),
        redis_ready: matches!(fleet.redis, Redis::Managed(_)).then(|| redis_ready(observed)),
        rollout_failed: *verdict,
        rolling_out: revisions.iter().any(|r| r.name != view.fleet.revision),
        replica_failure: replica_failure(observed),
        kept: summary.kept,
        fleet: &observed.name,
        paused: view.fleet.paused,
    };
    SocketFleetStatus {
        observed_generation: generation,
        phase: Some(phase(&facts, view)),
        replicas: number(summary.serving),
        ready_replicas: number(summary.ready),
        draining_replicas: i32::try_from(summary.drains.len()).unwrap_or(i32::MAX),
        selector: Some(selector_text(&observed.name)),
        open_sockets: i64::try_from(totals.open).unwrap_or(i64::MAX),
        capacity: i64::try_from(totals.capacity).unwrap_or(i64::MAX),
        summary: Some(StatusSummary {
            sockets: short(totals.open),
            utilization: percent(totals.open, totals.capacity),
        }),
        current_revision: Some(view.fleet.revision.clone()),
        revisions,
        drains: summary.drains.iter().take(LISTED_DRAINS).map(drain_status).collect(),
        last_drains: last_drains.to_vec(),
        conditions: conditions(&facts, &before.conditions, generation, now),
    }
}

/// The status of a fleet that never was carried out.
pub fn refused(observed: &Observed, invalid: &Invalid, now: Timestamp) -> SocketFleetStatus {
    let before = observed.fleet.status.clone().unwrap_or_default();
    let generation = observed.fleet.metadata.generation;
    let facts = Facts {
        invalid: Some(invalid),
        warnings: &[],
        wanted: u32::try_from(observed.fleet.spec.replicas).unwrap_or(0),
        summary: &drain::Summary::default(),
        doubt: None,
        redis_ready: None,
        rollout_failed: None,
        rolling_out: false,
        replica_failure: None,
        kept: 0,
        fleet: &observed.name,
        paused: observed.fleet.spec.paused,
    };
    SocketFleetStatus {
        observed_generation: generation,
        phase: Some(Phase::Degraded),
        selector: Some(selector_text(&observed.name)),
        conditions: conditions(&facts, &before.conditions, generation, now),
        ..before
    }
}

/// Whether two statuses differ in nothing but numbers: those that follow the load, and those of pods that come one by one.
/// What has begun or ended with them is in the phase, the conditions and the drains.
pub fn differs_in_counts_only(a: &SocketFleetStatus, b: &SocketFleetStatus) -> bool {
    let without = |status: &SocketFleetStatus| {
        let mut status = status.clone();
        status.open_sockets = 0;
        status.capacity = 0;
        status.summary = None;
        (status.replicas, status.ready_replicas) = (0, 0);
        for revision in &mut status.revisions {
            (revision.replicas, revision.ready_replicas, revision.open_sockets) = (0, 0, 0);
        }
        for drain in &mut status.drains {
            (drain.remaining, drain.moved, drain.cut, drain.empty_at) = (None, 0, 0, None);
        }
        for record in &mut status.last_drains {
            (record.moved, record.recovered) = (0, 0);
            (record.reconnect_p50_ms, record.reconnect_p99_ms) = (None, None);
        }
        status.conditions.iter_mut().for_each(|c| c.message.clear());
        status
    };
    without(a) == without(b)
}

fn phase(facts: &Facts<'_>, view: &drain::Observed) -> Phase {
    if view.fleet.deletion.is_some() {
        Phase::Terminating
    } else if facts.invalid.is_some() || facts.rollout_failed.is_some() {
        Phase::Degraded
    } else if facts.paused {
        Phase::Paused
    } else if facts.summary.ready == 0 && facts.wanted > 0 {
        Phase::Pending
    } else if facts.rolling_out {
        Phase::RollingOut
    } else if facts.summary.ready < facts.wanted {
        Phase::ScalingOut
    } else if !facts.summary.drains.is_empty() {
        Phase::Draining
    } else {
        Phase::Running
    }
}

/// Revisions that have pods, the current one first.
fn revisions(view: &drain::Observed) -> Vec<RevisionStatus> {
    let mut names: Vec<_> = view.revisions.iter().collect();
    names.sort_by_key(|r| (r.hash != view.fleet.revision, std::cmp::Reverse(r.created)));
    let one = |revision: &drain::Revision| {
        let pods = || view.pods.iter().filter(|p| p.revision == revision.hash && p.phase != PodPhase::Ended);
        let sockets: u64 = pods().filter_map(|p| p.sockets).map(|s| s.open).sum();
        RevisionStatus {
            name: revision.hash.clone(),
            replicas: i32::try_from(pods().count()).unwrap_or(i32::MAX),
            ready_replicas: i32::try_from(pods().filter(|p| p.ready).count()).unwrap_or(i32::MAX),
            open_sockets: i64::try_from(sockets).unwrap_or(i64::MAX),
        }
    };
    names.into_iter().map(one).filter(|r| r.replicas > 0).collect()
}

fn drain_status(progress: &DrainProgress) -> DrainStatus {
    let DrainProgress {
        pod,
        uid,
        phase,
        since: _,
        reason,
        why,
        sockets: _,
        remaining,
        moved,
        cut,
        started,
        deadline,
        empty_at,
    } = progress;
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    DrainStatus {
        pod: pod.clone(),
        uid: uid.clone(),
        phase: *phase,
        reason: *reason,
        message: why.clone(),
        remaining: remaining.map(signed),
        moved: signed(moved.unwrap_or(0)),
        cut: signed(*cut),
        empty_at: empty_at.map(time),
        started_at: time(*started),
        deadline: time(*deadline),
    }
}

/// An instant as the API server keeps it: in whole seconds. What is read back is then what was written.
pub(super) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn redis_ready(observed: &Observed) -> bool {
    let live = observed.live.get(&(Kind::StatefulSet, Names(&observed.name).redis()));
    live.and_then(|l| l.data.pointer("/status/readyReplicas")).and_then(Value::as_u64).is_some_and(|n| n > 0)
}

/// Why a Deployment makes no pods.
fn replica_failure(observed: &Observed) -> Option<String> {
    let deployments = observed.live.iter().filter(|((kind, _), _)| *kind == Kind::Deployment);
    let failures = deployments.filter_map(|(_, live)| condition(&live.data, "ReplicaFailure"));
    failures.filter(|c| c["status"] == "True").find_map(|c| Some(c["message"].as_str()?.to_owned()))
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// `26.1k`
fn short(n: u64) -> String {
    let tenths = |unit: u64| (n.saturating_mul(10) / unit, unit);
    let (value, suffix) = match n {
        0..1_000 => return n.to_string(),
        1_000..1_000_000 => (tenths(1_000).0, "k"),
        _ => (tenths(1_000_000).0, "M"),
    };
    format!("{}.{}{suffix}", value / 10, value % 10)
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".into(),
        _ => format!("{}%", u128::from(part) * 100 / u128::from(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let shown = [0, 999, 1_000, 26_149, 999_999, 1_000_000, 10_050_000].map(short);
        assert_eq!(shown, ["0", "999", "1.0k", "26.1k", "999.9k", "1.0M", "10.0M"]);
        assert_eq!(percent(13, 20), "65%");
        assert_eq!(percent(1, 0), "-");
    }

    #[test]
    fn counts_alone_are_no_reason_to_write_at_once() {
        let a = SocketFleetStatus { open_sockets: 5, ..SocketFleetStatus::default() };
        assert!(differs_in_counts_only(&a, &SocketFleetStatus::default()));
        let b = SocketFleetStatus { replicas: 2, ready_replicas: 1, capacity: 1_000, ..a.clone() };
        assert!(differs_in_counts_only(&a, &b));
        let c = SocketFleetStatus { phase: Some(Phase::Running), ..b.clone() };
        assert!(!differs_in_counts_only(&b, &c));
        let d = SocketFleetStatus { draining_replicas: 1, ..b.clone() };
        assert!(!differs_in_counts_only(&b, &d));
    }
}

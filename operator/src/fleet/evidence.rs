//! Pure: what became of the sockets of drains that have ended.
//!
//! The draining server says how many it moved; the servers that recover their sessions say where these came from and how
//! long they were away. What was seen stands in `status`: an operator that starts goes on from there.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::SocketFleetStatus;
use socketfleet_api::contract::{AWAY_BOUNDS_MS, PodDrainPhase};
use socketfleet_api::fleet::{DrainRecord, DrainStatus};

use super::status::time;
use crate::drain::{self, DrainProgress};
use crate::open_sockets::FleetCounts;

/// Time after a drain in which clients come back.
const SETTLES: SignedDuration = SignedDuration::from_secs(60);
/// Settled drains that are remembered.
const REMEMBERED: usize = 10;
/// Drains that are remembered, settled or not.
const AT_MOST: usize = 50;

/// What is known of drains that have ended.
#[derive(Debug, Default, PartialEq)]
pub struct Evidence {
    /// For the status, newest first.
    pub records: Vec<DrainRecord>,
    /// Those that have settled now: to be told and counted once.
    pub settled: Vec<DrainRecord>,
    /// When the next one settles; nothing is observed then.
    pub again: Option<Duration>,
}

/// Adds what is seen now to what was known `before`.
pub fn collect(
    before: &SocketFleetStatus,
    view: &drain::Observed,
    drains: &[DrainProgress],
    counts: &FleetCounts,
    now: Timestamp,
) -> Evidence {
    let mut records = before.last_drains.clone();
    let is_new = |records: &[DrainRecord], uid: &str, started: Timestamp| {
        !records.iter().any(|r| r.uid == uid && r.started_at == time(started))
    };
    for drain in drains.iter().filter(|d| d.phase == PodDrainPhase::Empty) {
        let seen = before.drains.iter().find(|d| d.uid == drain.uid);
        // Pods that never held a socket are no evidence.
        let held = drain.sockets != Some(0) || drain.moved.is_some_and(|n| n > 0);
        if held && is_new(&records, &drain.uid, drain.started) {
            records.insert(0, emptied(drain, seen));
        }
    }
    // Those that drained by themselves end with their pod.
    let gone = |d: &&DrainStatus| !view.pods.iter().any(|p| p.id.uid == d.uid);
    for drain in before.drains.iter().filter(gone) {
        let held = drain.moved > 0 || drain.remaining != Some(0);
        if held && is_new(&records, &drain.uid, drain.started_at.0) {
            records.insert(0, ended(drain, now));
        }
    }
    let mut evidence = Evidence::default();
    for record in records.iter_mut().filter(|r| !r.settled) {
        measure(record, counts);
        let left = SETTLES - now.duration_since(record.ended_at.0);
        if left <= SignedDuration::ZERO {
            record.settled = true;
            evidence.settled.push(record.clone());
        } else {
            let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
            evidence.again = Some(evidence.again.map_or(left, |other| other.min(left)));
        }
    }
    let mut settled = 0;
    records.retain(|record| {
        settled += usize::from(record.settled);
        !record.settled || settled <= REMEMBERED
    });
    records.truncate(AT_MOST);
    evidence.records = records;
    evidence
}

fn emptied(drain: &DrainProgress, seen: Option<&DrainStatus>) -> DrainRecord {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    DrainRecord {
        pod: drain.pod.clone(),
        uid: drain.uid.clone(),
        reason: drain.reason,
        started_at: time(drain.started),
        ended_at: time(drain.since),
        moved: drain.moved.map_or_else(|| seen.map_or(0, |d| d.moved), signed),
        cut: signed(drain.cut).max(seen.map_or(0, |d| d.cut)),
        recovered: 0,
        reconnect_p50_ms: None,
        reconnect_p99_ms: None,
        settled: false,
    }
}

fn ended(drain: &DrainStatus, now: Timestamp) -> DrainRecord {
    DrainRecord {
        pod: drain.pod.clone(),
        uid: drain.uid.clone(),
        reason: drain.reason,
        started_at: drain.started_at.clone(),
        ended_at: time(now),
        moved: drain.moved,
        cut: drain.cut,
        recovered: 0,
        reconnect_p50_ms: None,
        reconnect_p99_ms: None,
        settled: false,
    }
}

/// Adds up who has come from the pod. A server that goes takes its count along: then the last sum holds.
fn measure(record: &mut DrainRecord, counts: &FleetCounts) {
    let mut away = [0_u64; AWAY_BOUNDS_MS.len() + 1];
    let arrivals = counts.pods.values().filter_map(|pod| pod.last()).flat_map(|reading| &reading.arrivals);
    for arrivals in arrivals.filter(|a| a.from == record.pod) {
        for (sum, n) in away.iter_mut().zip(&arrivals.away) {
            *sum = sum.saturating_add(*n);
        }
    }
    let recovered = i64::try_from(away.iter().sum::<u64>()).unwrap_or(i64::MAX);
    if recovered > record.recovered {
        record.recovered = recovered;
        record.reconnect_p50_ms = quantile(&away, 0.5);
        record.reconnect_p99_ms = quantile(&away, 0.99);
        // A pod that has gone said its last word before the end.
        record.moved = record.moved.max(recovered);
    }
}

/// A quantile of bucketed durations, in milliseconds; those within a bucket are taken to be spread evenly over it, those
/// beyond the last to be on its bound.
fn quantile(away: &[u64], share: f64) -> Option<i64> {
    let total: u64 = away.iter().sum();
    let wanted = (total as f64 * share).max(1.0);
    let mut below = 0.0;
    let mut lower = 0;
    for (n, upper) in away.iter().zip(AWAY_BOUNDS_MS) {
        let n = *n as f64;
        if n > 0.0 && below + n >= wanted {
            return Some(lower as i64 + ((upper - lower) as f64 * (wanted - below) / n).round() as i64);
        }
        below += n;
        lower = upper;
    }
    (total > 0).then_some(lower as i64)
}

/// For people.
pub fn sentence(record: &DrainRecord) -> String {
    let seconds = record.ended_at.0.duration_since(record.started_at.0).as_secs();
    let millis =
        |ms: Option<i64>| ms.map_or_else(|| "?".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1e3));
    format!(
        "{}: of {} sockets moved in {seconds} s, {} came back to their session and {} were cut at the deadline; away for {} \
         (p50), {} (p99)",
        record.pod,
        record.moved,
        record.recovered,
        record.cut,
        millis(record.reconnect_p50_ms),
        millis(record.reconnect_p99_ms)
    )
}

#[cfg(test)]
mod tests;

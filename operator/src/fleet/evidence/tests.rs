use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use socketfleet_api::contract::{Arrivals, DrainReason, DrainReport};

use super::*;
use crate::drain::{Fleet, Policy, Rollout};
use crate::open_sockets::{Count, PodCount, Reading};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn empty_view() -> drain::Observed {
    let policy =
        Policy { deadline: SignedDuration::from_secs(300), reconnects_per_second: None, headroom: 1.1 };
    let fleet = Fleet {
        desired: 2,
        floor: 0,
        paused: false,
        deletion: None,
        revision: "r".into(),
        policy,
        rollout: Rollout { max_surge: 1, paused: false, partition: 0, failed: false },
    };
    drain::Observed { fleet, revisions: Vec::new(), pods: Vec::new() }
}

#[test]
fn the_same_drain_read_back_in_whole_seconds_is_no_second_one() {
    let started = Timestamp::from_millisecond(4_750).unwrap();
    let drains = [DrainProgress { started, ..progress("a", PodDrainPhase::Empty) }];
    let (view, counts) = (empty_view(), FleetCounts::default());
    let first = collect(&SocketFleetStatus::default(), &view, &drains, &counts, at(21));
    let stored = serde_json::to_value(status(first)).unwrap();
    let read: SocketFleetStatus = serde_json::from_value(stored).unwrap();
    let again = collect(&read, &view, &drains, &counts, at(22));
    assert_eq!(again.records, read.last_drains);
}

fn progress(pod: &str, phase: PodDrainPhase) -> DrainProgress {
    DrainProgress {
        pod: pod.into(),
        uid: pod.into(),
        phase,
        since: at(20),
        reason: DrainReason::ScaleIn,
        why: "the fewest".into(),
        sockets: Some(800),
        remaining: Some(0),
        moved: Some(800),
        cut: 3,
        started: at(4),
        deadline: at(300),
        empty_at: None,
    }
}

/// Servers to which so many came from `a` within each of the first buckets.
fn arrived(servers: &[&[u64]]) -> FleetCounts {
    let mut counts = FleetCounts::default();
    for (n, away) in servers.iter().enumerate() {
        let drain = DrainReport::serving(0);
        let reading = Reading {
            open: 0,
            capacity: 1_000,
            drain,
            connections_total: 0,
            recovered_total: 0,
            connect_errors_total: 0,
            arrivals: vec![
                Arrivals { from: "a".into(), away: away.to_vec() },
                Arrivals { from: "b".into(), away: vec![7] },
            ],
            age: Duration::ZERO,
        };
        let count = PodCount { name: n.to_string(), serving: true, count: Count::Known(reading) };
        counts.pods.insert(n.to_string(), count);
    }
    counts
}

fn status(evidence: Evidence) -> SocketFleetStatus {
    SocketFleetStatus { last_drains: evidence.records, ..SocketFleetStatus::default() }
}

#[test]
fn a_drain_is_recorded_once_measured_for_a_minute_and_told_once() {
    let (view, start) = (empty_view(), SocketFleetStatus::default());
    let drains = [progress("a", PodDrainPhase::Empty)];
    let first = collect(&start, &view, &drains, &arrived(&[&[0, 100], &[]]), at(21));
    let record = &first.records[0];
    assert_eq!((record.moved, record.cut, record.recovered, record.settled), (800, 3, 100, false));
    assert_eq!(first.again, Some(Duration::from_secs(59)));

    let later = collect(&status(first), &view, &drains, &arrived(&[&[0, 600], &[0, 190, 10]]), at(40));
    assert_eq!((later.records.len(), later.records[0].recovered), (1, 800));
    assert_eq!(later.records[0].reconnect_p50_ms, Some(50 + 50 * 400 / 790));
    assert!(later.settled.is_empty());

    // The servers that it went to have gone meanwhile.
    let end = collect(&status(later), &view, &drains, &FleetCounts::default(), at(80));
    assert_eq!((end.settled.len(), end.settled[0].recovered, end.again), (1, 800, None));
    assert!(sentence(&end.settled[0]).starts_with("a: of 800 sockets moved in 16 s, 800 came back"));
    let after = collect(&status(end), &view, &[], &FleetCounts::default(), at(90));
    assert!(after.settled.is_empty() && after.records[0].settled);
}

#[test]
fn a_pod_that_ends_in_mid_drain_leaves_what_was_last_seen() {
    let seen = DrainStatus {
        pod: "a".into(),
        uid: "a".into(),
        phase: PodDrainPhase::Draining,
        reason: DrainReason::Deleted,
        message: "somebody deletes it".into(),
        remaining: Some(40),
        moved: 60,
        cut: 0,
        empty_at: None,
        started_at: Time(at(4)),
        deadline: Time(at(300)),
    };
    let before = SocketFleetStatus { drains: vec![seen], ..SocketFleetStatus::default() };
    let evidence = collect(&before, &empty_view(), &[], &arrived(&[&[95]]), at(10));
    let record = &evidence.records[0];
    assert_eq!((record.ended_at.0, record.moved, record.recovered), (at(10), 95, 95));
}

#[test]
fn pods_that_held_nothing_are_no_evidence() {
    let idle = DrainProgress { sockets: Some(0), moved: Some(0), ..progress("a", PodDrainPhase::Empty) };
    let under_way = progress("b", PodDrainPhase::Draining);
    let counts = FleetCounts::default();
    let evidence = collect(&SocketFleetStatus::default(), &empty_view(), &[idle, under_way], &counts, at(21));
    assert_eq!(evidence, Evidence::default());
}

#[test]
fn ten_settled_drains_are_kept_and_the_newest_come_first() {
    let (view, counts) = (empty_view(), FleetCounts::default());
    let mut known = SocketFleetStatus::default();
    for n in 0..15_i64 {
        let drain = [progress(&n.to_string(), PodDrainPhase::Empty)];
        known = status(collect(&known, &view, &drain, &counts, at(21)));
    }
    assert_eq!(known.last_drains.len(), 15);
    let settled = collect(&known, &view, &[], &counts, at(100));
    assert_eq!(settled.settled.len(), 15);
    assert_eq!(settled.records.len(), REMEMBERED);
    assert_eq!(settled.records[0].pod, "14");
}

#[test]
fn quantiles_of_buckets() {
    let mut away = [0; AWAY_BOUNDS_MS.len() + 1];
    assert_eq!(quantile(&away, 0.5), None);
    away[0] = 100;
    assert_eq!((quantile(&away, 0.5), quantile(&away, 0.99)), (Some(25), Some(50)));
    away[AWAY_BOUNDS_MS.len()] = 100;
    assert_eq!(quantile(&away, 0.99), Some(60_000));
}

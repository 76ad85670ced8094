use std::collections::BTreeMap;

use socketfleet_api::contract::DrainReport;
use socketfleet_api::fleet::{PodOptions, ServerSpec};

use super::*;
use crate::drain::{Fleet, Marks, NodeState, PodPhase, PodRef, Policy, Rollout};
use crate::open_sockets::{Count, PodCount, Reading};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod(name: &str, revision: &str, ready: bool, since: i64) -> Pod {
    Pod {
        id: PodRef { name: name.into(), uid: name.into(), resource_version: "1".into(), admin: None },
        revision: revision.into(),
        node: None,
        zone: None,
        node_state: NodeState::Fine,
        created: at(0),
        phase: PodPhase::Running,
        ready,
        ready_since: at(since),
        broken: false,
        deleting: None,
        requested: false,
        marks: Marks::default(),
        sockets: None,
        report: None,
        unsure: None,
    }
}

/// A rollout from `old` to `new`, with what the servers of each count: connects, and refused ones.
struct Case {
    spec: RolloutSpec,
    view: drain::Observed,
    counts: FleetCounts,
    attempt: RevisionRecord,
    retried: Option<Timestamp>,
}

impl Case {
    fn new(pods: Vec<Pod>) -> Self {
        let fleet = Fleet {
            desired: 2,
            floor: 0,
            paused: false,
            deletion: None,
            revision: "new".into(),
            policy: Policy {
                deadline: SignedDuration::from_secs(300),
                reconnects_per_second: None,
                headroom: 1.1,
            },
            rollout: Rollout { max_surge: 1, paused: false, partition: 0, failed: false },
        };
        Self {
            spec: RolloutSpec { progress_deadline_seconds: 60, ..RolloutSpec::default() },
            view: drain::Observed { fleet, revisions: Vec::new(), pods },
            counts: FleetCounts::default(),
            attempt: RevisionRecord {
                revision: "new".into(),
                since: Time(at(0)),
                server: ServerSpec::default(),
                pod: PodOptions::default(),
                failed: None,
            },
            retried: None,
        }
    }

    fn counting(mut self, connects: &[(&str, u64, u64)]) -> Self {
        let count = |&(name, connections_total, connect_errors_total): &(&str, u64, u64)| {
            let drain = DrainReport::serving(0);
            let reading = Reading {
                open: 0,
                capacity: 100,
                drain,
                connections_total,
                recovered_total: 0,
                connect_errors_total,
                arrivals: Vec::new(),
                age: Duration::ZERO,
            };
            let count = PodCount { name: name.to_owned(), serving: true, count: Count::Known(reading) };
            (name.to_owned(), count)
        };
        self.counts.pods = connects.iter().map(count).collect::<BTreeMap<_, _>>();
        self
    }

    fn trial(&self) -> Trial<'_> {
        Trial {
            spec: &self.spec,
            view: &self.view,
            counts: &self.counts,
            attempt: &self.attempt,
            retried: self.retried,
            gave_up: None,
        }
    }

    fn reason(&self, second: i64) -> Option<RolloutFailure> {
        self.trial().verdict(at(second)).map(|verdict| verdict.reason)
    }
}

#[test]
fn a_revision_without_a_ready_pod_has_its_time_and_no_more() {
    let case = Case::new(vec![pod("a", "old", true, 0), pod("b", "new", false, 0)]);
    assert_eq!(case.reason(60), None);
    assert_eq!(case.reason(61), Some(RolloutFailure::ProgressDeadlineExceeded));
    let one_ready = Case::new(vec![pod("b", "new", false, 0), pod("c", "new", true, 0)]);
    assert_eq!(one_ready.reason(1_000), None);
}

#[test]
fn a_canary_that_is_unready_for_a_moment_is_given_the_same_time() {
    let case = Case::new(vec![pod("a", "old", true, 0), pod("b", "new", false, 1_000)]);
    assert_eq!(case.reason(1_060), None);
    assert_eq!(case.reason(1_061), Some(RolloutFailure::ProgressDeadlineExceeded));
}

#[test]
fn servers_that_refuse_more_than_the_old_ones_are_bad() {
    let pods = || vec![pod("a", "old", true, 0), pod("b", "new", true, 0)];
    let judged =
        |new: (u64, u64)| Case::new(pods()).counting(&[("a", 10_000, 500), ("b", new.0, new.1)]).reason(30);
    assert_eq!(judged((99, 99)), None, "too few to tell");
    assert_eq!(judged((1_000, 150)), None, "10 points above 5 % are allowed");
    assert_eq!(judged((1_000, 151)), Some(RolloutFailure::ConnectErrors));
    let mut off = Case::new(pods()).counting(&[("a", 100, 0), ("b", 1_000, 1_000)]);
    off.spec.max_connect_error_percent = 100;
    assert_eq!(off.reason(30), None);
}

#[test]
fn without_an_old_revision_there_is_nothing_to_compare_with() {
    let alone = Case::new(vec![pod("b", "new", true, 0)]).counting(&[("b", 1_000, 1_000)]);
    assert_eq!(alone.reason(30), None);
}

#[test]
fn a_verdict_stands_until_a_retry_and_while_there_is_something_to_go_back_to() {
    let mut case = Case::new(vec![pod("a", "old", true, 0), pod("b", "new", true, 0)]);
    let verdict =
        Verdict { at: Time(at(10)), reason: RolloutFailure::ConnectErrors, message: "it was bad".into() };
    case.attempt.failed = Some(verdict);
    assert_eq!(case.reason(500), Some(RolloutFailure::ConnectErrors));
    case.retried = Some(at(20));
    assert_eq!(case.reason(500), None);
    case.retried = None;
    case.view.pods.remove(0);
    assert_eq!(case.reason(500), None);
}

#[test]
fn what_is_found_again_is_not_written_again() {
    let mut case = Case::new(vec![pod("b", "new", false, 0)]);
    case.attempt.failed = case.trial().verdict(at(100));
    assert_eq!(case.trial().verdict(at(200)), case.attempt.failed);
    case.view.pods[0].ready = true;
    assert_eq!(case.trial().verdict(at(300)), None, "alone, it heals");
}

#[test]
fn a_retry_gives_all_the_time_again() {
    let mut case = Case::new(vec![pod("a", "old", true, 0), pod("b", "new", false, 0)]);
    case.retried = Some(at(100));
    assert_eq!(case.reason(160), None);
    assert_eq!(case.reason(161), Some(RolloutFailure::ProgressDeadlineExceeded));
}

#[test]
fn it_is_looked_at_again_when_the_time_is_over() {
    let case = Case::new(vec![pod("b", "new", false, 0)]);
    assert_eq!(case.trial().again(at(20)), Some(Duration::from_secs(41)));
    assert_eq!(case.trial().again(at(100)), None);
    let compared = Case::new(vec![pod("a", "old", true, 0), pod("b", "new", true, 0)]);
    assert_eq!(compared.trial().again(at(20)), Some(COMPARED));
}

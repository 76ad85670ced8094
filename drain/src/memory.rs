//! What the operator has just done and not yet seen: watches and regular reports lag behind it.
//!
//! A decision that does not know of the last one takes a second victim for the same excess, or gives the
//! same share of the budget away twice. Nothing here outlives the process: an operator that starts lists
//! the pods and asks the servers first.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::DrainReport;

use super::{Marks, Observed, Pod, PodRef, Report};

/// Watches and reports show what was done within seconds.
const KEPT: SignedDuration = SignedDuration::from_secs(600);
/// A patch of which no answer came counts as done for this long, if nothing else is seen of the pod.
const DOUBT: SignedDuration = SignedDuration::from_secs(10);

/// The last calls to each server and the last patch of each pod, by the pod's UID.
#[derive(Debug, Default)]
pub struct Memory {
    calls: HashMap<String, Calls>,
    patches: HashMap<String, Patched>,
}

#[derive(Debug, Default)]
struct Calls {
    /// The last answer.
    answered: Option<(Timestamp, DrainReport)>,
    /// Calls since then got no answer: a pace of at most this may be in force, or not.
    unsure: Option<(Timestamp, f64)>,
}

#[derive(Debug)]
struct Patched {
    at: Timestamp,
    marks: Marks,
    /// Version that the patch made, or was made for when no answer came.
    version: String,
    sure: bool,
}

impl Memory {
    /// A server answered.
    pub fn answered(&mut self, uid: &str, at: Timestamp, report: DrainReport) {
        let calls = Calls { answered: Some((at, report)), unsure: None };
        self.calls.insert(uid.to_owned(), calls);
    }

    /// A call got no answer: its pace may be in force, or not.
    pub fn unsure(&mut self, uid: &str, at: Timestamp, pace: Option<f64>) {
        let calls = self.calls.entry(uid.to_owned()).or_default();
        let most = calls.unsure.map_or(0.0, |(_, pace)| pace);
        calls.unsure = Some((at, most.max(pace.unwrap_or(0.0))));
    }

    /// A pod was patched; `version` is what became of its resource version.
    pub fn patched(&mut self, uid: &str, at: Timestamp, marks: Marks, version: String) {
        self.patches.insert(uid.to_owned(), Patched { at, marks, version, sure: true });
    }

    /// A patch got no answer.
    pub fn maybe_patched(&mut self, pod: &PodRef, at: Timestamp, marks: Marks) {
        let version = pod.resource_version.clone();
        self.patches.insert(pod.uid.clone(), Patched { at, marks, version, sure: false });
    }

    /// Forgets what has long been observed.
    pub fn forget(&mut self, now: Timestamp) {
        self.calls.retain(|_, calls| calls.last().is_some_and(|at| now.duration_since(at) < KEPT));
        self.patches.retain(|_, patch| now.duration_since(patch.at) < KEPT);
    }

    /// Completes an observation where it is older than what was done.
    pub fn recall(&self, observed: &mut Observed, now: Timestamp) {
        for pod in &mut observed.pods {
            if let Some(patch) = self.patches.get(&pod.id.uid) {
                patch.recall(pod, now);
            }
            if let Some(calls) = self.calls.get(&pod.id.uid) {
                calls.recall(pod);
            }
        }
    }
}

impl Calls {
    fn last(&self) -> Option<Timestamp> {
        self.answered.as_ref().map(|(at, _)| *at).max(self.unsure.map(|(at, _)| at))
    }

    fn recall(&self, pod: &mut Pod) {
        let seen = pod.report.as_ref().map(|report| report.at);
        let is_news = |at: Timestamp| seen.is_none_or(|seen| seen <= at);
        pod.unsure = self.unsure.filter(|(at, _)| is_news(*at)).map(|(_, pace)| pace);
        if let Some((at, drain)) = self.answered.as_ref().filter(|(at, _)| is_news(*at)) {
            pod.report = Some(Report { at: *at, drain: drain.clone() });
        }
    }
}

impl Patched {
    fn recall(&self, pod: &mut Pod, now: Timestamp) {
        if self.sure && older(&pod.id.resource_version, &self.version) {
            pod.id.resource_version.clone_from(&self.version);
            pod.marks.clone_from(&self.marks);
        } else if !self.sure
            && !older(&self.version, &pod.id.resource_version)
            && now.duration_since(self.at) < DOUBT
        {
            pod.marks.clone_from(&self.marks);
        }
    }
}

/// Resource versions of one kind are numbers that grow, since Kubernetes 1.35 by contract and before by
/// habit. Any that are not are taken as observed.
fn older(version: &str, than: &str) -> bool {
    matches!((version.parse::<u128>(), than.parse::<u128>()), (Ok(a), Ok(b)) if a < b)
}

#[cfg(test)]
mod tests {
    use socketfleet_api::contract::DrainPhase;

    use super::*;
    use crate::{NodeState, PodPhase};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn report(pace: f64) -> DrainReport {
        let phase = DrainPhase::Draining;
        DrainReport { phase, reconnects_per_second: Some(pace), ..DrainReport::serving(9) }
    }

    fn pod(seen: i64, pace: f64) -> Pod {
        Pod {
            id: PodRef { name: "a".into(), uid: "a".into(), resource_version: "1".into(), admin: None },
            revision: "r".into(),
            node: None,
            zone: None,
            node_state: NodeState::Fine,
            created: at(0),
            phase: PodPhase::Running,
            ready: true,
            ready_since: at(0),
            broken: false,
            deleting: None,
            requested: false,
            marks: Marks::default(),
            sockets: None,
            report: Some(Report { at: at(seen), drain: report(pace) }),
            unsure: None,
        }
    }

    fn paces(memory: &Memory, mut pod: Pod) -> (Option<f64>, Option<f64>) {
        if let Some(calls) = memory.calls.get("a") {
            calls.recall(&mut pod);
        }
        (pod.report.and_then(|r| r.drain.reconnects_per_second), pod.unsure)
    }

    #[test]
    fn a_lost_answer_does_not_hide_the_one_before() {
        let mut memory = Memory::default();
        memory.answered("a", at(10), report(2.0));
        memory.unsure("a", at(11), Some(3.0));
        memory.unsure("a", at(12), Some(2.5));
        assert_eq!(paces(&memory, pod(9, 5.0)), (Some(2.0), Some(3.0)), "what was seen before is outdated");
        assert_eq!(paces(&memory, pod(11, 3.0)), (Some(3.0), Some(3.0)));
        assert_eq!(paces(&memory, pod(13, 2.5)), (Some(2.5), None));
        memory.answered("a", at(14), report(1.0));
        assert_eq!(paces(&memory, pod(9, 5.0)), (Some(1.0), None));
    }
}

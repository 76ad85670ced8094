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

/// The last call to each server and the last patch of each pod, by the pod's UID.
#[derive(Debug, Default)]
pub struct Memory {
    calls: HashMap<String, (Timestamp, Call)>,
    patches: HashMap<String, Patched>,
}

#[derive(Debug)]
enum Call {
    Answered(DrainReport),
    /// No answer came: this pace may be in force, or not.
    Unsure(f64),
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
        self.calls.insert(uid.to_owned(), (at, Call::Answered(report)));
    }

    /// A call got no answer: its pace may be in force, or not.
    pub fn unsure(&mut self, uid: &str, at: Timestamp, pace: Option<f64>) {
        self.calls.insert(uid.to_owned(), (at, Call::Unsure(pace.unwrap_or(0.0))));
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
        self.calls.retain(|_, (at, _)| now.duration_since(*at) < KEPT);
        self.patches.retain(|_, patch| now.duration_since(patch.at) < KEPT);
    }

    /// Completes an observation where it is older than what was done.
    pub fn recall(&self, observed: &mut Observed, now: Timestamp) {
        for pod in &mut observed.pods {
            if let Some(patch) = self.patches.get(&pod.id.uid) {
                patch.recall(pod, now);
            }
            let Some((at, call)) = self.calls.get(&pod.id.uid) else { continue };
            if pod.report.as_ref().is_some_and(|report| report.at > *at) {
                continue;
            }
            match call {
                Call::Answered(drain) => pod.report = Some(Report { at: *at, drain: drain.clone() }),
                Call::Unsure(pace) => pod.unsure = Some(*pace),
            }
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

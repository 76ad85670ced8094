//! What servers answered to calls, until their next regular report shows it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::DrainReport;

use super::{Observed, Report};

/// Regular reports come within seconds.
const MEMORY: SignedDuration = SignedDuration::from_secs(600);

/// The last call to each server, by UID of the pod. Losing it costs a repeated call, nothing else.
#[derive(Debug, Default)]
pub struct Calls {
    last: HashMap<String, (Timestamp, Outcome)>,
}

#[derive(Debug)]
enum Outcome {
    Answered(DrainReport),
    /// No answer came: this pace may be in force, or not.
    Unsure(f64),
}

impl Calls {
    /// A server answered.
    pub fn answered(&mut self, uid: &str, at: Timestamp, report: DrainReport) {
        self.note(uid, at, Outcome::Answered(report));
    }

    /// A call got no answer: its pace may be in force, or not.
    pub fn unsure(&mut self, uid: &str, at: Timestamp, pace: Option<f64>) {
        self.note(uid, at, Outcome::Unsure(pace.unwrap_or(0.0)));
    }

    fn note(&mut self, uid: &str, at: Timestamp, outcome: Outcome) {
        self.last.retain(|_, (then, _)| at.duration_since(*then) < MEMORY);
        self.last.insert(uid.to_owned(), (at, outcome));
    }

    /// Completes an observation where a call is newer than what was observed.
    pub fn recall(&self, observed: &mut Observed) {
        for pod in &mut observed.pods {
            let Some((at, outcome)) = self.last.get(&pod.id.uid) else { continue };
            if pod.report.as_ref().is_some_and(|report| report.at > *at) {
                continue;
            }
            match outcome {
                Outcome::Answered(drain) => pod.report = Some(Report { at: *at, drain: drain.clone() }),
                Outcome::Unsure(pace) => pod.unsure = Some(*pace),
            }
        }
    }
}

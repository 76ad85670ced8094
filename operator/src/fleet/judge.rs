//! Pure: whether the rollout of the revision that the spec makes has failed.
//!
//! A verdict stands, also after the operator was restarted, until the spec makes another revision or somebody asks for a
//! retry, and only while an old revision works: where there is nothing to go back to, the new one is looked at afresh.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::Value;
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use socketfleet_api::fleet::{RevisionRecord, RolloutFailure, RolloutSpec, Verdict};

use super::drain_view::condition;
use super::observe::Observed;
use crate::drain::{self, Pod};
use crate::kinds::Kind;
use crate::open_sockets::FleetCounts;

/// Connects by which a revision is judged, at least.
const SAMPLE: u64 = 100;
/// How often a rollout is looked at while its connects are compared.
const COMPARED: Duration = Duration::from_secs(10);

/// What a rollout is judged by.
pub struct Trial<'a> {
    /// `spec.rollout`.
    pub spec: &'a RolloutSpec,
    /// The fleet as the drain machine sees it.
    pub view: &'a drain::Observed,
    /// What its servers count.
    pub counts: &'a FleetCounts,
    /// The attempt.
    pub attempt: &'a RevisionRecord,
    /// When somebody asked for a retry.
    pub retried: Option<Timestamp>,
    /// When the Deployment of the current revision gave up, if it did.
    pub gave_up: Option<Timestamp>,
}

/// When somebody last asked for a retry.
pub fn retried(fleet: &SocketFleet) -> Option<Timestamp> {
    fleet.annotations().get(labels::ROLLOUT_RETRIED)?.parse().ok()
}

/// When the Deployment of a revision said that it does not get on: pods may be missing altogether.
pub fn gave_up(observed: &Observed, revision: &str) -> Option<Timestamp> {
    let of_revision = |live: &&kube::core::DynamicObject| {
        live.labels().get(labels::REVISION).is_some_and(|r| r == revision)
    };
    let deployments = observed.live.iter().filter(|((kind, _), _)| *kind == Kind::Deployment);
    let live = deployments.map(|(_, live)| live).find(of_revision)?;
    let progressing = condition(&live.data, "Progressing")?;
    (progressing["reason"] == "ProgressDeadlineExceeded")
        .then(|| progressing.get("lastUpdateTime").and_then(Value::as_str)?.parse().ok())?
}

impl Trial<'_> {
    /// The verdict that stands, or a new one.
    pub fn verdict(&self, now: Timestamp) -> Option<Verdict> {
        let standing = self.standing();
        if let Some(standing) = standing.filter(|_| self.old_works()) {
            return Some(standing.clone());
        }
        let (reason, message) = self.failure(now)?;
        // What is found again was found then.
        let again = standing.filter(|standing| standing.reason == reason).cloned();
        Some(again.unwrap_or(Verdict { at: Time(now), reason, message }))
    }

    /// Why the rollout fails, as things are.
    fn failure(&self, now: Timestamp) -> Option<(RolloutFailure, String)> {
        if self.not_ready_in_time(now) {
            let message = format!(
                "no pod of revision {} was Ready for {} s (spec.rollout.progressDeadlineSeconds)",
                self.attempt.revision, self.spec.progress_deadline_seconds
            );
            return Some((RolloutFailure::ProgressDeadlineExceeded, message));
        }
        let (new, old) = self.refusals().filter(|_| self.old_works())?;
        let margin = f64::from(self.spec.max_connect_error_percent) / 100.0;
        (new.seen >= SAMPLE && new.share() > old.share() + margin).then(|| {
            let message = format!(
                "revision {} refuses {:.0} % of {} connects, the old one {:.0} % (spec.rollout.maxConnectErrorPercent)",
                self.attempt.revision,
                new.share() * 100.0,
                new.seen,
                old.share() * 100.0
            );
            (RolloutFailure::ConnectErrors, message)
        })
    }

    /// When to look again though nothing is observed.
    pub fn again(&self, now: Timestamp) -> Option<Duration> {
        if self.verdict(now).is_some() {
            return None;
        }
        let compared = (self.old_works() && self.refusals().is_some()).then_some(COMPARED);
        let unready = self.unready_for(now).map(|unready| {
            // A little later, so that the time is really over.
            Duration::try_from(self.deadline() - unready).unwrap_or_default() + Duration::from_secs(1)
        });
        [compared, unready].into_iter().flatten().min()
    }

    fn standing(&self) -> Option<&Verdict> {
        self.attempt.failed.as_ref().filter(|verdict| self.retried.is_none_or(|at| verdict.at.0 > at))
    }

    fn deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(self.spec.progress_deadline_seconds.into())
    }

    fn current(&self) -> impl Iterator<Item = &Pod> {
        let revision = &self.view.fleet.revision;
        self.view.pods.iter().filter(move |p| p.revision == *revision && p.deleting.is_none())
    }

    /// A pod of another revision could serve.
    fn old_works(&self) -> bool {
        let works = |p: &Pod| p.deleting.is_none() && (p.ready || p.marks.drain.is_some());
        self.view.pods.iter().any(|p| p.revision != self.view.fleet.revision && works(p))
    }

    fn not_ready_in_time(&self, now: Timestamp) -> bool {
        let gave_up = self.gave_up.is_some_and(|at| self.retried.is_none_or(|retried| at > retried));
        let unready = self.unready_for(now).is_some_and(|unready| unready > self.deadline());
        unready || (gave_up && !self.current().any(|p| p.ready))
    }

    /// For how long none of the revision's pods has been Ready; `None` where one is. Pods that are emptied are unready
    /// on purpose.
    fn unready_for(&self, now: Timestamp) -> Option<SignedDuration> {
        if self.current().any(|p| p.ready) {
            return None;
        }
        let since = |p: &Pod| self.retried.map_or(p.ready_since, |retried| p.ready_since.max(retried));
        let pods = self.current().filter(|p| p.marks.drain.is_none());
        pods.map(|p| now.duration_since(since(p))).max()
    }

    /// Connects of the new and of the old revisions; `None` where they are not compared.
    fn refusals(&self) -> Option<(Connects, Connects)> {
        if self.spec.max_connect_error_percent >= 100 {
            return None;
        }
        let mut sums = (Connects::default(), Connects::default());
        for pod in &self.view.pods {
            let Some(reading) = self.counts.pods.get(&pod.id.uid).and_then(|p| p.last()) else { continue };
            let sum = if pod.revision == self.view.fleet.revision { &mut sums.0 } else { &mut sums.1 };
            sum.seen += reading.connections_total;
            sum.refused += reading.connect_errors_total;
        }
        Some(sums)
    }
}

/// Connects to the servers of a revision since their processes began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Connects {
    seen: u64,
    refused: u64,
}

impl Connects {
    fn share(self) -> f64 {
        // A connection may ask for several namespaces and be refused each time.
        if self.seen == 0 { 0.0 } else { (self.refused as f64 / self.seen as f64).min(1.0) }
    }
}

#[cfg(test)]
mod tests;

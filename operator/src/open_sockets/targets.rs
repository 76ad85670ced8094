//! Pods to be asked: from the Pod to where its server is, and what it has said so far.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::runtime::reflector::ObjectRef;
use socketfleet_api::contract::{Health, Traffic, labels, ports};
use tokio::time::Instant;

use super::changes::{Noted, Sums};
use super::schedule::{Attention, Pace};
use super::{Count, Failure, FleetRef, PodCount, Reading, Uid};

/// A server that has not yet become Ready is expected to answer once it has run this long: until then it
/// is starting, and holds no socket.
const START_GRACE: Duration = Duration::from_secs(30);
/// A pod that still exists this long after the kubelet should have killed it is on a lost node: its sockets
/// are gone, whatever it said last.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// A fleet's server pod, as the API server shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub uid: Uid,
    pub name: String,
    pub fleet: FleetRef,
    /// Admin endpoint; `None` before the pod has an address.
    pub admin: Option<SocketAddr>,
    /// The server's container runs.
    pub running: bool,
    pub ready: bool,
    /// The operator drains it, or it is being deleted.
    pub draining: bool,
    /// When the kubelet kills it at the latest, for a pod that is being deleted.
    pub killed_at: Option<Timestamp>,
}

impl Target {
    /// `None` for a pod that is not a fleet's server.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str);
        let fleet = ObjectRef::new(label(labels::FLEET)?).within(meta.namespace.as_deref()?);
        let (container, port) = pod.spec.as_ref()?.containers.iter().find_map(admin_port)?;
        let status = pod.status.as_ref();
        let ended = matches!(status.and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
        let address = status.and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse::<IpAddr>().ok());
        let server = status
            .and_then(|s| s.container_statuses.as_ref())
            .and_then(|all| all.iter().find(|c| c.name == container.name));
        let running = server.is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()));
        let annotated = meta.annotations.as_ref().is_some_and(|a| a.contains_key(labels::DRAIN_PHASE));
        let killed_at = meta.deletion_timestamp.as_ref().map(|t| t.0);
        Some(Self {
            uid: meta.uid.as_deref()?.into(),
            name: meta.name.clone()?,
            fleet,
            admin: address.map(|ip| SocketAddr::new(ip, port)),
            running: running && !ended,
            ready: server.is_some_and(|c| c.ready),
            draining: annotated
                || killed_at.is_some()
                || label(labels::TRAFFIC) == Some(Traffic::Drain.as_str()),
            killed_at,
        })
    }
}

/// The container that has a port named `admin`, and that port.
fn admin_port(container: &Container) -> Option<(&Container, u16)> {
    let port = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(ports::ADMIN))?;
    Some((container, u16::try_from(port.container_port).ok()?))
}

/// A pod, and what it has said so far.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    target: Target,
    /// Since when the server's container has been seen to run.
    running_since: Option<Instant>,
    /// From when on the pod is taken for lost with its node.
    lost_at: Option<Instant>,
    answer: Option<Answer>,
    /// Tries without an answer since the last answer.
    failures: u32,
    /// When the first of them ended.
    silent_since: Option<Instant>,
    failure: Option<Failure>,
    /// What the fleet's sums hold of it.
    noted: Option<Noted>,
}

/// What of a [`Health`] is kept.
#[derive(Clone, Debug)]
struct Answer {
    reading: Reading,
    at: Instant,
}

impl Entry {
    pub(super) fn new(target: Target, now: Instant, wall: Timestamp) -> Self {
        Self {
            running_since: target.running.then_some(now),
            lost_at: lost_at(&target, now, wall),
            target,
            answer: None,
            failures: 0,
            silent_since: None,
            failure: None,
            noted: None,
        }
    }

    /// Brings the fleet's sums up to date with the pod.
    pub(super) fn note(&mut self, sums: &mut Sums, pace: Pace, now: Instant) {
        let noted = Noted::of(&self.count(pace, now));
        sums.replace(self.noted.as_ref(), Some(&noted));
        self.noted = Some(noted);
    }

    /// Takes the pod out of the fleet's sums.
    pub(super) fn forget(&mut self, sums: &mut Sums) {
        sums.replace(self.noted.take().as_ref(), None);
    }

    /// Takes in the pod as it is now; true when it should be asked at once.
    pub(super) fn update(&mut self, target: Target, now: Instant, wall: Timestamp) -> bool {
        let before = std::mem::replace(&mut self.target, target);
        let after = &self.target;
        if !after.running {
            self.running_since = None;
            // The next process of this pod begins without sockets.
            self.answer = None;
        } else if self.running_since.is_none() {
            self.running_since = Some(now);
        }
        self.lost_at = lost_at(after, now, wall);
        let changed = before.admin != after.admin
            || (before.running, before.ready, before.draining)
                != (after.running, after.ready, after.draining);
        if changed {
            self.failures = 0;
        }
        changed
    }

    /// Where to ask; `None` for a pod that is not expected to have a server.
    pub(super) fn admin(&self) -> Option<SocketAddr> {
        self.target.admin.filter(|_| self.target.running)
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn attention(&self, fleet_rests: bool) -> Attention {
        let says_so = self.answer.as_ref().is_some_and(|a| a.reading.drains());
        match self.target.draining || says_so {
            true => Attention::Close,
            false if fleet_rests => Attention::Resting,
            false => Attention::Steady,
        }
    }

    /// Takes in an answer; true when the pod has said something new.
    pub(super) fn record(&mut self, answer: Result<Health, Failure>, now: Instant) -> bool {
        match answer {
            Ok(health) => {
                self.failures = 0;
                self.silent_since = None;
                self.failure = None;
                let (reading, before) = (Reading::of(health), self.answer.as_ref().map(|a| &a.reading));
                let is_new = before.is_none_or(|before| *before != reading);
                self.answer = Some(Answer { reading, at: now });
                is_new
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                self.silent_since.get_or_insert(now);
                self.failure = Some(failure);
                false
            }
        }
    }

    /// What is known of the pod at `now`.
    pub(super) fn count(&self, pace: Pace, now: Instant) -> PodCount {
        PodCount {
            name: self.target.name.clone(),
            serving: !self.target.draining,
            count: self.knowledge(pace, now),
        }
    }

    /// When what is known of the pod becomes something else by time alone: an answer stale, a start overdue, a node lost.
    /// `None` when only an answer or the watch can change it.
    pub(super) fn changes_at(&self, pace: Pace, now: Instant) -> Option<Instant> {
        let running_since = self.running_since?;
        let overdue = match &self.answer {
            Some(answer) => Some(pace.stale_at(answer.at, self.silent_since)),
            None if self.target.ready => None,
            None => running_since.checked_add(START_GRACE),
        };
        [overdue, self.lost_at].into_iter().flatten().filter(|at| *at > now).min()
    }

    fn knowledge(&self, pace: Pace, now: Instant) -> Count {
        let Some(running_since) = self.running_since else { return Count::NotRunning };
        if self.lost_at.is_some_and(|lost| lost <= now) && self.failures > 0 {
            return Count::NotRunning;
        }
        let last = self.answer.as_ref().map(|answer| Reading {
            age: now.saturating_duration_since(answer.at),
            ..answer.reading.clone()
        });
        let stale_at = self.answer.as_ref().map(|answer| pace.stale_at(answer.at, self.silent_since));
        let unanswered = match last {
            Some(reading) if stale_at.is_some_and(|stale| now < stale) => return Count::Known(reading),
            Some(ref reading) => reading.age,
            None => now.saturating_duration_since(running_since),
        };
        if last.is_none() && !self.target.ready && unanswered < START_GRACE {
            return Count::NotRunning;
        }
        let cause = self.failure.as_ref().map(ToString::to_string);
        Count::Missing { last, unanswered, cause }
    }
}

impl Reading {
    fn of(health: Health) -> Self {
        Self {
            open: health.connections,
            capacity: health.capacity,
            drain: health.drain,
            connections_total: health.connections_total,
            recovered_total: health.recovered_total,
            connect_errors_total: health.connect_errors_total,
            arrivals: health.arrivals,
            age: Duration::ZERO,
        }
    }
}

fn lost_at(target: &Target, now: Instant, wall: Timestamp) -> Option<Instant> {
    let left = target.killed_at?.duration_since(wall);
    let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
    now.checked_add(left + LOST_AFTER)
}

//! What is known of a fleet's open sockets, as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use socketfleet_api::contract::{Arrivals, DrainPhase, DrainReport};

/// Share of its capacity at which a pod counts as full, in per cent. Less than 100: the counts are up to two
/// seconds old, and a socket that is sent to a full pod is refused.
const SATURATED_PERCENT: u128 = 95;
/// Share below which it takes new sockets again, in per cent.
const RELIEVED_PERCENT: u128 = 90;

/// The counts of one fleet at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetCounts {
    /// Its server pods by UID, those that end included.
    pub pods: BTreeMap<String, PodCount>,
    /// What Prometheus says, for a fleet that uses it: the fleet's open sockets, or why they are not known.
    pub prometheus: Option<Result<u64, String>>,
    /// The pods have not been listed yet: there may be more.
    pub unlisted: bool,
}

/// One pod's count.
#[derive(Clone, Debug, PartialEq)]
pub struct PodCount {
    /// Its name.
    pub name: String,
    /// It does not drain and is not being deleted.
    pub serving: bool,
    /// What is known.
    pub count: Count,
}

/// What is known of a pod's sockets.
#[derive(Clone, Debug, PartialEq)]
pub enum Count {
    /// Its server does not run (not yet, or no longer): it holds no socket.
    NotRunning,
    /// Its server has answered lately.
    Known(Reading),
    /// Its server should answer, and does not.
    Missing {
        /// What it said last; `None` if it never answered.
        last: Option<Reading>,
        /// For how long.
        unanswered: Duration,
        /// Why, of the last try; `None` before one has ended.
        cause: Option<String>,
    },
}

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Open sockets.
    pub open: u64,
    /// Open sockets that it accepts.
    pub capacity: u64,
    /// How far its drain is.
    pub drain: DrainReport,
    /// Sockets accepted since its process began.
    pub connections_total: u64,
    /// Sockets whose session it recovered since its process began.
    pub recovered_total: u64,
    /// Clients that the application refused since its process began.
    pub connect_errors_total: u64,
    /// Sessions that came to it from servers that drained.
    pub arrivals: Vec<Arrivals>,
    /// How long ago.
    pub age: Duration,
}

/// The counts of one fleet, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Open sockets of all pods, draining ones included: what was last known of those that do not answer,
    /// and what Prometheus says where that is more.
    pub open: u64,
    /// Open sockets that the serving pods accept.
    pub capacity: u64,
    /// Pods whose count is known, those that hold none included.
    pub known: usize,
    /// Pods whose count should be known and is not.
    pub missing: usize,
    /// Why `open` may be too low.
    pub doubt: Option<Doubt>,
}

/// Why a fleet's count may be too low. Shown as a sentence that names what is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// The pods have not been listed yet.
    pub unlisted: bool,
    /// Pods that do not answer, each with the cause.
    pub pods: Vec<(String, Option<String>)>,
    /// What is wrong with Prometheus.
    pub prometheus: Option<String>,
}

impl PodCount {
    /// What the pod said last, however long ago; `None` for one that does not run or never answered.
    pub fn last(&self) -> Option<&Reading> {
        match &self.count {
            Count::NotRunning => None,
            Count::Known(reading) => Some(reading),
            Count::Missing { last, .. } => last.as_ref(),
        }
    }

    /// Its open sockets as far as they are known.
    pub(super) fn open(&self) -> u64 {
        self.last().map_or(0, |reading| reading.open)
    }

    /// Open sockets that it accepts, 0 while it drains.
    pub(super) fn serving_capacity(&self) -> u64 {
        self.last().filter(|reading| self.serving && !reading.drains()).map_or(0, |reading| reading.capacity)
    }

    /// What the pod said lately; `None` when that is not known, or it does not run.
    pub fn known(&self) -> Option<&Reading> {
        match &self.count {
            Count::Known(reading) => Some(reading),
            Count::NotRunning | Count::Missing { .. } => None,
        }
    }
}

impl Reading {
    /// The server itself says that it drains or has drained.
    pub fn drains(&self) -> bool {
        self.drain.phase != DrainPhase::Serving
    }

    /// Share of the capacity that is in use, in per cent; 100 where there is no capacity.
    pub(super) fn percent(&self) -> u128 {
        match self.capacity {
            0 => 100,
            capacity => u128::from(self.open) * 100 / u128::from(capacity),
        }
    }
}

/// Whether a pod should get no new sockets because it is nearly full: from 95 % of its capacity until it is
/// below 90 % again.
pub fn is_saturated(reading: &Reading, was_saturated: bool) -> bool {
    reading.percent() >= if was_saturated { RELIEVED_PERCENT } else { SATURATED_PERCENT }
}

impl FleetCounts {
    /// Adds the counts up.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mut silent = Vec::new();
        for pod in self.pods.values() {
            match &pod.count {
                Count::NotRunning | Count::Known(_) => totals.known += 1,
                Count::Missing { cause, .. } => {
                    totals.missing += 1;
                    silent.push((pod.name.clone(), cause.clone()));
                }
            }
            totals.open = totals.open.saturating_add(pod.open());
            totals.capacity = totals.capacity.saturating_add(pod.serving_capacity());
        }
        let prometheus = match &self.prometheus {
            Some(Ok(open)) => {
                totals.open = totals.open.max(*open);
                None
            }
            Some(Err(problem)) => Some(problem.clone()),
            None => None,
        };
        if self.unlisted || !silent.is_empty() || prometheus.is_some() {
            totals.doubt = Some(Doubt { unlisted: self.unlisted, pods: silent, prometheus });
        }
        totals
    }
}

impl Doubt {
    /// Reason for a condition, in CamelCase.
    pub fn reason(&self) -> &'static str {
        match (self.unlisted, self.pods.is_empty(), &self.prometheus) {
            (true, _, _) => "Starting",
            (false, false, _) => "PodsDoNotAnswer",
            (false, true, _) => "PrometheusUnavailable",
        }
    }
}

impl fmt::Display for Doubt {
    /// Names at most three pods: conditions and logs stay short for fleets of thousands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        f.write_str("open sockets are not known for sure: ")?;
        let mut separator = "";
        if self.unlisted {
            f.write_str("the operator has just started and has not listed all pods")?;
            separator = "; ";
        }
        if !self.pods.is_empty() {
            write!(f, "{separator}no answer from ")?;
            for (i, (name, cause)) in self.pods.iter().take(NAMED).enumerate() {
                write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
                if let Some(cause) = cause {
                    write!(f, " ({cause})")?;
                }
            }
            if self.pods.len() > NAMED {
                write!(f, " and {} more pods", self.pods.len() - NAMED)?;
            }
            separator = "; ";
        }
        if let Some(problem) = &self.prometheus {
            write!(f, "{separator}Prometheus: {problem}")?;
        }
        f.write_str(". Until they are, the fleet may grow and does not shrink.")
    }
}

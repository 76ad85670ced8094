//! How many pods are missing or too many.

use std::collections::BTreeMap;

use super::census::{Census, Serving, count};

/// Numbers of a fleet's pods, by which pods are ordered, taken back or chosen to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// Pods that are wanted to serve.
    pub wanted: u32,
    /// Pods that serve and may stay.
    pub staying: u32,
    /// Pods that serve and have to go.
    pub doomed: u32,
    /// Of both, those that take sockets.
    pub ready: u32,
    /// Pods of the serving revisions on living nodes, draining ones included.
    pub alive: u32,
}

impl Demand {
    pub fn of(census: &Census<'_>) -> Self {
        let fleet = &census.observed.fleet;
        let doomed = count(census.pool().filter(|v| v.doom.is_some()));
        let staying = count(census.pool()) - doomed;
        Self {
            wanted: fleet.wanted(),
            staying,
            doomed,
            ready: count(census.pool().filter(|v| v.works())),
            alive: count(
                census.views.iter().filter(|v| v.in_pool && (v.serves() || (v.counted && v.leaving()))),
            ),
        }
    }

    /// Pods that serve.
    pub fn serving(&self) -> u32 {
        self.staying + self.doomed
    }

    /// Pods that are missing.
    pub fn missing(&self) -> u32 {
        self.wanted.saturating_sub(self.serving())
    }

    /// Pods that serve beyond those wanted.
    pub fn excess(&self) -> u32 {
        self.serving().saturating_sub(self.wanted)
    }

    /// Whether pods that could stay are too many, too.
    pub fn surplus(&self) -> bool {
        self.staying > self.wanted
    }
}

/// Pods that each revision gets beyond those it has. What is missing is made up for at once; pods that have
/// to go are replaced ahead of their drain, as far as the surge allows.
pub(super) fn births<'a>(census: &Census<'a>, demand: &Demand) -> BTreeMap<&'a str, u32> {
    let mut births = BTreeMap::new();
    let fleet = &census.observed.fleet;
    if fleet.paused {
        // Replicas that have no pod yet are repaired.
        for revision in &census.observed.revisions {
            let unborn = revision.replicas.saturating_sub(census.counted(&revision.hash));
            births.insert(revision.hash.as_str(), unborn);
        }
        return births;
    }
    let surge = fleet.rollout.max_surge.max(1);
    let allowed = (demand.wanted + surge).saturating_sub(demand.alive);
    let ahead = demand.wanted.saturating_sub(demand.staying).min(allowed);
    let mut ordered = demand.missing().max(ahead);
    if let Some(old) = census.partitioned() {
        let part = ordered.min(census.missing_in_partition());
        births.insert(old.hash.as_str(), part);
        ordered -= part;
    }
    if let Some(growing) = census.growing() {
        *births.entry(growing.hash.as_str()).or_default() += ordered;
    }
    if census.serving == Serving::Old && !fleet.rollout.paused && !fleet.rollout.failed {
        // The new revision shows first what it can do.
        let has = count(census.views.iter().filter(|v| v.serves() && !v.old));
        let probes = surge.min(demand.wanted.saturating_sub(fleet.rollout.partition)).saturating_sub(has);
        births.insert(fleet.revision.as_str(), probes);
    }
    births
}

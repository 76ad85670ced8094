//! Who leaves first.
//!
//! Pods that somebody asked for, then broken and Pending ones, pods on cordoned nodes, pods of old
//! revisions, then all others. Within a class: the fewest sockets; among those with about as few, the pod
//! in the fullest zone and on the fullest node, so that the spread stays; then the youngest.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::DrainReason;

use super::census::{Census, View};

/// Counts that differ by less than this much of the smaller one are as good as equal: the spread decides.
const ABOUT_EQUAL: f64 = 0.1;

/// A pod that has not been Ready for this long is broken.
const BROKEN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A pod that is to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    /// Index of its view.
    pub index: usize,
    /// It is not Ready and will not be soon: the fleet does without it already.
    pub broken: bool,
    /// What it leaves for.
    pub reason: DrainReason,
    /// Why it and not another, for people.
    pub why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Requested,
    Broken,
    Cordoned,
    OldRevision,
    Other,
    /// Sockets not known: never before one of which they are.
    Unknown,
}

/// The pod that leaves next, among those that serve. Pods that do not have to go are candidates only where
/// `surplus` says that there are more of them than wanted.
pub(super) fn next(census: &Census<'_>, surplus: bool, now: Timestamp) -> Option<Victim> {
    let mut candidates = Vec::new();
    for (index, view) in census.views.iter().enumerate() {
        if view.in_pool && view.serves() && (surplus || view.doom.is_some()) {
            candidates.push((class(view, now), view.held.unwrap_or(u64::MAX), index));
        }
    }
    let &(first, fewest, _) = candidates.iter().min()?;
    let about = fewest.saturating_add((fewest as f64 * ABOUT_EQUAL) as u64);
    candidates.retain(|&(class, held, _)| class == first && held <= about);

    let fullness = Fullness::count(census);
    let index = candidates.iter().map(|&(_, _, index)| index).min_by_key(|&index| {
        let view = &census.views[index];
        let (zone, node) = fullness.of(view);
        let youngest_first = std::cmp::Reverse(view.pod.created);
        (std::cmp::Reverse((zone, node)), view.held, youngest_first, &view.pod.id.uid)
    })?;
    let view = &census.views[index];
    let reason = view.doom.unwrap_or(DrainReason::ScaleIn);
    let broken = is_broken(view, now);
    Some(Victim { index, broken, reason, why: why(census, view, first, candidates.len(), &fullness) })
}

fn class(view: &View<'_>, now: Timestamp) -> Class {
    if view.pod.requested {
        Class::Requested
    } else if is_broken(view, now) {
        Class::Broken
    } else if view.held.is_none() {
        Class::Unknown
    } else {
        match view.doom {
            Some(DrainReason::NodeDrain) => Class::Cordoned,
            Some(_) => Class::OldRevision,
            None => Class::Other,
        }
    }
}

/// It serves nobody new, and few or none that it has.
fn is_broken(view: &View<'_>, now: Timestamp) -> bool {
    let unready_for = now.duration_since(view.pod.ready_since);
    view.lifeless() || (!view.pod.ready && (view.held == Some(0) || unready_for >= BROKEN_AFTER))
}

fn why(census: &Census<'_>, view: &View<'_>, class: Class, alike: usize, fullness: &Fullness<'_>) -> String {
    let sockets = view.held.unwrap_or(0);
    let node = view.pod.node.as_deref().unwrap_or("none");
    match class {
        Class::Requested => "it was asked for by annotation".to_owned(),
        Class::Broken => format!("it is not Ready; {sockets} sockets"),
        Class::Cordoned => format!("its node {node} is cordoned; {sockets} sockets"),
        Class::OldRevision => {
            format!("revision {} replaces it; {sockets} sockets, the fewest", census.observed.fleet.revision)
        }
        Class::Unknown => "its sockets are not known".to_owned(),
        Class::Other if alike > 1 => {
            let (_, on_node) = fullness.of(view);
            format!("{sockets} sockets, about the fewest, and its node {node} has {on_node} pods")
        }
        Class::Other => format!("{sockets} sockets, the fewest of {} pods", census.pool().count()),
    }
}

/// Serving pods by zone and by node.
struct Fullness<'a> {
    zones: HashMap<&'a str, u32>,
    nodes: HashMap<&'a str, u32>,
}

impl<'a> Fullness<'a> {
    fn count(census: &Census<'a>) -> Self {
        let mut fullness = Self { zones: HashMap::new(), nodes: HashMap::new() };
        for view in census.pool() {
            if let Some(zone) = view.pod.zone.as_deref() {
                *fullness.zones.entry(zone).or_default() += 1;
            }
            if let Some(node) = view.pod.node.as_deref() {
                *fullness.nodes.entry(node).or_default() += 1;
            }
        }
        fullness
    }

    fn of(&self, view: &View<'_>) -> (u32, u32) {
        let of = |counts: &HashMap<&str, u32>, key: &Option<String>| {
            key.as_deref().and_then(|k| counts.get(k)).copied().unwrap_or(0)
        };
        (of(&self.zones, &view.pod.zone), of(&self.nodes, &view.pod.node))
    }
}

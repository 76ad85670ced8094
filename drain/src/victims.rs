//! Who leaves first.
//!
//! Pods that somebody asked for, then broken and Pending ones, pods on cordoned nodes, pods of revisions that
//! are replaced, then all others. Within a class: the fewest sockets; among those with about as few, the pod
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
    Replaced,
    Other,
    /// Sockets not known: never before one of which they are.
    Unknown,
}

/// Those that may leave, in the order of their classes and sockets. Made once for a decision.
pub(super) struct Candidates<'a> {
    sorted: Vec<(Class, u64, usize)>,
    fullness: Fullness<'a>,
}

impl<'a> Candidates<'a> {
    pub fn of(census: &Census<'a>, now: Timestamp) -> Self {
        let may = |(_, v): &(usize, &View<'_>)| v.in_pool && v.serves();
        let rank = |(i, v): (usize, &View<'_>)| (class(v, now), v.held.unwrap_or(u64::MAX), i);
        let mut sorted: Vec<_> = census.views.iter().enumerate().filter(may).map(rank).collect();
        sorted.sort_unstable();
        Self { sorted, fullness: Fullness::count(census) }
    }

    /// The pod that leaves next. Pods that do not have to go are candidates only where `surplus` says that
    /// there are more of them than wanted, and never those that a partition keeps.
    pub fn next(&self, census: &Census<'_>, surplus: bool, now: Timestamp) -> Option<Victim> {
        let eligible = |&&(_, _, i): &&(Class, u64, usize)| {
            let view = &census.views[i];
            view.doom.is_some() || (surplus && !view.kept)
        };
        let &(first, fewest, _) = self.sorted.iter().find(eligible)?;
        let about = fewest.saturating_add((fewest as f64 * ABOUT_EQUAL) as u64);
        let alike = |&&(class, held, _): &&(Class, u64, usize)| class == first && held <= about;
        let alike = || self.sorted.iter().skip_while(|c| c.0 < first).take_while(alike).filter(eligible);
        let &(_, _, index) = alike().min_by_key(|&&(_, held, index)| {
            let view = &census.views[index];
            let youngest_first = std::cmp::Reverse(view.pod.created);
            (std::cmp::Reverse(self.fullness.of(index)), held, youngest_first, &view.pod.id.uid)
        })?;
        let view = &census.views[index];
        let reason = view.doom.unwrap_or(DrainReason::ScaleIn);
        let alone = alike().nth(1).is_none();
        let why = self.why(census, index, first, alone);
        Some(Victim { index, broken: is_broken(view, now), reason, why })
    }

    /// It leaves.
    pub fn remove(&mut self, index: usize) {
        self.sorted.retain(|c| c.2 != index);
        self.fullness.remove(index);
    }

    fn why(&self, census: &Census<'_>, index: usize, class: Class, alone: bool) -> String {
        let view = &census.views[index];
        let sockets = view.held.unwrap_or(0);
        let node = view.pod.node.as_deref().unwrap_or("none");
        match class {
            Class::Requested => "it was asked for by annotation".to_owned(),
            Class::Broken => format!("it is not Ready; {sockets} sockets"),
            Class::Cordoned => format!("its node {node} is cordoned; {sockets} sockets"),
            Class::Replaced if view.old => {
                format!(
                    "revision {} replaces it; {sockets} sockets, the fewest",
                    census.observed.fleet.revision
                )
            }
            Class::Replaced => format!("the rollout of its revision has failed; {sockets} sockets"),
            Class::Unknown => "its sockets are not known".to_owned(),
            Class::Other if alone => {
                format!("{sockets} sockets, the fewest of {} pods", self.sorted.len())
            }
            Class::Other => {
                let (_, on_node) = self.fullness.of(index);
                format!("{sockets} sockets, about the fewest, and its node {node} has {on_node} pods")
            }
        }
    }
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
            Some(_) => Class::Replaced,
            None => Class::Other,
        }
    }
}

/// It serves nobody new, and few or none that it has.
fn is_broken(view: &View<'_>, now: Timestamp) -> bool {
    let unready_for = now.duration_since(view.pod.ready_since);
    view.lifeless() || (!view.pod.ready && (view.held == Some(0) || unready_for >= BROKEN_AFTER))
}

/// Serving pods by zone and by node.
struct Fullness<'a> {
    zones: Counts<'a>,
    nodes: Counts<'a>,
}

/// How many views share a key, and which view has which.
#[derive(Default)]
struct Counts<'a> {
    numbers: HashMap<&'a str, usize>,
    of: Vec<Option<usize>>,
    counts: Vec<u32>,
}

impl<'a> Fullness<'a> {
    fn count(census: &Census<'a>) -> Self {
        let mut fullness = Self { zones: Counts::default(), nodes: Counts::default() };
        for view in &census.views {
            let counts = view.in_pool && view.serves();
            fullness.zones.push(view.pod.zone.as_deref(), counts);
            fullness.nodes.push(view.pod.node.as_deref(), counts);
        }
        fullness
    }

    /// Pods in the zone and on the node of a view.
    fn of(&self, index: usize) -> (u32, u32) {
        (self.zones.get(index), self.nodes.get(index))
    }

    fn remove(&mut self, index: usize) {
        self.zones.remove(index);
        self.nodes.remove(index);
    }
}

impl<'a> Counts<'a> {
    fn push(&mut self, key: Option<&'a str>, counts: bool) {
        let number = key.map(|key| {
            let next = self.numbers.len();
            *self.numbers.entry(key).or_insert(next)
        });
        self.counts.resize(self.numbers.len(), 0);
        if let Some(number) = number {
            self.counts[number] += u32::from(counts);
        }
        self.of.push(number);
    }

    fn get(&self, index: usize) -> u32 {
        self.of[index].map_or(0, |number| self.counts[number])
    }

    fn remove(&mut self, index: usize) {
        if let Some(number) = self.of[index] {
            self.counts[number] = self.counts[number].saturating_sub(1);
        }
    }
}

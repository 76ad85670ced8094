//! Who leaves first.
//!
//! Pods that somebody asked for, then broken and Pending ones, pods on cordoned nodes, pods of revisions that
//! are replaced, then all others. Within a class: the fewest sockets; among those with about as few, the pod
//! in the fullest zone and on the fullest node, so that the spread stays; then the youngest.

use std::cmp::Reverse;
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

/// Those that may leave, in the order of their classes and sockets. Made once for a decision: what it needs of the pods
/// lies side by side, for it is gone through for each victim.
pub(super) struct Candidates {
    sorted: Vec<Candidate>,
    /// Serving pods by zone and by node.
    zones: Vec<u32>,
    nodes: Vec<u32>,
}

struct Candidate {
    class: Class,
    held: u64,
    /// Index of its view.
    index: usize,
    created: Timestamp,
    /// It has to go.
    doomed: bool,
    /// A partition keeps it.
    kept: bool,
    /// Indices into the counts.
    zone: Option<usize>,
    node: Option<usize>,
}

impl Candidates {
    pub fn of(census: &Census<'_>, now: Timestamp) -> Self {
        let (mut zones, mut nodes) = (Counts::default(), Counts::default());
        let mut sorted = Vec::with_capacity(census.views.len());
        for (index, view) in census.views.iter().enumerate().filter(|(_, v)| v.in_pool && v.serves()) {
            sorted.push(Candidate {
                class: class(view, now),
                held: view.held.unwrap_or(u64::MAX),
                index,
                created: view.pod.created,
                doomed: view.doom.is_some(),
                kept: view.kept,
                zone: zones.add(view.pod.zone.as_deref()),
                node: nodes.add(view.pod.node.as_deref()),
            });
        }
        sorted.sort_unstable_by_key(|c| (c.class, c.held, c.index));
        Self { sorted, zones: zones.counts, nodes: nodes.counts }
    }

    /// The pod that leaves next. Pods that do not have to go are candidates only where `surplus` says that
    /// there are more of them than wanted, and never those that a partition keeps.
    pub fn next(&self, census: &Census<'_>, surplus: bool, now: Timestamp) -> Option<Victim> {
        let eligible = |c: &&Candidate| c.doomed || (surplus && !c.kept);
        let start = self.sorted.iter().position(|c| eligible(&c))?;
        let Candidate { class, held: fewest, .. } = self.sorted[start];
        let about = fewest.saturating_add((fewest as f64 * ABOUT_EQUAL) as u64);
        let near = |c: &&Candidate| c.class == class && c.held <= about;
        let alike = || self.sorted[start..].iter().take_while(near).filter(eligible);
        let uid = |c: &Candidate| &census.views[c.index].pod.id.uid;
        let chosen =
            alike().min_by(|a, b| self.rank(a).cmp(&self.rank(b)).then_with(|| uid(a).cmp(uid(b))))?;
        let view = &census.views[chosen.index];
        let reason = view.doom.unwrap_or(DrainReason::ScaleIn);
        let why = self.why(census, chosen, alike().nth(1).is_none());
        Some(Victim { index: chosen.index, broken: is_broken(view, now), reason, why })
    }

    /// It leaves.
    pub fn remove(&mut self, index: usize) {
        if let Some(position) = self.sorted.iter().position(|c| c.index == index) {
            let Candidate { zone, node, .. } = self.sorted.remove(position);
            zone.into_iter().for_each(|zone| self.zones[zone] -= 1);
            node.into_iter().for_each(|node| self.nodes[node] -= 1);
        }
    }

    /// Of those that are alike the first leaves: in the fullest zone, on the fullest node, fewest sockets, youngest.
    fn rank(&self, c: &Candidate) -> impl Ord + use<> {
        let count = |counts: &[u32], index: Option<usize>| index.map_or(0, |i| counts[i]);
        let fullness = (count(&self.zones, c.zone), count(&self.nodes, c.node));
        (Reverse(fullness), c.held, Reverse(c.created))
    }

    fn why(&self, census: &Census<'_>, chosen: &Candidate, alone: bool) -> String {
        let view = &census.views[chosen.index];
        let sockets = view.held.unwrap_or(0);
        let node = view.pod.node.as_deref().unwrap_or("none");
        match chosen.class {
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
                let on_node = chosen.node.map_or(0, |node| self.nodes[node]);
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

/// How many pods share a name.
#[derive(Default)]
struct Counts<'a> {
    indices: HashMap<&'a str, usize>,
    counts: Vec<u32>,
}

impl<'a> Counts<'a> {
    /// Counts one more; returns the name's index.
    fn add(&mut self, name: Option<&'a str>) -> Option<usize> {
        let next = self.counts.len();
        let index = *self.indices.entry(name?).or_insert(next);
        if index == next {
            self.counts.push(0);
        }
        self.counts[index] += 1;
        Some(index)
    }
}

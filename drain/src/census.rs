//! Who is who: each pod's place in the fleet, before anything is decided.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::{DrainPhase, DrainReason, PodDrainPhase, Traffic};

use super::{DrainMark, NodeState, Note, Observed, Pod, PodPhase, Revision};

/// A pod may take this long to become Ready before it counts as an obstacle.
pub(super) const START_UP: SignedDuration = SignedDuration::from_secs(30);

/// A fleet's pods with their places, and the drains as they shall be.
pub(super) struct Census<'a> {
    pub observed: &'a Observed,
    pub views: Vec<View<'a>>,
    pub serving: Serving,
    now: Timestamp,
    /// Pods that are counted, by revision.
    counted: HashMap<&'a str, u32>,
}

/// Which revisions serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// The current one; pods of others are to be replaced.
    Current,
    /// The old ones, while no pod of the current one is Ready or its rollout has failed: a bad revision never
    /// takes their sockets.
    Old,
}

/// A pod in its place.
pub(super) struct View<'a> {
    pub pod: &'a Pod,
    /// Sockets that it holds, `None` when that is not known.
    pub held: Option<u64>,
    /// Its ReplicaSet counts it: neither over nor being deleted.
    pub counted: bool,
    /// It belongs to another revision than the current one.
    pub old: bool,
    /// It is one of the pods that make up the wanted number.
    pub in_pool: bool,
    /// It has to go whatever number is wanted, for this reason.
    pub doom: Option<DrainReason>,
    /// It is one of the old revision's pods that the rollout's partition keeps.
    pub kept: bool,
    /// Its drain as it shall be, `None` while it serves.
    pub drain: Option<DrainMark>,
    /// What to tell people about a change of `drain`.
    pub note: Option<Note>,
}

impl<'a> Census<'a> {
    pub fn take(observed: &'a Observed, now: Timestamp) -> Self {
        let serving = serving(observed, now);
        let views: Vec<_> = observed.pods.iter().map(|pod| View::of(pod, observed, serving)).collect();
        let mut counted = HashMap::new();
        for view in views.iter().filter(|v| v.counted) {
            *counted.entry(view.pod.revision.as_str()).or_default() += 1;
        }
        let mut census = Self { observed, views, serving, now, counted };
        census.keep();
        census
    }

    /// Chooses the pods of old revisions that stay, of those revisions that work: pods that took sockets so
    /// far, the fullest first, then those that have only begun to drain for the rollout.
    fn keep(&mut self) {
        let partition = self.partition() as usize;
        if partition == 0 {
            return;
        }
        let working: HashSet<&str> =
            self.views.iter().filter(|v| serves_now(v.pod)).map(|v| &*v.pod.revision).collect();
        let mut old: Vec<_> = (0..self.views.len())
            .filter(|&i| working.contains(&*self.views[i].pod.revision))
            .filter_map(|i| Some((self.views[i].place_in_partition()?, i)))
            .collect();
        old.sort_unstable();
        for (_, i) in old.into_iter().take(partition) {
            self.views[i].doom = None;
            self.views[i].kept = true;
        }
    }

    /// Pods that the old revisions shall have while the current one serves too.
    fn partition(&self) -> u32 {
        let fleet = &self.observed.fleet;
        match self.serving {
            Serving::Current if !fleet.rollout.paused => fleet.rollout.partition.min(fleet.wanted()),
            Serving::Current | Serving::Old => 0,
        }
    }

    /// Pods that the old revisions lack to make up their part.
    pub fn missing_in_partition(&self) -> u32 {
        self.partition().saturating_sub(count(self.views.iter().filter(|v| v.kept)))
    }

    /// Pods that serve and make up the wanted number.
    pub fn pool(&self) -> impl Iterator<Item = &View<'a>> {
        self.views.iter().filter(|v| v.in_pool && v.serves())
    }

    /// Pods that are counted, of one revision.
    pub fn counted(&self, revision: &str) -> u32 {
        self.counted.get(revision).copied().unwrap_or(0)
    }

    /// Pods that new sockets and those of draining pods go to.
    pub fn receivers(&self) -> impl Iterator<Item = &View<'a>> {
        self.pool().filter(|v| v.doom.is_none() && v.works())
    }

    /// Sockets that are on their way to other pods.
    pub fn committed(&self) -> u64 {
        self.views.iter().filter(|v| v.leaving()).filter_map(|v| v.held).sum()
    }

    /// The revision that grows when more pods are wanted.
    pub fn growing(&self) -> Option<&'a Revision> {
        match self.serving {
            Serving::Current => self.revision(&self.observed.fleet.revision),
            Serving::Old => self.newest_old(|pod| holds_on(pod, self.now)),
        }
    }

    /// The old revision that a partition keeps.
    pub fn partitioned(&self) -> Option<&'a Revision> {
        self.newest_old(serves_now)
    }

    /// The newest of the old revisions that have such a pod.
    fn newest_old(&self, such: impl Fn(&Pod) -> bool) -> Option<&'a Revision> {
        let has = |r: &&Revision| self.views.iter().any(|v| v.pod.revision == r.hash && such(v.pod));
        let old = self.observed.revisions.iter().filter(|r| r.hash != self.observed.fleet.revision);
        old.filter(has).max_by_key(|r| r.created)
    }

    pub fn revision(&self, hash: &str) -> Option<&'a Revision> {
        self.observed.revisions.iter().find(|r| r.hash == hash)
    }
}

impl<'a> View<'a> {
    fn of(pod: &'a Pod, observed: &Observed, serving: Serving) -> Self {
        let old = pod.revision != observed.fleet.revision;
        let rollout = &observed.fleet.rollout;
        // A new revision that has yet to show what it can do neither counts nor leaves.
        let (in_pool, replaced) = match serving {
            Serving::Current => (true, old && !rollout.paused),
            Serving::Old => (old || rollout.failed, !old && rollout.failed),
        };
        let doom = if pod.requested {
            Some(DrainReason::Manual)
        } else if pod.node_state == NodeState::Cordoned {
            Some(DrainReason::NodeDrain)
        } else if replaced {
            Some(DrainReason::Rollout)
        } else {
            None
        };
        Self {
            pod,
            held: held(pod),
            counted: pod.phase != PodPhase::Ended && pod.deleting.is_none(),
            old,
            in_pool,
            doom,
            kept: false,
            drain: pod.marks.drain.clone(),
            note: None,
        }
    }

    /// How far in front it is among the pods that a partition may keep; `None` for others.
    fn place_in_partition(&self) -> Option<impl Ord + use<'a>> {
        let phase = self.drain.as_ref().map(|d| d.phase);
        let for_rollout = self.drain.as_ref().is_none_or(|d| d.reason == DrainReason::Rollout);
        let may = self.old
            && self.doom == Some(DrainReason::Rollout)
            && self.counted
            && for_rollout
            && self.pod.node_state != NodeState::Lost;
        let closed = self.pod.marks.traffic == Some(Traffic::Drain);
        may.then_some((
            phase,
            !serves_now(self.pod),
            closed,
            Reverse(self.held),
            self.pod.created,
            &*self.pod.id.uid,
        ))
    }

    /// Being emptied, by the operator or because somebody deletes it.
    pub fn leaving(&self) -> bool {
        self.pod.phase != PodPhase::Ended && (self.drain.is_some() || self.pod.deleting.is_some())
    }

    /// Counted, on a node that answers, and not leaving.
    pub fn serves(&self) -> bool {
        self.counted && !self.leaving() && self.pod.node_state != NodeState::Lost
    }

    /// Ready, and neither its marks nor its server say that it drains: one that was only just taken back
    /// does not take sockets yet.
    pub fn works(&self) -> bool {
        self.pod.ready && self.pod.marks.drain.is_none() && !self.drains()
    }

    /// Its server drains, or may.
    pub fn drains(&self) -> bool {
        let drains = self.report_phase().is_some_and(|phase| phase != DrainPhase::Serving);
        !self.lifeless() && (drains || self.pod.unsure.is_some())
    }

    /// Nothing runs that could hold a socket.
    pub fn lifeless(&self) -> bool {
        lifeless(self.pod)
    }

    /// No socket is left and no new one is taken.
    pub fn empty(&self) -> bool {
        self.lifeless() || self.report_phase() == Some(DrainPhase::Drained)
    }

    /// What its server says of its drain.
    pub fn report_phase(&self) -> Option<DrainPhase> {
        self.pod.report.as_ref().map(|r| r.drain.phase)
    }

    /// Free places.
    pub fn free(&self) -> u64 {
        self.pod.sockets.map_or(0, |s| s.capacity.saturating_sub(s.open))
    }

    /// Enters a phase of its drain, once.
    pub fn enter(&mut self, phase: PodDrainPhase, now: Timestamp, note: Option<Note>) {
        if let Some(drain) = &mut self.drain
            && drain.phase != phase
        {
            drain.phase = phase;
            drain.since = now;
            self.note = note.or(self.note.take());
        }
    }
}

pub(super) fn count<'v, 'a: 'v>(views: impl Iterator<Item = &'v View<'a>>) -> u32 {
    views.fold(0, |n, _| n + 1)
}

/// The current revision serves once a pod of it is Ready, unless it was judged bad. While it does not, the
/// old ones do, as long as one of their pods is alive.
fn serving(observed: &Observed, now: Timestamp) -> Serving {
    let of_current = |p: &&Pod| p.revision == observed.fleet.revision;
    let current_works = !observed.fleet.rollout.failed && observed.pods.iter().filter(of_current).any(alive);
    let old_works = observed.pods.iter().any(|p| !of_current(&p) && holds_on(p, now));
    if current_works || !old_works { Serving::Current } else { Serving::Old }
}

/// Works, or drains and could be taken back. A pod that the operator has emptied is not Ready but alive.
fn alive(pod: &Pod) -> bool {
    let emptied = pod.marks.drain.as_ref().is_some_and(|d| d.phase == PodDrainPhase::Empty);
    pod.deleting.is_none() && !lifeless(pod) && (pod.ready || emptied)
}

/// Works, or has until a moment ago and is being replaced: somebody who deletes the last pod of a revision that works
/// does not hand its place to one that does not.
fn holds_on(pod: &Pod, now: Timestamp) -> bool {
    let starts = !pod.ready
        && !pod.broken
        && pod.deleting.is_none()
        && pod.phase != PodPhase::Ended
        && pod.node_state != NodeState::Lost
        && pod.marks.drain.is_none()
        && now.duration_since(pod.created) < START_UP;
    alive(pod) || starts || (pod.deleting.is_some() && pod.ready && !lifeless(pod))
}

/// Works at this moment: one that is empty may never have.
fn serves_now(pod: &Pod) -> bool {
    alive(pod) && pod.ready
}

fn lifeless(pod: &Pod) -> bool {
    pod.phase != PodPhase::Running || pod.broken || pod.node_state == NodeState::Lost
}

fn held(pod: &Pod) -> Option<u64> {
    if lifeless(pod) {
        return Some(0);
    }
    match &pod.report {
        // While it drains its own report is the freshest that is known.
        Some(report) if report.drain.phase != DrainPhase::Serving => Some(report.drain.remaining),
        _ => pod.sockets.map(|s| s.open),
    }
}

//! Who is who: each pod's place in the fleet, before anything is decided.

use jiff::Timestamp;
use socketfleet_api::contract::{DrainPhase, DrainReason, PodDrainPhase};

use super::{DrainMark, NodeState, Note, Observed, Pod, PodPhase, Revision};

/// A fleet's pods with their places, and the drains as they shall be.
pub(super) struct Census<'a> {
    pub observed: &'a Observed,
    pub views: Vec<View<'a>>,
    pub serving: Serving,
}

/// Which revisions serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// The current one; pods of others are to be replaced.
    Current,
    /// The old ones, while no pod of the current one is Ready: a bad revision never takes their sockets.
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
    /// Its drain as it shall be, `None` while it serves.
    pub drain: Option<DrainMark>,
    /// What to tell people about a change of `drain`.
    pub note: Option<Note>,
}

impl<'a> Census<'a> {
    pub fn take(observed: &'a Observed) -> Self {
        let serving = serving(observed);
        let views = observed.pods.iter().map(|pod| View::of(pod, observed, serving)).collect();
        Self { observed, views, serving }
    }

    /// Pods that serve and make up the wanted number.
    pub fn pool(&self) -> impl Iterator<Item = &View<'a>> {
        self.views.iter().filter(|v| v.in_pool && v.serves())
    }

    /// Pods that are counted, of one revision.
    pub fn counted(&self, revision: &str) -> u32 {
        count(self.views.iter().filter(|v| v.counted && v.pod.revision == revision))
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
        let hash = &self.observed.fleet.revision;
        let newest_old = || {
            let alive = |r: &&Revision| self.views.iter().any(|v| v.pod.revision == r.hash && alive(v.pod));
            let old = self.observed.revisions.iter().filter(|r| r.hash != *hash);
            old.filter(alive).max_by_key(|r| r.created)
        };
        match self.serving {
            Serving::Current => self.observed.revisions.iter().find(|r| r.hash == *hash),
            Serving::Old => newest_old(),
        }
    }

    pub fn revision(&self, hash: &str) -> Option<&'a Revision> {
        self.observed.revisions.iter().find(|r| r.hash == hash)
    }
}

impl<'a> View<'a> {
    fn of(pod: &'a Pod, observed: &Observed, serving: Serving) -> Self {
        let old = pod.revision != observed.fleet.revision;
        let in_pool = match serving {
            Serving::Current => true,
            Serving::Old => old,
        };
        let doom = if pod.requested {
            Some(DrainReason::Manual)
        } else if pod.node_state == NodeState::Cordoned {
            Some(DrainReason::NodeDrain)
        } else if old && serving == Serving::Current && !observed.fleet.rollout.paused {
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
            drain: pod.marks.drain.clone(),
            note: None,
        }
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
fn serving(observed: &Observed) -> Serving {
    let of_current = |p: &&Pod| p.revision == observed.fleet.revision;
    let current_works = !observed.fleet.rollout.failed && observed.pods.iter().filter(of_current).any(alive);
    let old_works = observed.pods.iter().any(|p| !of_current(&p) && alive(p));
    if current_works || !old_works { Serving::Current } else { Serving::Old }
}

/// Works, or drains and could be taken back. A pod that the operator has emptied is not Ready but alive.
fn alive(pod: &Pod) -> bool {
    let emptied = pod.marks.drain.as_ref().is_some_and(|d| d.phase == PodDrainPhase::Empty);
    pod.deleting.is_none() && !lifeless(pod) && (pod.ready || emptied)
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

//! Open sockets of all fleets, as their pods' servers (and Prometheus, where a fleet names one) count them.
//!
//! Every replica of the operator keeps its own counts, the leader or not: each of them may be asked by the
//! HorizontalPodAutoscaler, and a new leader knows the fleets at once. The price is one small request for
//! each pod and replica every two seconds, less often where there are hundreds of pods; the gain is that no
//! state is shared.
//!
//! * [`Follower`] learns from a watch which pods there are;
//! * [`scraper`] asks each for its `/health`; [`prometheus`] asks Prometheus;
//! * [`OpenSockets::fleet`] gives the counts of one fleet as plain values, with what is in doubt;
//! * [`OpenSockets::changes`] names the fleets that are worth another look, so that nobody polls;
//! * [`served`] makes the number that the autoscaler gets: in doubt it never falls.

mod changes;
mod counts;
mod health;
mod metrics;
pub mod prometheus;
mod schedule;
pub mod scraper;
pub mod served;
mod targets;

use std::collections::{BTreeMap, HashMap, HashSet, btree_map};
use std::sync::Arc;

use futures::Stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::Health;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use counts::{Count, Doubt, FleetCounts, PodCount, Reading, Totals, is_saturated};
pub use health::{Failure, Fetch, HttpFetch};

use changes::Sums;
use schedule::{Pace, REST_AFTER};
use targets::{Entry, Target};

/// Names a fleet.
pub type FleetRef = ObjectRef<SocketFleet>;

/// UID of a pod.
type Uid = Arc<str>;

/// The counts of all fleets. Clones share them.
#[derive(Clone, Default)]
pub struct OpenSockets {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There are pods in `State::due`.
    due: Notify,
    /// There are fleets in `State::changed`.
    changed: Notify,
}

#[derive(Default)]
struct State {
    fleets: HashMap<FleetRef, FleetState>,
    fleet_of: HashMap<Uid, FleetRef>,
    /// Watches that have not yet listed their pods; `None` before there is one.
    unlisted: Option<usize>,
    /// Pods to be asked now.
    due: Vec<Uid>,
    /// Fleets whose counts have changed materially since somebody looked.
    changed: HashSet<FleetRef>,
}

#[derive(Default)]
struct FleetState {
    pods: BTreeMap<Uid, Entry>,
    prometheus: Option<prometheus::Sample>,
    sums: Sums,
    /// When a pod last said something new.
    moved: Option<Instant>,
}

impl OpenSockets {
    /// Knows nothing yet: all is in doubt until a [`Follower`] has listed the pods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the pods from one watch; a watch for each namespace needs a follower each. Make all of them
    /// before the first event: all is in doubt until each has listed its pods.
    pub fn follower(&self) -> Follower {
        *self.shared.state.lock().unlisted.get_or_insert(0) += 1;
        Follower { counts: self.clone(), known: HashSet::new(), listing: None, listed: false }
    }

    /// The counts of one fleet as of now.
    pub fn fleet(&self, fleet: &FleetRef) -> FleetCounts {
        let now = Instant::now();
        let state = self.shared.state.lock();
        let unlisted = state.unlisted != Some(0);
        match state.fleets.get(fleet) {
            Some(found) => found.counts(unlisted, state.pace(fleet), now),
            None => FleetCounts { unlisted, ..FleetCounts::default() },
        }
    }

    /// Asks a pod now and not when its turn comes: after a call that changes what it does.
    pub fn look_again(&self, uid: &str) {
        let mut state = self.shared.state.lock();
        if let Some((uid, _)) = state.fleet_of.get_key_value(uid) {
            let uid = uid.clone();
            state.due.push(uid);
            self.shared.due.notify_one();
        }
    }

    /// Fleets whose counts have changed in a way that may call for action: a pod became empty or nearly
    /// full, its drain got on, its count got lost or came back, the total moved by more than 1 %. One
    /// consumer; a fleet that changes several times before it is taken is named once.
    pub fn changes(&self) -> impl Stream<Item = FleetRef> + Send + 'static {
        futures::stream::unfold((self.clone(), Vec::new()), |(counts, mut batch)| async move {
            loop {
                if let Some(fleet) = batch.pop() {
                    return Some((fleet, (counts, batch)));
                }
                counts.shared.changed.notified().await;
                batch = counts.shared.state.lock().changed.drain().collect();
            }
        })
    }

    /// Notes what a pod answered. Returns how long to wait before it is asked again, `None` for a pod that
    /// is gone.
    fn record(&self, uid: &Uid, answer: Result<Health, Failure>) -> Option<std::time::Duration> {
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        let fleet = state.fleet_of.get(uid)?.clone();
        let pace = state.pace(&fleet);
        let found = state.fleets.get_mut(&fleet)?;
        let entry = found.pods.get_mut(uid)?;
        let rested = found.moved.is_some_and(|moved| moved + REST_AFTER <= now);
        let is_new = entry.record(answer, now);
        let delay = pace.delay(entry.attention(rested && !is_new), entry.failures(), fastrand::f64());
        // Not later than a count becomes stale: its loss is noticed then, however rarely a silent pod is asked.
        let stale = entry.changes_at(pace, now).map(|at| at - now);
        entry.note(&mut found.sums, pace, now);
        if is_new {
            found.moved = Some(now);
        }
        if is_new && rested {
            // Where one pod has news, the others have too.
            let others: Vec<Uid> = found.pods.keys().filter(|other| *other != uid).cloned().collect();
            state.due.extend(others);
            self.shared.due.notify_one();
        }
        self.announce(&mut state, &fleet, now);
        Some(stale.map_or(delay, |stale| delay.min(stale)))
    }

    /// A pod's turn has come: notes what time alone has changed, and says where to ask. `None` for a pod that is gone or
    /// has no server.
    fn turn(&self, uid: &Uid) -> Option<scraper::Place> {
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        let fleet = state.fleet_of.get(uid)?.clone();
        let pace = state.pace(&fleet);
        let found = state.fleets.get_mut(&fleet)?;
        let entry = found.pods.get_mut(uid)?;
        entry.note(&mut found.sums, pace, now);
        let place = entry.admin().map(|admin| scraper::Place { admin, failures: entry.failures() });
        self.announce(&mut state, &fleet, now);
        place
    }

    /// Notes what Prometheus answered for a fleet, `None` for a fleet that does not use it.
    fn record_prometheus(&self, fleet: &FleetRef, sample: Option<prometheus::Sample>) {
        let mut state = self.shared.state.lock();
        match sample {
            Some(sample) => state.fleets.entry(fleet.clone()).or_default().prometheus = Some(sample),
            None => match state.fleets.get_mut(fleet) {
                Some(found) => found.prometheus = None,
                None => return,
            },
        }
        self.announce(&mut state, fleet, Instant::now());
        state.forget_if_empty(fleet);
    }

    /// Takes in a pod as it is now.
    fn upsert(&self, pod: &Pod) -> Option<Uid> {
        let target = Target::of(pod)?;
        let (uid, fleet, now) = (target.uid.clone(), target.fleet.clone(), Instant::now());
        let mut state = self.shared.state.lock();
        state.fleet_of.insert(uid.clone(), fleet.clone());
        let (pace, wall) = (state.pace(&fleet), Timestamp::now());
        let found = state.fleets.entry(fleet.clone()).or_default();
        let (entry, ask) = match found.pods.entry(uid.clone()) {
            btree_map::Entry::Occupied(entry) => {
                let entry = entry.into_mut();
                let ask = entry.update(target, now, wall);
                (entry, ask)
            }
            btree_map::Entry::Vacant(place) => (place.insert(Entry::new(target, now, wall)), true),
        };
        entry.note(&mut found.sums, pace, now);
        if ask {
            state.due.push(uid.clone());
            self.shared.due.notify_one();
        }
        self.announce(&mut state, &fleet, now);
        Some(uid)
    }

    /// Forgets a pod that no longer exists.
    fn remove(&self, uid: &str) {
        let mut state = self.shared.state.lock();
        let Some(fleet) = state.fleet_of.remove(uid) else { return };
        if let Some(found) = state.fleets.get_mut(&fleet)
            && let Some(mut entry) = found.pods.remove(uid)
        {
            entry.forget(&mut found.sums);
        }
        self.announce(&mut state, &fleet, Instant::now());
        state.forget_if_empty(&fleet);
    }

    /// Names the fleet as changed when its counts differ materially from those last named.
    fn announce(&self, state: &mut State, fleet: &FleetRef, now: Instant) {
        let unlisted = state.unlisted != Some(0);
        let Some(found) = state.fleets.get_mut(fleet) else { return };
        let prometheus = found.prometheus.as_ref().map(|sample| sample.reading(now));
        let elsewhere = match &prometheus {
            Some(Ok(open)) => *open,
            Some(Err(_)) | None => 0,
        };
        if found.sums.announce(elsewhere, unlisted || matches!(prometheus, Some(Err(_)))) {
            state.changed.insert(fleet.clone());
            self.shared.changed.notify_one();
        }
    }
}

impl State {
    fn pace(&self, fleet: &FleetRef) -> Pace {
        let of_fleet = self.fleets.get(fleet).map_or(0, |found| found.pods.len());
        Pace::new(self.fleet_of.len(), self.fleets.len(), of_fleet)
    }

    fn forget_if_empty(&mut self, fleet: &FleetRef) {
        if self.fleets.get(fleet).is_some_and(|f| f.pods.is_empty() && f.prometheus.is_none()) {
            self.fleets.remove(fleet);
        }
    }
}

impl FleetState {
    fn in_doubt(&self, now: Instant) -> bool {
        let prometheus = self.prometheus.as_ref().is_some_and(|sample| sample.reading(now).is_err());
        prometheus || self.sums.missing() > 0
    }

    fn counts(&self, unlisted: bool, pace: Pace, now: Instant) -> FleetCounts {
        FleetCounts {
            pods: self.pods.iter().map(|(uid, entry)| (uid.to_string(), entry.count(pace, now))).collect(),
            prometheus: self.prometheus.as_ref().map(|sample| sample.reading(now)),
            unlisted,
        }
    }
}

/// Learns from the events of one watch on pods which of them are fleets' servers.
pub struct Follower {
    counts: OpenSockets,
    /// Pods that this watch has shown.
    known: HashSet<Uid>,
    /// Those shown since the list began, while it goes on.
    listing: Option<HashSet<Uid>>,
    /// The first list is complete.
    listed: bool,
}

impl Follower {
    /// Takes in one event: `watcher(pods, config).inspect_ok(move |event| follower.event(event))`.
    pub fn event(&mut self, event: &Event<Pod>) {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(pod) => {
                if let (Some(uid), Some(listing)) = (self.counts.upsert(pod), &mut self.listing) {
                    listing.insert(uid);
                }
            }
            Event::InitDone => self.list_done(),
            Event::Apply(pod) => self.known.extend(self.counts.upsert(pod)),
            Event::Delete(pod) => {
                if let Some(uid) = &pod.metadata.uid {
                    self.counts.remove(uid);
                    self.known.remove(uid.as_str());
                }
            }
        }
    }

    /// What the list did not show is gone.
    fn list_done(&mut self) {
        let listed = self.listing.take().unwrap_or_default();
        for uid in self.known.difference(&listed) {
            self.counts.remove(uid);
        }
        self.known = listed;
        if !std::mem::replace(&mut self.listed, true) {
            let mut state = self.counts.shared.state.lock();
            state.unlisted = state.unlisted.map(|n| n.saturating_sub(1));
            let (fleets, now): (Vec<_>, _) = (state.fleets.keys().cloned().collect(), Instant::now());
            for fleet in fleets {
                self.counts.announce(&mut state, &fleet, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;

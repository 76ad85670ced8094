//! What is remembered of fleets between two looks. Losing it costs a write or a moment's wait, no more.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use socketfleet_api::fleet::DrainRecord;
use tokio::time::Instant;

use crate::cache::FleetRef;
use crate::drain::{Observed, Shrink, Verifier, WrongVictims};

/// After this time what the API server refused is tried again: a policy may have changed.
const REFUSAL: Duration = Duration::from_secs(300);

/// Ends of drains that are remembered: more than the status lists.
const TOLD: usize = 100;

/// What is remembered of fleets.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<FleetRef, Remembered>>);

#[derive(Default)]
struct Remembered {
    written: Option<Instant>,
    rules: Option<Checked>,
    refused: Option<Refused>,
    scaled: HashMap<String, Scaled>,
    verifier: Verifier,
    /// Drains whose end was told, newest last: UID of the pod, and when the drain began.
    told: VecDeque<(String, Timestamp)>,
}

/// What the CEL rules say of one generation: a check takes longer than all the rest of a look.
struct Checked {
    uid: String,
    generation: i64,
    messages: Vec<String>,
}

struct Refused {
    uid: String,
    generation: i64,
    message: String,
    at: Instant,
}

/// A Deployment as it was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// `metadata.generation` after the write.
    pub generation: i64,
    /// `spec.replicas` after the write.
    pub replicas: u32,
}

impl Memory {
    /// How long a status that differs in nothing but counts has to wait.
    pub fn wait(&self, fleet: &FleetRef, between: Duration) -> Option<Duration> {
        let written = self.0.lock().get(fleet)?.written?;
        between.checked_sub(written.elapsed()).filter(|left| !left.is_zero())
    }

    /// The status has been written.
    pub fn wrote(&self, fleet: &FleetRef) {
        self.with(fleet, |remembered| remembered.written = Some(Instant::now()));
    }

    /// What the CEL rules say of this generation; `check` asks them.
    pub fn rules(
        &self,
        fleet: &FleetRef,
        uid: &str,
        generation: i64,
        check: impl FnOnce() -> Vec<String>,
    ) -> Vec<String> {
        let holds = |checked: &&Checked| checked.uid == uid && checked.generation == generation;
        if let Some(checked) = self.0.lock().get(fleet).and_then(|r| r.rules.as_ref()).filter(holds) {
            return checked.messages.clone();
        }
        let messages = check();
        let checked = Checked { uid: uid.to_owned(), generation, messages: messages.clone() };
        self.with(fleet, |r| r.rules = Some(checked));
        messages
    }

    /// The API server refuses what this generation of the spec makes.
    pub fn refuse(&self, fleet: &FleetRef, uid: String, generation: i64, message: String) {
        self.with(fleet, |r| r.refused = Some(Refused { uid, generation, message, at: Instant::now() }));
    }

    /// What the API server said, if this generation was refused lately.
    pub fn refused(&self, fleet: &FleetRef, uid: &str, generation: i64) -> Option<String> {
        let memory = self.0.lock();
        let refused = memory.get(fleet)?.refused.as_ref()?;
        let holds = refused.uid == uid && refused.generation == generation && refused.at.elapsed() < REFUSAL;
        holds.then(|| refused.message.clone())
    }

    /// A Deployment has been written.
    pub fn scaled(&self, fleet: &FleetRef, deployment: &str, scaled: Scaled) {
        self.with(fleet, |r| r.scaled.insert(deployment.to_owned(), scaled));
    }

    /// How a Deployment was last written.
    pub fn last_scaled(&self, fleet: &FleetRef, deployment: &str) -> Option<Scaled> {
        self.0.lock().get(fleet)?.scaled.get(deployment).copied()
    }

    /// Deployments have been made smaller for these pods to go.
    pub fn expect(&self, fleet: &FleetRef, observed: &Observed, shrinks: &[Shrink]) {
        self.with(fleet, |r| shrinks.iter().for_each(|shrink| r.verifier.expect(observed, shrink)));
    }

    /// Whether the pods that went were those.
    pub fn check(&self, fleet: &FleetRef, observed: &Observed, now: Timestamp) -> Vec<WrongVictims> {
        self.with(fleet, |r| r.verifier.check(observed, now))
    }

    /// Whether the end of a drain has yet to be told: the cache may not show the status that says that it was.
    pub fn tell(&self, fleet: &FleetRef, record: &DrainRecord) -> bool {
        let drain = (record.uid.clone(), record.started_at.0);
        self.with(fleet, |r| {
            let new = !r.told.contains(&drain);
            if new {
                r.told.push_back(drain);
                r.told.drain(..r.told.len().saturating_sub(TOLD));
            }
            new
        })
    }

    /// The fleet is gone.
    pub fn forget(&self, fleet: &FleetRef) {
        self.0.lock().remove(fleet);
    }

    fn with<T>(&self, fleet: &FleetRef, change: impl FnOnce(&mut Remembered) -> T) -> T {
        change(self.0.lock().entry(fleet.clone()).or_default())
    }
}

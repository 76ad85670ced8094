//! What every look at a fleet has at hand.

use std::sync::Arc;

use kube::Client;
use kube::runtime::events::Recorder;

use crate::cache::{Cache, FleetRef};
use crate::drain;
use crate::fleet::memory::Memory;
use crate::open_sockets::OpenSockets;
use crate::settings::Platform;
use crate::telemetry::metrics::Metrics;

/// What every look at a fleet of one scope has at hand.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is known of the scope.
    pub cache: Cache,
    /// Open sockets of all fleets.
    pub counts: OpenSockets,
    /// What the operator brings into every fleet.
    pub platform: Platform,
    /// The operator's own metrics.
    pub metrics: Metrics,
    /// Writes Events.
    pub recorder: Recorder,
    /// Carries out what the drain machine decides.
    pub drains: Arc<drain::Executor>,
    /// What is remembered of fleets between two looks; losing it costs a write, no more.
    pub memory: Memory,
}

impl Context {
    /// A fleet is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory.forget(&FleetRef::new(name).within(namespace));
        self.metrics.forget_fleet(namespace, name);
        self.metrics.knows(self.cache.fleets.len());
    }
}

//! How Redis is doing, as its observer sees it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use socketfleet_api::contract::metrics as names;

use super::{Histogram, without_unit};
use crate::adapter::redis::RedisObserver;

/// A label with one of few values.
type Label = [(&'static str, &'static str); 1];

/// Commands and errors of the connection to Redis.
#[derive(Debug, Default)]
pub struct RedisMetrics {
    commands: Family<Label, Histogram>,
    errors: Family<Label, Counter>,
    connected: AtomicBool,
}

impl RedisMetrics {
    /// Whether Redis can be used at present.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// Adds the families to a registry.
    pub(super) fn register(&self, registry: &mut Registry) {
        let name = without_unit(names::REDIS_COMMAND_DURATION, &Unit::Seconds);
        registry.register_with_unit(name, "Redis commands", Unit::Seconds, self.commands.clone());
        let help = "Failed Redis commands and lost connections";
        registry.register(names::REDIS_ERRORS, help, self.errors.clone());
    }
}

impl RedisObserver for RedisMetrics {
    fn command(&self, name: &'static str, took: Duration) {
        self.commands.get_or_create(&[("command", name)]).observe(took);
    }

    fn error(&self, kind: &'static str) {
        self.errors.get_or_create(&[("kind", kind)]).inc();
    }

    fn connected(&self, connected: bool) {
        if self.connected.swap(connected, Relaxed) != connected {
            if connected {
                tracing::info!("Redis is connected");
            } else {
                tracing::warn!("Redis is lost: rooms are shared within this server until it is back");
            }
        }
    }
}

//! What `/metrics` tells: the families of the pod contract, read at the moment they are asked for.

mod histogram;
mod redis;

use std::fmt::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use socketfleet_api::contract::{DrainPhase, metrics as names};

pub use histogram::Histogram;
pub use redis::RedisMetrics;

use crate::arrivals::Arrivals;
use crate::pod::Pod;
use crate::stats::{Observer, Stats};

/// Durations that are measured while the server runs.
#[derive(Debug, Default)]
pub struct Timings {
    /// From an event's arrival until it was written to its last receiver here.
    pub message_latency: Histogram,
    /// From a connection's acceptance until its first namespace was joined.
    pub connect_latency: Histogram,
    /// How late the event loop runs what is due.
    pub event_loop_lag: Histogram,
    /// From a draining server's goodbye until the session was recovered here.
    pub reconnect: Histogram,
    /// The same by the server that they came from.
    pub arrivals: Arrivals,
}

impl Observer for Timings {
    fn message_handled(&self, elapsed: Duration) {
        self.message_latency.observe(elapsed);
    }

    fn connected(&self, elapsed: Duration) {
        self.connect_latency.observe(elapsed);
    }

    fn arrived(&self, from: &ByteString, away: Duration) {
        self.reconnect.observe(away);
        self.arrivals.count(from, away, Instant::now());
    }
}

/// The registry of a server; encode it for each scrape.
pub fn registry(pod: Arc<Pod>) -> Registry {
    let mut registry = Registry::default();
    let labels = [("instance", pod.instance().to_owned()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
    registry.register(names::INSTANCE_INFO, "The instance and its version", Info::new(labels));
    if let Some(redis) = pod.redis() {
        redis.register(&mut registry);
    }
    registry.register_collector(Box::new(PodCollector(pod)));
    registry
}

struct PodCollector(Arc<Pod>);

impl std::fmt::Debug for PodCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PodCollector")
    }
}

impl Collector for PodCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let pod = &self.0;
        let mut out = Families(encoder);
        out.gauge(names::OPEN_SOCKETS, "Open sockets", pod.open_sockets())?;
        out.gauge(names::ROOMS, "Rooms with a member here", pod.rooms())?;
        out.gauge(names::MAX_CONNECTIONS, "Open sockets that the server accepts", pod.capacity())?;
        let draining = u64::from(pod.drain_phase() != DrainPhase::Serving);
        out.gauge(names::DRAINING, "1 while a drain runs, else 0", draining)?;
        out.with_unit(names::MEMORY_RSS, "Resident set size", Unit::Bytes, &ConstGauge::new(pod.rss()))?;

        let Stats {
            connections,
            disconnections,
            ping_timeouts,
            slow_consumers,
            protocol_errors,
            refused,
            bad_requests,
            upgrades,
            messages_received,
            messages_sent,
            volatile_dropped,
            recovered,
            not_recovered,
            connect_errors,
        } = pod.stats();
        for (name, help, counter) in [
            (names::CONNECTIONS, "Sockets accepted", connections),
            (names::MESSAGES_RECEIVED, "Events and acks received from clients", messages_received),
            (names::MESSAGES_SENT, "Events and acks sent to clients", messages_sent),
            ("socketfleet_disconnections", "Sockets closed, for whatever reason", disconnections),
            (
                "socketfleet_ping_timeouts",
                "Sockets closed because a heartbeat was not answered",
                ping_timeouts,
            ),
            ("socketfleet_slow_consumers", "Sockets closed because too much waited for them", slow_consumers),
            ("socketfleet_protocol_errors", "Sockets closed because of what they sent", protocol_errors),
            ("socketfleet_refused", "Connections refused: full, draining or short of memory", refused),
            ("socketfleet_bad_requests", "Requests answered with an error of the engine", bad_requests),
            ("socketfleet_upgrades", "Sockets that went from polling to WebSocket", upgrades),
            ("socketfleet_volatile_dropped", "Volatile events that were dropped", volatile_dropped),
            ("socketfleet_recovered", "Sockets whose session was recovered here", recovered),
            (names::CONNECT_ERRORS, "Clients that the application refused", connect_errors),
            ("socketfleet_not_recovered", "Recoveries that clients asked for in vain", not_recovered),
        ] {
            out.metric(name, help, &ConstCounter::new(counter.get()))?;
        }

        let Timings { message_latency, connect_latency, event_loop_lag, reconnect, arrivals: _ } =
            pod.timings();
        for (name, help, histogram) in [
            (names::MESSAGE_LATENCY, "From arrival until written to the last receiver here", message_latency),
            (
                "socketfleet_connect_latency_seconds",
                "From accept until a namespace was joined",
                connect_latency,
            ),
            (
                names::RECONNECT_DURATION,
                "From a draining server's goodbye until the session was recovered here",
                reconnect,
            ),
            (names::EVENT_LOOP_LAG, "How late the event loop runs what is due", event_loop_lag),
        ] {
            out.with_unit(name, help, Unit::Seconds, histogram)?;
        }
        Ok(())
    }
}

struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn metric(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> Result<(), Error> {
        let encoder = self.0.encode_descriptor(name, &sentence(help), None, metric.metric_type())?;
        metric.encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.metric(name, help, &ConstGauge::new(value))
    }

    /// The encoder puts the unit behind the name: it comes off here.
    fn with_unit(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        metric: &impl EncodeMetric,
    ) -> Result<(), Error> {
        let name = without_unit(name, &unit);
        let encoder = self.0.encode_descriptor(name, &sentence(help), Some(&unit), metric.metric_type())?;
        metric.encode(encoder)
    }
}

/// The registry ends its own help texts with a full stop.
fn sentence(help: &str) -> String {
    format!("{help}.")
}

fn without_unit<'a>(name: &'a str, unit: &Unit) -> &'a str {
    name.strip_suffix(unit.as_str()).and_then(|name| name.strip_suffix('_')).unwrap_or(name)
}

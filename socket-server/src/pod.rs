//! The server as a pod of a fleet: its health, readiness and drain, by the pod contract.
//!
//! The operator asks every pod every two seconds: nothing here looks at single sockets, and the memory is
//! sampled by the [`watch`], not by who asks.

mod sockets;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use socketfleet_api::contract::{DrainPhase, DrainReport, DrainRequest, Health, HealthStatus, Memory};

use crate::drain::{Drainer, Refusal};
use crate::metrics::{RedisMetrics, Timings};
use crate::process::memory::{MemoryProbe, Shedding};
use crate::server::Server;
use crate::stats::Stats;

pub use sockets::ServerSockets;
pub use watch::{Allocator, watch};

/// A server and what the fleet wants to know of it.
pub struct Pod {
    instance: String,
    capacity: u64,
    server: Server,
    timings: Arc<Timings>,
    redis: Option<Arc<RedisMetrics>>,
    started: Instant,
    drainer: Arc<Drainer<Arc<ServerSockets>>>,
    sockets: Arc<ServerSockets>,
    probe: MemoryProbe,
    rss: AtomicU64,
}

/// What a pod is made of.
pub struct Parts {
    /// Its name.
    pub instance: String,
    /// Sockets that it accepts.
    pub capacity: u32,
    /// The server itself.
    pub server: Server,
    /// What the server's observer measures.
    pub timings: Arc<Timings>,
    /// What the adapter's observer sees, where there is Redis.
    pub redis: Option<Arc<RedisMetrics>>,
    /// Looks at the process's memory.
    pub probe: MemoryProbe,
}

impl Pod {
    /// A pod that serves. [`Drainer::run`] is to be run beside it, and [`watch`] started.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { instance, capacity, server, timings, redis, probe } = parts;
        let sockets = ServerSockets::new(&instance, server.clone());
        Arc::new(Self {
            instance,
            capacity: capacity.into(),
            server,
            timings,
            redis,
            started: Instant::now(),
            drainer: Drainer::new(sockets.clone()),
            sockets,
            rss: AtomicU64::new(probe.sample().map_or(0, |sample| sample.rss)),
            probe,
        })
    }

    /// Its name.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Sockets that it accepts.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Sockets that are open.
    pub fn open_sockets(&self) -> u64 {
        self.server.open_connections() as u64
    }

    /// Rooms with a member here.
    pub fn rooms(&self) -> u64 {
        self.server.room_count() as u64
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What the server counts.
    pub fn stats(&self) -> &Stats {
        self.server.stats()
    }

    /// What is measured.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// How Redis is doing, where there is one.
    pub fn redis(&self) -> Option<&RedisMetrics> {
        self.redis.as_deref()
    }

    /// Resident set size at the last look, bytes.
    pub fn rss(&self) -> u64 {
        self.rss.load(Relaxed)
    }

    /// Who carries out its drain.
    pub fn drainer(&self) -> &Arc<Drainer<Arc<ServerSockets>>> {
        &self.drainer
    }

    /// How far a drain is.
    pub fn drain_phase(&self) -> DrainPhase {
        self.drainer.phase()
    }

    /// Whether sockets may be kept here: also while they are being moved, for a pod that is not ready is the
    /// first that a ReplicaSet deletes.
    pub fn is_ready(&self) -> bool {
        self.drain_phase() != DrainPhase::Drained
    }

    /// The body of `/health`.
    pub fn health(&self) -> Health {
        let drain = self.drainer.report();
        let problems = self.problems();
        let status = match drain.phase {
            DrainPhase::Draining | DrainPhase::Drained => HealthStatus::Draining,
            DrainPhase::Serving if !problems.is_empty() => HealthStatus::Degraded,
            DrainPhase::Serving => HealthStatus::Healthy,
        };
        Health {
            status,
            instance: self.instance.clone(),
            connections: drain.remaining,
            capacity: self.capacity,
            rooms: self.rooms(),
            uptime: self.started.elapsed().as_secs_f64(),
            memory: Memory { rss: self.rss(), limit: self.probe.limit() },
            drain,
            problems,
            connections_total: self.stats().connections.get(),
            recovered_total: self.stats().recovered.get(),
            connect_errors_total: self.stats().connect_errors.get(),
            arrivals: self.timings.arrivals.report(Instant::now()),
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.redis().is_some_and(|redis| !redis.is_connected()) {
            problems.push("Redis is not connected: rooms are shared within this server only".into());
        }
        match self.sockets.shedding() {
            Shedding::None => {}
            Shedding::RefuseNew => problems.push("memory is short: new connections are refused".into()),
            Shedding::DropVolatile => {
                problems.push("memory is short: new connections are refused, volatile events dropped".into());
            }
            Shedding::CloseSlowest => problems.push("memory is short: the slowest clients are closed".into()),
        }
        problems
    }

    /// See [`Drainer::request`].
    ///
    /// # Errors
    /// [`Refusal::Rate`].
    pub fn drain(&self, request: &DrainRequest) -> Result<DrainReport, Refusal> {
        self.drainer.request(request)
    }

    /// See [`Drainer::cancel`].
    ///
    /// # Errors
    /// [`Refusal::Ending`].
    pub fn cancel_drain(&self) -> Result<DrainReport, Refusal> {
        self.drainer.cancel()
    }

    /// How far a drain is, whole.
    pub fn drain_report(&self) -> DrainReport {
        self.drainer.report()
    }
}

//! Engine.IO 4: connections over long-polling and WebSocket.
//!
//! A connection is an `Arc<Conn>`, found by the slot in its sid. Whoever has something to send writes it to the
//! connection's stream at once, under a short lock; only what the kernel does not take is queued, and wakes the
//! connection's one task, which otherwise waits for input alone. Input is read into a buffer of the thread: a
//! connection holds bytes only of a message that has not arrived whole. One [`wheel`] drives all heartbeats.

mod closing;
mod conn;
mod deflate;
mod frame;
mod handshake;
mod heartbeat;
mod http;
mod id;
mod outbox;
mod packet;
mod polling;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod registry;
mod timers;
mod upgrade;
mod websocket;
mod wheel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use closing::{Close, CloseReason};
pub use conn::{Conn, Session};
pub use deflate::Shared;
pub(crate) use frame::binary as encode_binary;
pub use frame::message as encode_message;
pub use handshake::Handshake;
pub use http::Fallback;
pub use id::{ID_LEN, new_id};
pub use outbox::Sent;
pub use packet::{Message, ParseError};

use crate::options::{EngineOptions, WhenFull};
use crate::stats::Stats;
use registry::Registry;
use timers::TimerQueue;

/// Makes the session of a new connection: the layer above.
pub trait Acceptor: Send + Sync + 'static {
    /// Called once the connection is open and before its first message. It may send, and keep the connection.
    fn accept(&self, conn: &Arc<Conn>) -> Box<dyn Session>;
}

/// All connections of a server.
pub struct Engine {
    options: EngineOptions,
    acceptor: Box<dyn Acceptor>,
    stats: Arc<Stats>,
    registry: Registry,
    timers: TimerQueue,
    /// Connections past the handshake, and handshakes under way.
    seats: AtomicUsize,
    /// Why new connections are refused, and when they may come back.
    refusing: Mutex<Option<Refusal>>,
}

/// Why a connection is refused before its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    message: &'static str,
    retry_after: Duration,
}

impl Engine {
    /// Must be called inside of the runtime: the timers begin to run.
    pub fn new(options: EngineOptions, acceptor: Box<dyn Acceptor>, stats: Arc<Stats>) -> Arc<Self> {
        let timers = TimerQueue::new(&options, Instant::now());
        let engine = Arc::new(Self {
            options,
            acceptor,
            stats,
            registry: Registry::default(),
            timers,
            seats: AtomicUsize::new(0),
            refusing: Mutex::new(None),
        });
        timers::run(&engine);
        engine
    }

    /// As it was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// What it counts.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Connections past the handshake.
    pub fn open_connections(&self) -> usize {
        self.registry.len()
    }

    /// They all, in the order of their slots, which do not change.
    pub fn connections(&self) -> Vec<Arc<Conn>> {
        self.registry.all()
    }

    /// Refuses new connections with HTTP 503 and this `Retry-After`, or (`None`) accepts them again.
    pub fn refuse_new(&self, retry_after: Option<Duration>) {
        *self.refusing.lock() =
            retry_after.map(|retry_after| Refusal { message: "Server is draining", retry_after });
    }

    /// Serves HTTP on a stream until it closes; what upgrades to WebSocket goes on in a task of its own.
    pub async fn serve(self: Arc<Self>, stream: tokio::net::TcpStream, peer: SocketAddr, fallback: Fallback) {
        http::serve(self, stream, peer, fallback).await;
    }

    /// A place for one more connection.
    fn seat(self: &Arc<Self>) -> Result<Seat, Refusal> {
        if let Some(refusal) = *self.refusing.lock() {
            return Err(refusal);
        }
        let taken = self.seats.fetch_add(1, Ordering::AcqRel);
        let over_capacity = taken >= self.options.max_connections;
        let seat = Seat { engine: Some(Arc::clone(self)), over_capacity };
        if over_capacity && self.options.when_full == WhenFull::Refuse {
            return Err(Refusal { message: "Server at capacity", retry_after: self.options.retry_after });
        }
        Ok(seat)
    }

    /// A connection has left its place.
    fn unseat(&self) {
        self.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place taken; given back when dropped, unless a connection has taken it over.
struct Seat {
    engine: Option<Arc<Engine>>,
    /// The layer above is to say no.
    over_capacity: bool,
}

impl Seat {
    fn occupy(mut self) -> Option<Arc<Engine>> {
        self.engine.take()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            engine.unseat();
        }
    }
}

//! What a server counts, and the hooks for what is measured.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytestring::ByteString;

/// A monotonic count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// So far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts since the server was made; relaxed atomics, read at any time.
#[derive(Debug, Default)]
pub struct Stats {
    /// Engine.IO connections that passed the handshake.
    pub connections: Counter,
    /// Of these, closed again, for whatever reason.
    pub disconnections: Counter,
    /// Closed because the heartbeat was not answered.
    pub ping_timeouts: Counter,
    /// Closed because what waited to be sent to them exceeded its limit.
    pub slow_consumers: Counter,
    /// Closed because of bytes that are not the protocol's.
    pub protocol_errors: Counter,
    /// Handshakes refused for want of capacity or during a drain.
    pub refused: Counter,
    /// Requests answered with one of the engine's errors.
    pub bad_requests: Counter,
    /// Connections that went from polling to WebSocket.
    pub upgrades: Counter,
    /// Events and acks received from clients.
    pub messages_received: Counter,
    /// Events and acks sent to clients: one for each receiver.
    pub messages_sent: Counter,
    /// Volatile events that a receiver could not take.
    pub volatile_dropped: Counter,
    /// Sockets (of any namespace) whose session was recovered here.
    pub recovered: Counter,
    /// Recoveries that clients asked for and did not get.
    pub not_recovered: Counter,
    /// Clients that the application refused, by middleware or for their namespace.
    pub connect_errors: Counter,
}

/// Told what takes time. Called on the connections' tasks: it must neither block nor allocate much.
pub trait Observer: Send + Sync + 'static {
    /// From an event's arrival until its handler had written to the last receiver on this server.
    fn message_handled(&self, elapsed: Duration) {
        let _ = elapsed;
    }

    /// From a connection's acceptance until the root or another namespace was joined.
    fn connected(&self, elapsed: Duration) {
        let _ = elapsed;
    }

    /// A client has come here that the server `from` had moved away, and has been away this long.
    fn arrived(&self, from: &ByteString, away: Duration) {
        let _ = (from, away);
    }
}

/// Observes nothing.
#[derive(Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

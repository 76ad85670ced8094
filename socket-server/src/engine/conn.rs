//! A connection.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::closing::{Close, CloseReason, Closing};
use super::deflate::{self, Shared};
use super::heartbeat::Heartbeat;
use super::id::{self, Sid};
use super::outbox::{Flushed, Outbox, Phase, PollingState, Sent, Transport};
use super::packet::{self, Incoming, Message};
use super::timers::Timer;
use super::{Engine, Handshake, Seat};
use crate::options::PerMessageDeflate;

/// After its last poll was answered with the close, a client may have a request with data under way.
pub(super) const POLLED_OUT: Duration = Duration::from_secs(1);

/// What the layer above keeps for a connection, and how it hears of it. Called on the connection's task, one call
/// at a time; the calls must not block.
pub trait Session: Any + Send + Sync {
    /// A message has come. `Err` closes the connection for a parse error.
    fn on_message(&self, conn: &Arc<Conn>, message: Message) -> Result<(), packet::ParseError>;

    /// The connection has ended. Nothing follows.
    fn on_close(&self, conn: &Arc<Conn>, reason: CloseReason);

    /// The timer set with [`Conn::set_timer`] has come.
    fn on_timer(&self, conn: &Arc<Conn>) {
        let _ = conn;
    }
}

/// Names a connection for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) slot: u32,
    pub(super) serial: u64,
}

/// An Engine.IO connection.
pub struct Conn {
    engine: Arc<Engine>,
    key: Key,
    sid: Sid,
    over_capacity: bool,
    /// Both sides have agreed on compression. Set together with the WebSocket.
    deflates: AtomicBool,
    handshake: Handshake,
    session: OnceLock<Box<dyn Session>>,
    heartbeat: Heartbeat,
    outbox: Mutex<Outbox>,
}

impl Conn {
    /// Registers a connection whose transport is ready, says hello and hands it to the layer above.
    pub(super) fn open(
        seat: Seat,
        handshake: Handshake,
        transport: Transport,
        deflates: bool,
    ) -> Option<Arc<Self>> {
        let over_capacity = seat.over_capacity;
        let engine = seat.occupy()?;
        let timers = &engine.timers;
        let polling = matches!(transport, Transport::Polling(_));
        let conn = engine.registry.insert(|key| {
            Arc::new(Self {
                engine: Arc::clone(&engine),
                key,
                sid: id::new_sid(key.slot),
                over_capacity,
                deflates: AtomicBool::new(deflates),
                handshake,
                session: OnceLock::new(),
                heartbeat: Heartbeat::new(timers.now(), timers.pace),
                outbox: Mutex::new(Outbox::new(transport)),
            })
        });
        engine.stats.connections.inc();
        conn.send(&conn.open_packet(polling), false);
        timers.at(timers.now() + timers.pace.interval, Timer::Heartbeat(conn.key));
        let session = engine.acceptor.accept(&conn);
        // Only this function sets it.
        let _ = conn.session.set(session);
        Some(conn)
    }

    fn open_packet(&self, polling: bool) -> Bytes {
        let options = &self.engine.options;
        let upgrades: &[&str] =
            if polling && options.websocket && options.allow_upgrades { &["websocket"] } else { &[] };
        let open = serde_json::json!({
            "sid": self.sid(),
            "upgrades": upgrades,
            "pingInterval": self.engine.timers.pace.interval,
            "pingTimeout": self.engine.timers.pace.timeout,
            "maxPayload": options.max_http_buffer_size,
        });
        packet::text_frame(&format!("0{open}"))
    }

    /// The session id: a secret between the client and the server.
    pub fn sid(&self) -> &str {
        // Base64 by construction.
        std::str::from_utf8(&self.sid).unwrap_or_default()
    }

    /// A number that no other connection of this server ever has.
    pub fn serial(&self) -> u64 {
        self.key.serial
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(super) fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    pub(super) fn with_outbox<T>(&self, act: impl FnOnce(&mut Outbox) -> T) -> T {
        act(&mut self.outbox.lock())
    }

    /// The request that opened it.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// It came when the server was full, and is to be told so by the layer above.
    pub fn is_over_capacity(&self) -> bool {
        self.over_capacity
    }

    /// What the layer above keeps for it, when it is a `T`.
    pub fn session<T: Session>(&self) -> Option<&T> {
        let session: &dyn Any = &**self.session.get()?;
        session.downcast_ref()
    }

    /// Whether something can be sent.
    pub fn is_open(&self) -> bool {
        self.outbox.lock().is_open()
    }

    /// `polling` or `websocket`; the last one when it is closed.
    pub fn transport(&self) -> &'static str {
        match self.outbox.lock().transport {
            Transport::Polling(_) => "polling",
            Transport::WebSocket(_) | Transport::None => "websocket",
        }
    }

    /// Bytes that wait for the client to take them.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.lock().queued_bytes()
    }

    pub(super) fn deflates(&self) -> bool {
        self.deflates.load(Ordering::Relaxed)
    }

    /// Under the lock of the outbox: frames that are compressed must not get to another transport.
    pub(super) fn set_deflates(&self, deflates: bool) {
        self.deflates.store(deflates, Ordering::Relaxed);
    }

    fn threshold(&self) -> usize {
        self.engine
            .options
            .per_message_deflate
            .map_or(usize::MAX, |PerMessageDeflate { threshold }| threshold)
    }

    /// Sends frames (of [`encode_message`](super::encode_message)): at once where the stream takes them, else
    /// after what waits already. What is `volatile` does not wait.
    pub fn send(&self, frames: &Bytes, volatile: bool) -> Sent {
        match self.deflates() {
            false => self.put(frames, volatile),
            true => self.put(&deflate::deflate(frames, self.threshold()), volatile),
        }
    }

    /// The same with frames that others get too.
    pub fn send_shared(&self, frames: &Shared, volatile: bool) -> Sent {
        match self.deflates() {
            false => self.put(frames.plain(), volatile),
            true => self.put(frames.deflated(self.threshold()), volatile),
        }
    }

    fn put(&self, frames: &Bytes, volatile: bool) -> Sent {
        let mut outbox = self.outbox.lock();
        let Some(sent) = outbox.send(frames, volatile) else {
            // The task sees the broken stream itself.
            outbox.wake();
            return Sent::Closed;
        };
        if sent == Sent::Queued && outbox.queued_bytes() > self.engine.options.max_queued_bytes {
            self.engine.stats.slow_consumers.inc();
            let close = Close::slow();
            self.linger(close.step_time());
            outbox.close(close);
            return Sent::Closed;
        }
        sent
    }

    pub(super) fn ping(&self) {
        self.send(&Bytes::from_static(&[0x81, 1, b'2']), false);
    }

    /// Calls the session's `on_timer` after this time, once.
    pub fn set_timer(&self, after: Duration) {
        let at = self.engine.timers.now() + after.as_millis() as u64;
        self.engine.timers.at(at, Timer::Session(self.key));
    }

    /// Closes the connection; once it is closing or closed, does nothing.
    pub fn close(self: &Arc<Self>, close: Close) {
        let (now, reason, linger) = (close.is_now(), close.reason, close.step_time());
        let mut outbox = self.outbox.lock();
        if !outbox.close(close) {
            return;
        }
        let polled = outbox.is_polled_out();
        drop(outbox);
        match now {
            true => self.finish(reason),
            false => self.linger(if polled { POLLED_OUT } else { linger }),
        }
    }

    /// Ends the connection at once, also one that is closing.
    pub fn abort(self: &Arc<Self>, reason: CloseReason) {
        self.finish(reason);
    }

    /// Ends the connection after this time, if it has not ended by itself.
    pub(super) fn linger(&self, linger: Duration) {
        let timers = &self.engine.timers;
        timers.at(timers.now() + linger.as_millis() as u64, Timer::Linger(self.key));
    }

    /// Whether messages that come are for the session, and its events may be answered.
    pub(super) fn takes_messages(&self) -> bool {
        match &self.outbox.lock().phase {
            Phase::Open => true,
            Phase::Closing(closing) => closing.delivers(),
            Phase::Closed => false,
        }
    }

    /// A packet has come. `Err`: the connection is to be closed for this reason.
    pub(super) fn on_packet(self: &Arc<Self>, incoming: Incoming) -> Result<(), CloseReason> {
        let timers = &self.engine.timers;
        match incoming {
            Incoming::Pong => {
                self.heartbeat.pong(timers.now(), timers.pace);
                self.outbox.lock().step(Closing::pong);
                return Ok(());
            }
            _ => self.heartbeat.packet(|| timers.now(), timers.pace),
        }
        match incoming {
            Incoming::Message(message) if self.takes_messages() => match self.session.get() {
                Some(session) => session.on_message(self, message).map_err(|_| CloseReason::ParseError),
                None => Ok(()),
            },
            Incoming::Close => Err(CloseReason::TransportClose),
            // Only servers ping in revision 4.
            Incoming::Ping(_) => Err(CloseReason::TransportError),
            Incoming::Message(_) | Incoming::Pong | Incoming::Upgrade | Incoming::Noop => Ok(()),
        }
    }

    pub(super) fn session_timer(self: &Arc<Self>) {
        if let Some(session) = self.session.get() {
            session.on_timer(self);
        }
    }

    /// The last moment of a closing connection has come.
    pub(super) fn finish_lingering(self: &Arc<Self>) {
        let (reason, more) = {
            let mut outbox = self.outbox.lock();
            let more = outbox.step(Closing::timed_out);
            match &outbox.phase {
                Phase::Closing(closing) => (closing.reason(), more.then(|| closing.step_time())),
                Phase::Open | Phase::Closed => return,
            }
        };
        match more {
            Some(step_time) => self.linger(step_time),
            None => self.finish(reason),
        }
    }

    /// Whether a close would catch the client in between two messages. A polling client whose request with data is
    /// under way forgets what it has emitted since, when its connection is closed.
    pub fn is_quiet(&self, quiet: Duration) -> bool {
        match &self.outbox.lock().transport {
            Transport::Polling(PollingState { posting, posted, upgrading, poll: _, probed: _ }) => {
                let since = self.engine.timers.now().saturating_sub(*posted);
                !posting && !upgrading && since >= quiet.as_millis() as u64
            }
            Transport::WebSocket(_) | Transport::None => true,
        }
    }

    /// Writes what waits, for the task of a WebSocket.
    pub(super) fn flush(&self, cx: &mut std::task::Context<'_>) -> Flushed {
        self.outbox.lock().flush(cx)
    }

    /// The transport has ended, or is to: tells the layer above, once.
    pub(super) fn finish(self: &Arc<Self>, reason: CloseReason) {
        let Some(earlier) = self.outbox.lock().end() else { return };
        let reason = earlier.unwrap_or(reason);
        let stats = &self.engine.stats;
        stats.disconnections.inc();
        if reason == CloseReason::ParseError {
            stats.protocol_errors.inc();
        }
        self.engine.registry.remove(self.key);
        self.engine.unseat();
        if let Some(session) = self.session.get() {
            session.on_close(self, reason);
        }
    }
}

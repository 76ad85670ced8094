//! How the servers of a fleet share rooms.
//!
//! An [`Adapter`] belongs to one namespace. It carries what concerns other servers; what concerns the sockets of
//! this process is done by the [`Local`](crate::io::Local) that the adapter is built with: a broadcast that arrives
//! from elsewhere is handed to [`Local::broadcast`](crate::io::Local::broadcast), which encodes and frames it once
//! for all receivers. Each call names its Node counterpart, whose effect it has.

mod memory;
pub mod redis;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use serde_json::Value;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::io::Local;
use crate::packet::Payload;

pub use memory::{MemoryAdapter, MemoryOptions};

/// Name of a room. The name of a socket's own room is the socket's id.
pub type Room = ByteString;

/// A boxed future, as trait objects return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes the adapter of a namespace when the namespace is created. Called inside of the runtime.
pub type AdapterFactory = Arc<dyn Fn(Arc<Local>) -> Arc<dyn Adapter> + Send + Sync>;

/// Who gets a broadcast: the union of `rooms` (everybody when it is empty) without the members of `except`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BroadcastOptions {
    /// Rooms whose members are meant; empty means the whole namespace.
    pub rooms: SmallVec<[Room; 1]>,
    /// Rooms whose members are left out.
    pub except: SmallVec<[Room; 1]>,
    /// How it is sent.
    pub flags: Flags,
}

impl BroadcastOptions {
    /// Everybody in `room`.
    pub fn room(room: impl Into<Room>) -> Self {
        Self { rooms: SmallVec::from_elem(room.into(), 1), ..Self::default() }
    }
}

/// Modifiers of a broadcast, under Node's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Not kept for receivers that cannot take it at once, nor for recovery.
    pub volatile: bool,
    /// To the sockets of this server only.
    pub local: bool,
    /// `Some(false)`: not worth compressing.
    pub compress: Option<bool>,
    /// How long answers are waited for.
    pub timeout: Option<Duration>,
    /// The caller wants the first answer, not a list.
    pub expect_single_response: bool,
}

/// Why a call that needs other servers failed.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Not all servers answered in time.
    #[error("timeout: {missing} of {expected} servers did not answer")]
    Timeout {
        /// Servers that were asked.
        expected: usize,
        /// Of these, silent ones.
        missing: usize,
    },
    /// The connection to the broker is down.
    #[error("the adapter is not connected: {0}")]
    Disconnected(String),
    /// Bytes from another server that are not in the adapter's format.
    #[error("not understood: {0}")]
    Malformed(String),
}

/// Tells when something has taken effect; dropping it changes nothing.
#[derive(Debug, Default)]
pub struct Done(Option<oneshot::Receiver<()>>);

impl Done {
    /// It has taken effect already.
    pub const NOW: Self = Self(None);

    /// It takes effect when the sender is used or dropped.
    pub fn later() -> (oneshot::Sender<()>, Self) {
        let (done, wait) = oneshot::channel();
        (done, Self(Some(wait)))
    }

    /// Whether there is nothing to wait for.
    pub fn is_now(&self) -> bool {
        self.0.is_none()
    }

    /// Waits until it has taken effect.
    pub async fn wait(self) {
        if let Some(wait) = self.0 {
            let _ = wait.await;
        }
    }
}

/// A socket as other servers see it: Node's `RemoteSocket`.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketInfo {
    /// The socket's id.
    pub id: ByteString,
    /// Node's `handshake`: headers, time, address, xdomain, secure, issued, url, query, auth.
    pub handshake: Value,
    /// Rooms, its own included.
    pub rooms: Vec<Room>,
    /// `socket.data`.
    pub data: Value,
}

/// What has to survive a connection so that its client can go on where it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The socket's id, which the client gets back.
    pub sid: ByteString,
    /// The private id by which the client asks for its session.
    pub pid: ByteString,
    /// Rooms, its own included.
    pub rooms: Vec<Room>,
    /// `socket.data`.
    pub data: Value,
    /// Position of the adapter's log when the socket connected: what a client that has got no event since is
    /// recovered from. From [`Adapter::offset`].
    pub offset: Option<ByteString>,
    /// Who moved the client away in a drain; `None` for a session that was saved for another reason.
    pub goodbye: Option<Goodbye>,
}

/// A server has moved a client away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Name of the server.
    pub from: ByteString,
    /// When, Unix milliseconds by that server's clock.
    pub at: u64,
}

impl Goodbye {
    /// One that is said now.
    pub fn now(from: ByteString) -> Self {
        Self { from, at: unix_millis() }
    }

    /// How long ago it was said, as far as the two servers' clocks agree.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(unix_millis().saturating_sub(self.at))
    }
}

fn unix_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A session and what its client missed.
#[derive(Debug)]
pub struct RestoredSession {
    /// As it was saved.
    pub session: Session,
    /// Payloads of the events since the client's offset that its rooms were meant for, in order, each with its
    /// own offset as last element.
    pub missed: Vec<Payload>,
    /// There is more than this: the connection is to be closed behind it, and the client comes back for the rest.
    pub more: bool,
    /// The part that `missed` has in the memory for all recoveries: to be kept until the client has taken it.
    pub memory: Hold,
    /// Until it is dropped, no event with an offset is handed to this server's sockets: put the socket into its
    /// rooms and queue `missed` first, without waiting for anything, and nothing is lost or doubled between.
    pub hold: Hold,
}

/// Keeps something of the adapter's, its log where it is or memory, while it lives.
#[derive(Default)]
pub struct Hold(Option<Box<dyn Any + Send + Sync>>);

impl Hold {
    /// Holds `guard` and what that keeps back.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }

    /// Whether there is nothing that it keeps.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Hold" } else { "Hold(nothing)" })
    }
}

/// When the server hands sessions to [`Adapter::persist_session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveSessions {
    /// No recovery: clients get no `pid`.
    Never,
    /// When a socket disconnects, as Node does. Enough where sessions die with the process.
    OnDisconnect,
    /// At connect, at each change of rooms or data and when the transport closes, so that a killed process
    /// loses none.
    Always,
}

/// Gets the answers to a broadcast with acknowledgement.
pub trait AckSink: Send + Sync {
    /// A server has sent the event to this many sockets. Called once per server.
    fn clients(&self, count: usize);
    /// A client has answered with this ack payload.
    fn ack(&self, data: Payload);
}

/// How an answer to a server-side emit is given back.
pub type ServerSideAck = Box<dyn FnOnce(Payload) + Send>;

/// Carries a namespace's traffic between servers. The calls that return [`Done`] or nothing must not block.
pub trait Adapter: Send + Sync + 'static {
    /// Sends an event (`data` is `[name, ...args]`) to all sockets that `options` mean, on every server; with
    /// recovery on, also of `socket.emit` (room = the socket's id). What is not volatile and has no ack may get an
    /// offset ([`Payload::with_offset`]). Done: this server's receivers have been served. Order per caller is kept.
    fn broadcast(&self, data: Payload, options: BroadcastOptions) -> Done;

    /// The same with an acknowledgement from each receiver; no offset.
    fn broadcast_with_ack(&self, data: Payload, options: BroadcastOptions, sink: Arc<dyn AckSink>);

    /// `socketsJoin`.
    fn add_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>);

    /// `socketsLeave`.
    fn del_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>);

    /// `disconnectSockets`; `close` ends the whole connection and not this namespace alone.
    fn disconnect_sockets(&self, options: BroadcastOptions, close: bool);

    /// `fetchSockets`, this server's included.
    fn fetch_sockets(
        &self,
        options: BroadcastOptions,
    ) -> BoxFuture<'_, Result<Vec<SocketInfo>, AdapterError>>;

    /// `serverSideEmit` without answer: to the other servers, not to this one.
    fn server_side_emit(&self, data: Payload);

    /// `serverSideEmitWithAck`: one ack payload per other server.
    fn server_side_emit_with_ack(
        &self,
        data: Payload,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<Payload>, AdapterError>>;

    /// Servers that answer to broadcasts with ack, this one included.
    fn server_count(&self) -> BoxFuture<'_, Result<usize, AdapterError>>;

    /// A room has got its first member here. Done: broadcasts of others to it arrive.
    fn room_created(&self, room: &Room) -> Done {
        let _ = room;
        Done::NOW
    }

    /// A room has lost its last member here.
    fn room_deleted(&self, room: &Room) {
        let _ = room;
    }

    /// When sessions are to be saved.
    fn saves_sessions(&self) -> SaveSessions {
        SaveSessions::Never
    }

    /// Position of the log at this moment: everything before it has been handed to this server's sockets.
    fn offset(&self) -> Option<ByteString> {
        None
    }

    /// Whether a client that leaves now can be recovered by another server, or at least could not be later either:
    /// `false` is for a state that is expected to pass.
    fn recoverable(&self) -> bool {
        true
    }

    /// Saves the session of a live socket under its `pid`, in place of an older one. Done: it would survive this
    /// process (where the adapter can promise that).
    fn persist_session(&self, session: Session) -> Done {
        drop(session);
        Done::NOW
    }

    /// The transport of a session's socket has closed: the session now waits for its client, for as long as
    /// recovery allows. (One that was persisted and not parked belongs to a live socket and does not expire.)
    fn park_session(&self, session: Session) -> Done {
        self.persist_session(session)
    }

    /// Forgets a session: its socket left for good.
    fn forget_session(&self, pid: &str) {
        let _ = pid;
    }

    /// Takes a saved session out, with what was missed since `offset` (the client's last, or absent: since the
    /// session's own). `None`: unknown, too old, or no longer complete.
    fn restore_session<'a>(
        &'a self,
        pid: &'a str,
        offset: Option<&'a str>,
    ) -> BoxFuture<'a, Option<RestoredSession>> {
        let _ = (pid, offset);
        Box::pin(std::future::ready(None))
    }

    /// The namespace is going away.
    fn close(&self) {}
}

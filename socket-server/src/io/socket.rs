//! A client in a namespace.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::ack::{AckError, PendingAck};
use super::broadcast::Broadcast;
use super::event::Event;
use super::handlers::{DisconnectReason, EventHandler, run};
use super::namespace::NamespaceInner;
use super::{Client, handshake};
use crate::adapter::{BoxFuture, BroadcastOptions, Done, Goodbye, Room, SaveSessions, Session, SocketInfo};
use crate::engine::{Close, CloseReason, Conn, Handshake, Sent};
use crate::packet::{Args, Packet, PacketType, Payload, PayloadError};

/// How far a socket's life is.
mod state {
    /// In the middlewares.
    pub const CONNECTING: u8 = 0;
    pub const CONNECTED: u8 = 1;
    /// It has left.
    pub const GONE: u8 = 2;
}

/// What all handles of a socket share.
pub(crate) struct SocketInner {
    pub(super) id: ByteString,
    /// Asks for the session; absent where there is no recovery.
    pub(super) pid: Option<ByteString>,
    pub(super) nsp: Arc<NamespaceInner>,
    pub(super) conn: Arc<Conn>,
    pub(super) rooms: Mutex<Vec<Room>>,
    auth: Option<Payload>,
    state: AtomicU8,
    unlisted: AtomicBool,
    /// The session has been saved for the client's return, and has not changed since.
    parked: AtomicBool,
    recovered: bool,
    /// It is being moved away: events that want an answer are not begun any more.
    moving: AtomicBool,
    /// Events under way whose client waits for an answer.
    unanswered: AtomicU32,
    /// What few sockets have.
    extra: Mutex<Option<Box<Extra>>>,
}

#[derive(Default)]
struct Extra {
    data: Map<String, Value>,
    acks: HashMap<u64, PendingAck>,
    handlers: HashMap<Box<str>, EventHandler>,
    disconnect: Vec<Box<dyn FnOnce(DisconnectReason) + Send>>,
    /// Position of the log when it connected.
    offset: Option<ByteString>,
}

impl SocketInner {
    pub(super) fn new(
        nsp: &Arc<NamespaceInner>,
        conn: &Arc<Conn>,
        auth: Option<Payload>,
        session: Option<&Session>,
    ) -> Arc<Self> {
        let saves = nsp.adapter().saves_sessions() != SaveSessions::Never;
        let id = session.map_or_else(crate::engine::new_id, |s| s.sid.clone());
        let pid = match session {
            Some(session) => Some(session.pid.clone()),
            // The id in front finds the socket that a client has left behind here.
            None => saves.then(|| ByteString::from(format!("{id}{}", crate::engine::new_id()))),
        };
        let extra = session.and_then(|session| {
            let Value::Object(data) = session.data.clone() else { return None };
            Some(Box::new(Extra { data, offset: session.offset.clone(), ..Extra::default() }))
        });
        Arc::new(Self {
            id,
            pid,
            nsp: Arc::clone(nsp),
            conn: Arc::clone(conn),
            rooms: Mutex::default(),
            auth,
            state: AtomicU8::new(state::CONNECTING),
            unlisted: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            recovered: session.is_some(),
            moving: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            extra: Mutex::new(extra),
        })
    }

    fn with_extra<T>(&self, act: impl FnOnce(&mut Extra) -> T) -> T {
        act(self.extra.lock().get_or_insert_default())
    }

    pub(super) fn data(&self) -> Map<String, Value> {
        self.extra.lock().as_ref().map_or_else(Map::new, |extra| extra.data.clone())
    }

    pub(super) fn send(&self, packet: &Packet, volatile: bool) -> Sent {
        if volatile && self.nsp.local().drops_volatile() {
            return Sent::Dropped;
        }
        let sent = self.conn.send(&self.nsp.local().encode(packet), volatile);
        if matches!(sent, Sent::Written | Sent::Queued)
            && matches!(packet.kind, PacketType::Event | PacketType::Ack)
        {
            self.nsp.local().stats().messages_sent.inc();
        }
        sent
    }

    pub(super) fn await_ack(&self, id: u64, pending: PendingAck) {
        self.with_extra(|extra| extra.acks.insert(id, pending));
    }

    pub(super) fn take_ack(&self, id: u64) -> Option<PendingAck> {
        self.extra.lock().as_mut()?.acks.remove(&id)
    }

    /// Whether its name may be written into the lists of rooms.
    pub(super) fn is_listed(&self) -> bool {
        !self.unlisted.load(Ordering::Acquire)
    }

    pub(super) fn unlist(&self) {
        self.unlisted.store(true, Ordering::Release);
    }

    /// It has passed the middlewares: says so to the client. `false`: the connection has gone meanwhile.
    pub(super) fn connected(self: &Arc<Self>) -> bool {
        let joined = self.state.compare_exchange(
            state::CONNECTING,
            state::CONNECTED,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if joined.is_err() {
            return false;
        }
        if self.pid.is_some() && !self.recovered && self.saves() == SaveSessions::Always {
            let offset = self.nsp.adapter().offset();
            self.with_extra(|extra| extra.offset = offset);
        }
        self.nsp.local().add(self);
        self.send_connect();
        true
    }

    fn send_connect(&self) {
        #[derive(serde::Serialize)]
        struct Connected<'a> {
            sid: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pid: Option<&'a str>,
        }
        let connected = Connected { sid: &self.id, pid: self.pid.as_deref() };
        // Two strings serialise.
        let data = Payload::value(&connected).ok();
        self.send(&Packet::new(PacketType::Connect, self.nsp.name().clone(), data), false);
    }

    fn saves(&self) -> SaveSessions {
        self.nsp.adapter().saves_sessions()
    }

    fn session(&self) -> Option<Session> {
        let pid = self.pid.clone()?;
        let mut rooms = self.rooms.lock().clone();
        rooms.push(self.id.clone());
        let extra = self.extra.lock();
        let data = extra.as_ref().map_or_else(Map::new, |e| e.data.clone());
        let offset = extra.as_ref().and_then(|e| e.offset.clone());
        Some(Session { sid: self.id.clone(), pid, rooms, data: Value::Object(data), offset, goodbye: None })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state.load(Ordering::Acquire) == state::CONNECTED
    }

    /// The session has changed: saves it where it has to survive the process.
    pub(super) fn save_live(&self) -> Done {
        self.parked.store(false, Ordering::Release);
        if !self.is_connected() || self.saves() != SaveSessions::Always {
            return Done::NOW;
        }
        match self.session() {
            Some(session) => self.nsp.adapter().persist_session(session),
            None => Done::NOW,
        }
    }

    /// Saves the session of a socket whose transport is closing. Once, unless it changes: the client may have come
    /// back elsewhere, and taken it, by the time that the old connection has ended.
    pub(super) fn save_closing(&self, goodbye: Option<Goodbye>) -> Done {
        if self.parked.swap(true, Ordering::AcqRel) {
            return Done::NOW;
        }
        match (self.saves(), self.session()) {
            (SaveSessions::Never, _) | (_, None) => Done::NOW,
            (_, Some(session)) => self.nsp.adapter().park_session(Session { goodbye, ..session }),
        }
    }

    /// Leaves the namespace, once. The client is not told.
    pub(super) fn close(self: &Arc<Self>, reason: DisconnectReason) {
        if self.state.swap(state::GONE, Ordering::AcqRel) != state::CONNECTED {
            self.nsp.local().remove(self);
            return;
        }
        if reason.is_recoverable() {
            let _ = self.save_closing(None);
        } else if let Some(pid) = &self.pid {
            self.nsp.adapter().forget_session(pid);
        }
        self.nsp.local().remove(self);
        // Who waits for an answer learns that none comes; whoever listens may still read the data.
        let (own, _acks) = {
            let mut extra = self.extra.lock();
            let extra = extra.as_mut();
            extra.map_or_else(Default::default, |e| {
                (std::mem::take(&mut e.disconnect), std::mem::take(&mut e.acks))
            })
        };
        let socket = Socket(Arc::clone(self));
        own.into_iter().for_each(|handler| handler(reason));
        self.nsp.local().handlers.disconnected(&socket, reason);
        if let Some(extra) = self.extra.lock().as_mut() {
            // Handlers often hold the socket: without them it can go.
            extra.handlers = HashMap::new();
        }
        self.nsp.socket_gone();
    }

    /// Begins to move the socket away.
    pub(super) fn set_moving(&self) {
        self.moving.store(true, Ordering::SeqCst);
    }

    /// Whether an answer is owed to the client.
    pub(super) fn owes_answers(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) > 0
    }

    /// An event that wants an answer begins. `false`: its answer could not be given any more, and a client that
    /// asks for answers sends it again after it has reconnected: handling it now would handle it twice.
    pub(super) fn owe_answer(&self) -> bool {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        let refused = self.moving.load(Ordering::SeqCst) || !self.conn.is_open();
        if refused {
            self.answered();
        }
        !refused
    }

    pub(super) fn answered(&self) {
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    /// An event of the client's.
    pub(super) fn on_event(self: &Arc<Self>, id: Option<u64>, payload: Payload) {
        if let Some(event) = Event::new(self, id, payload)
            && self.is_connected()
        {
            self.nsp.local().handlers.event(Socket(Arc::clone(self)), event);
        }
    }

    pub(super) fn on_ack(&self, id: Option<u64>, data: Payload) {
        if let Some(pending) = id.and_then(|id| self.take_ack(id)) {
            pending.answer(data);
        }
    }
}

/// A client in a namespace: Node's `Socket`. Cheap to clone.
#[derive(Clone)]
pub struct Socket(pub(super) Arc<SocketInner>);

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("id", &self.0.id).field("nsp", self.0.nsp.name()).finish()
    }
}

impl Socket {
    /// Its id, 20 characters, and the name of its own room. Peers may know it.
    pub fn id(&self) -> &ByteString {
        &self.0.id
    }

    /// Name of its namespace.
    pub fn nsp(&self) -> &ByteString {
        self.0.nsp.name()
    }

    /// Number of its connection, as in [`Connection::id`](crate::server::Connection::id).
    pub fn connection_id(&self) -> u64 {
        self.0.conn.serial()
    }

    /// `polling` or `websocket`.
    pub fn transport(&self) -> &'static str {
        self.0.conn.transport()
    }

    /// The request that opened its connection.
    pub fn handshake(&self) -> &Handshake {
        self.0.conn.handshake()
    }

    /// What the client sent as `auth`, as `T`. `None`: nothing, or something else.
    pub fn auth<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        self.0.auth.as_ref()?.parse().ok()
    }

    /// The payload of `auth`, an object.
    pub fn auth_payload(&self) -> Option<&Payload> {
        self.0.auth.as_ref()
    }

    /// Whether it is in its namespace and the connection is open.
    pub fn connected(&self) -> bool {
        self.0.is_connected()
    }

    /// Whether it goes on where a connection before it was cut: id, rooms, data and missed events are there.
    pub fn recovered(&self) -> bool {
        self.0.recovered
    }

    /// `socket.data`: kept with the session, seen by other servers.
    pub fn data(&self) -> Value {
        Value::Object(self.0.data())
    }

    /// One member of `socket.data`.
    pub fn get_data(&self, key: &str) -> Option<Value> {
        self.0.extra.lock().as_ref()?.data.get(key).cloned()
    }

    /// Sets one member of `socket.data`.
    pub fn set_data(&self, key: &str, value: impl Into<Value>) {
        self.0.with_extra(|extra| extra.data.insert(key.to_owned(), value.into()));
        let _ = self.0.save_live();
    }

    /// Sends an event. With recovery it is kept until the client has had the time to come back for it.
    ///
    /// # Errors
    /// When an argument does not serialise.
    pub fn emit(&self, event: &str, args: impl Args) -> Result<Done, PayloadError> {
        let data = Payload::event(event, args)?;
        Ok(self.emit_payload(data, false))
    }

    /// Sends an event that may be lost: not kept for a client that cannot take it at once.
    ///
    /// # Errors
    /// When an argument does not serialise.
    pub fn emit_volatile(&self, event: &str, args: impl Args) -> Result<(), PayloadError> {
        let _ = self.emit_payload(Payload::event(event, args)?, true);
        Ok(())
    }

    pub(super) fn emit_payload(&self, data: Payload, volatile: bool) -> Done {
        let inner = &self.0;
        if !volatile && inner.pid.is_some() {
            return inner.nsp.adapter().broadcast(data, BroadcastOptions::room(inner.id.clone()));
        }
        let sent =
            inner.send(&Packet::new(PacketType::Event, inner.nsp.name().clone(), Some(data)), volatile);
        if sent == Sent::Dropped {
            inner.nsp.local().stats().volatile_dropped.inc();
        }
        Done::NOW
    }

    /// Sends an event and waits for the client's answer.
    ///
    /// # Errors
    /// No answer in time, the socket has gone, or an argument does not serialise.
    pub fn emit_with_ack(
        &self,
        event: &str,
        args: impl Args,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Payload, AckError>> {
        let inner = Arc::clone(&self.0);
        let asked = Payload::event(event, args).map(|data| {
            let id = inner.nsp.local().next_ack();
            let (answer, wait) = oneshot::channel();
            inner.await_ack(id, PendingAck::One(answer));
            let packet = Packet {
                kind: PacketType::Event,
                nsp: inner.nsp.name().clone(),
                id: Some(id),
                data: Some(data),
            };
            if inner.send(&packet, false) == Sent::Closed {
                drop(inner.take_ack(id));
            }
            (id, wait)
        });
        Box::pin(async move {
            let (id, wait) = asked?;
            match tokio::time::timeout(timeout, wait).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(AckError::Disconnected),
                Err(_) => {
                    drop(inner.take_ack(id));
                    Err(AckError::Timeout { answers: Vec::new() })
                }
            }
        })
    }

    /// Joins a room. Done: broadcasts of other servers to it arrive here.
    pub fn join(&self, room: impl Into<Room>) -> Done {
        match self.0.nsp.local().join(&self.0, room.into()) {
            Some(done) => {
                let _ = self.0.save_live();
                done
            }
            None => Done::NOW,
        }
    }

    /// Leaves a room.
    pub fn leave(&self, room: &str) {
        if self.0.nsp.local().leave(&self.0, room) {
            let _ = self.0.save_live();
        }
    }

    /// The rooms that it is in, its own first.
    pub fn rooms(&self) -> Vec<Room> {
        let mut rooms = vec![self.0.id.clone()];
        rooms.extend(self.0.rooms.lock().iter().cloned());
        rooms
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &str) -> bool {
        self.0.id == room || self.0.rooms.lock().iter().any(|r| r == room)
    }

    /// To everybody in the room but this socket.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// To everybody but this socket and the room's members.
    pub fn except(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// To everybody but this socket.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(Arc::clone(&self.0.nsp)).except(self.0.id.clone())
    }

    /// To the room or all, on this server and the others; the sender is not left out.
    pub fn namespace(&self) -> super::Namespace {
        super::Namespace(Arc::clone(&self.0.nsp))
    }

    /// Handles an event of this socket alone, in place of the namespace's handler. Runs on the connection's task
    /// and must not block.
    pub fn on(&self, event: &str, handler: impl Fn(Socket, Event) + Send + Sync + 'static) {
        self.0.with_extra(|extra| extra.handlers.insert(event.into(), Arc::new(handler)));
    }

    /// The same with a handler that waits.
    pub fn on_async<F>(&self, event: &str, handler: impl Fn(Socket, Event) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.on(event, move |socket, event| run(handler(socket, event)));
    }

    pub(super) fn handler(&self, event: &str) -> Option<EventHandler> {
        self.0.extra.lock().as_ref()?.handlers.get(event).cloned()
    }

    /// Called once, when the socket leaves its namespace.
    pub fn on_disconnect(&self, handler: impl FnOnce(DisconnectReason) + Send + 'static) {
        self.0.with_extra(|extra| extra.disconnect.push(Box::new(handler)));
    }

    /// Sends the client out of the namespace, for good: it does not come back by itself. `close` ends its
    /// connection, with all its namespaces.
    pub fn disconnect(&self, close: bool) {
        let inner = &self.0;
        if !inner.is_connected() {
            return;
        }
        if close {
            Client::disconnect_all(&inner.conn);
            return;
        }
        inner.send(&Packet::new(PacketType::Disconnect, inner.nsp.name().clone(), None), false);
        inner.close(DisconnectReason::ServerNamespace);
    }

    /// Emits the last event before the socket is moved: from now on no event that wants an answer is begun.
    pub(crate) fn emit_last(&self, data: Payload) -> Done {
        self.0.set_moving();
        self.emit_payload(data, false)
    }

    pub(crate) fn owes_answers(&self) -> bool {
        self.0.owes_answers()
    }

    /// Saves the session where another server finds it; `from` is the name of this one.
    pub(crate) fn save_for_move(&self, from: &ByteString) -> Done {
        self.0.save_closing(Some(Goodbye::now(from.clone())))
    }

    /// Closes the connection without a word: the client comes back, and recovers.
    pub fn close_transport(&self) {
        self.0.conn.close(Close::flushed(CloseReason::ForcedClose));
    }

    /// The socket as other servers see it.
    pub fn info(&self) -> SocketInfo {
        SocketInfo {
            id: self.0.id.clone(),
            handshake: handshake::to_json(self.handshake(), self.auth_payload()),
            rooms: self.rooms(),
            data: self.data(),
        }
    }
}

//! A namespace's sockets on this server.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;

use super::ack::PendingAck;
use super::handlers::Handlers;
use super::rooms::{Rooms, Targets};
use super::socket::{Socket, SocketInner};
use super::wire;
use crate::adapter::{AckSink, Adapter, BroadcastOptions, Done, Room, ServerSideAck, SocketInfo};
use crate::engine::{Sent, Shared};
use crate::options::Parser;
use crate::packet::{Packet, PacketType, Payload};
use crate::stats::Stats;

/// The sockets and rooms of a namespace on this server: what an adapter applies broadcasts of others to.
pub struct Local {
    nsp: ByteString,
    parser: Parser,
    rooms: Mutex<Rooms>,
    adapter: OnceLock<Weak<dyn Adapter>>,
    stats: Arc<Stats>,
    sheds_volatile: Arc<AtomicBool>,
    pub(super) handlers: Arc<Handlers>,
    pub(super) next_ack: std::sync::atomic::AtomicU64,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("namespace", &self.nsp).finish_non_exhaustive()
    }
}

impl Local {
    pub(super) fn new(
        nsp: ByteString,
        parser: Parser,
        handlers: Arc<Handlers>,
        stats: Arc<Stats>,
        sheds_volatile: Arc<AtomicBool>,
    ) -> Self {
        Self {
            nsp,
            parser,
            rooms: Mutex::default(),
            adapter: OnceLock::new(),
            stats,
            sheds_volatile,
            handlers,
            next_ack: Default::default(),
        }
    }

    pub(super) fn set_adapter(&self, adapter: &Arc<dyn Adapter>) {
        // Set once, by the namespace that owns both.
        let _ = self.adapter.set(Arc::downgrade(adapter));
    }

    fn adapter(&self) -> Option<Arc<dyn Adapter>> {
        self.adapter.get()?.upgrade()
    }

    /// Name of the namespace, with its slash.
    pub fn namespace(&self) -> &ByteString {
        &self.nsp
    }

    pub(super) fn encode(&self, packet: &Packet) -> Bytes {
        wire::encode(self.parser, packet)
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether there is no memory for volatile events; counts the one that is in question.
    pub(super) fn drops_volatile(&self) -> bool {
        let drops = self.sheds_volatile.load(Relaxed);
        if drops {
            self.stats.volatile_dropped.inc();
        }
        drops
    }

    /// Sends an event to the sockets here that `options` mean; encodes and frames it once. Returns how many got it
    /// or will.
    pub fn broadcast(&self, data: &Payload, options: &BroadcastOptions) -> usize {
        let targets = self.targets(options);
        if targets.is_none() || (options.flags.volatile && self.drops_volatile()) {
            return 0;
        }
        let frames = self.encode(&Packet::new(PacketType::Event, self.nsp.clone(), Some(data.clone())));
        let frames = Shared::new(frames, options.flags.compress != Some(false));
        let (mut sent, mut dropped) = (0, 0);
        targets.for_each_conn(|conn| match conn.send_shared(&frames, options.flags.volatile) {
            Sent::Written | Sent::Queued => sent += 1,
            Sent::Dropped => dropped += 1,
            Sent::Closed => {}
        });
        self.stats.messages_sent.add(sent);
        if dropped > 0 {
            self.stats.volatile_dropped.add(dropped);
        }
        sent as usize
    }

    /// The same with an acknowledgement from each. Tells `sink` the number of receivers once, at once, and each
    /// answer when it comes. An answer is waited for until the options' timeout, or for ever.
    pub fn broadcast_with_ack(&self, data: &Payload, options: &BroadcastOptions, sink: Arc<dyn AckSink>) {
        let id = self.next_ack();
        let mut receivers = Vec::new();
        self.targets(options).for_each(|socket| receivers.push(Arc::clone(socket)));
        sink.clients(receivers.len());
        if receivers.is_empty() {
            return;
        }
        let packet =
            Packet { kind: PacketType::Event, nsp: self.nsp.clone(), id: Some(id), data: Some(data.clone()) };
        let frames = Shared::new(self.encode(&packet), options.flags.compress != Some(false));
        for socket in &receivers {
            socket.await_ack(id, PendingAck::Sink(Arc::clone(&sink)));
            socket.conn.send_shared(&frames, options.flags.volatile);
        }
        self.stats.messages_sent.add(receivers.len() as u64);
        if let Some(timeout) = options.flags.timeout {
            tokio::spawn(async move {
                tokio::time::sleep(timeout).await;
                receivers.iter().for_each(|socket| drop(socket.take_ack(id)));
            });
        }
    }

    pub(super) fn next_ack(&self) -> u64 {
        self.next_ack.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn targets(&self, options: &BroadcastOptions) -> Targets {
        self.rooms.lock().targets(options)
    }

    fn each(&self, options: &BroadcastOptions, mut act: impl FnMut(Socket)) {
        self.targets(options).for_each(|socket| act(Socket(Arc::clone(socket))));
    }

    /// Makes the sockets join rooms.
    pub fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.each(options, |socket| rooms.iter().for_each(|room| drop(socket.join(room.clone()))));
    }

    /// Makes the sockets leave rooms.
    pub fn del_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.each(options, |socket| rooms.iter().for_each(|room| socket.leave(room)));
    }

    /// Disconnects the sockets; `close` ends their connections too.
    pub fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        self.each(options, |socket| socket.disconnect(close));
    }

    /// The sockets, as other servers see them.
    pub fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketInfo> {
        let mut infos = Vec::new();
        self.each(options, |socket| infos.push(socket.info()));
        infos
    }

    /// Their ids alone.
    pub fn socket_ids(&self, options: &BroadcastOptions) -> Vec<ByteString> {
        let mut ids = Vec::new();
        self.targets(options).for_each(|socket| ids.push(socket.id.clone()));
        ids
    }

    /// The handles of the sockets.
    pub fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Socket> {
        let mut sockets = Vec::new();
        self.each(options, |socket| sockets.push(socket));
        sockets
    }

    /// Rooms with a member here, the sockets' own included.
    pub fn rooms(&self) -> Vec<Room> {
        self.rooms.lock().names()
    }

    /// How many rooms have a member here, the sockets' own left out.
    pub fn room_count(&self) -> usize {
        self.rooms.lock().room_count()
    }

    /// How many sockets are here.
    pub fn socket_count(&self) -> usize {
        self.rooms.lock().socket_count()
    }

    /// Whether a room has a member here.
    pub fn has_room(&self, room: &str) -> bool {
        self.rooms.lock().has_room(room)
    }

    /// The socket of this id.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.rooms.lock().socket(id).cloned().map(Socket)
    }

    /// Has each socket save its session again: the store has lost them.
    pub fn save_sessions(&self) {
        for Socket(socket) in self.local_sockets(&BroadcastOptions::default()) {
            let _ = socket.save_live();
        }
    }

    /// Runs the handlers of a server-side emit that came from another server.
    pub fn server_side_emit(&self, data: Payload, ack: Option<ServerSideAck>) {
        self.handlers.server_side(data, ack);
    }

    pub(super) fn add(&self, socket: &Arc<SocketInner>) {
        // A socket that has gone meanwhile must not leave its name in the table.
        let added = {
            let mut rooms = self.rooms.lock();
            socket.is_listed() && rooms.add_socket(socket)
        };
        if added && let Some(adapter) = self.adapter() {
            // Nobody waits: others can name the room only after they have heard of the socket.
            let _ = adapter.room_created(&socket.id);
        }
    }

    /// The socket joins a room. `None`: it was there.
    pub(super) fn join(&self, socket: &Arc<SocketInner>, room: Room) -> Option<Done> {
        let (joined, created) = {
            let mut rooms = self.rooms.lock();
            // A socket that has gone must not leave its name in a list.
            if !socket.is_listed() || room == socket.id {
                return None;
            }
            let (joined, created) = rooms.join(socket, &room);
            if joined {
                socket.rooms.lock().push(room.clone());
            }
            (joined, created)
        };
        match self.adapter() {
            Some(adapter) if created => Some(adapter.room_created(&room)),
            _ => joined.then_some(Done::NOW),
        }
    }

    /// The socket leaves a room. Returns whether it was there.
    pub(super) fn leave(&self, socket: &Arc<SocketInner>, room: &str) -> bool {
        let (left, emptied) = {
            let mut rooms = self.rooms.lock();
            let mut joined = socket.rooms.lock();
            let Some(at) = joined.iter().position(|r| r == room) else { return false };
            (joined.swap_remove(at), rooms.leave(socket, room))
        };
        if emptied && let Some(adapter) = self.adapter() {
            adapter.room_deleted(&left);
        }
        true
    }

    /// The socket goes, with its memberships.
    pub(super) fn remove(&self, socket: &Arc<SocketInner>) {
        let (emptied, removed) = {
            let mut rooms = self.rooms.lock();
            socket.unlist();
            let joined = std::mem::take(&mut *socket.rooms.lock());
            let emptied: Vec<Room> = joined.into_iter().filter(|room| rooms.leave(socket, room)).collect();
            (emptied, rooms.remove_socket(socket))
        };
        let Some(adapter) = self.adapter() else { return };
        emptied.iter().for_each(|room| adapter.room_deleted(room));
        if removed {
            adapter.room_deleted(&socket.id);
        }
    }
}

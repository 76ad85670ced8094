//! Who gets what: Node's `BroadcastOperator`.

use std::sync::Arc;
use std::time::Duration;

use super::ack::{AckError, Collector};
use super::namespace::NamespaceInner;
use crate::adapter::{AdapterError, BroadcastOptions, Done, Room, SocketInfo};
use crate::packet::{Args, Payload, PayloadError};

/// Time that broadcasts wait for answers, where none is said.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// A broadcast in the making, over all servers unless it is [`local`](Self::local).
#[derive(Clone)]
#[must_use = "nothing is sent before emit"]
pub struct Broadcast {
    nsp: Arc<NamespaceInner>,
    options: BroadcastOptions,
}

impl Broadcast {
    pub(super) fn new(nsp: Arc<NamespaceInner>) -> Self {
        Self { nsp, options: BroadcastOptions::default() }
    }

    /// Also to the members of this room; the first call replaces "everybody".
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        push_once(&mut self.options.rooms, room.into());
        self
    }

    /// Not to the members of this room.
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        push_once(&mut self.options.except, room.into());
        self
    }

    /// May be lost: not kept for those who cannot take it at once, nor for recovery.
    pub fn volatile(mut self) -> Self {
        self.options.flags.volatile = true;
        self
    }

    /// To sockets of this server only.
    pub fn local(mut self) -> Self {
        self.options.flags.local = true;
        self
    }

    /// Whether it is worth compressing.
    pub fn compress(mut self, compress: bool) -> Self {
        self.options.flags.compress = Some(compress);
        self
    }

    /// How long answers are waited for; 10 s where it is not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.flags.timeout = Some(timeout);
        self
    }

    /// Sends an event. Done: the receivers on this server have been served.
    ///
    /// # Errors
    /// When an argument does not serialise.
    pub fn emit(self, event: &str, args: impl Args) -> Result<Done, PayloadError> {
        Ok(self.emit_payload(Payload::event(event, args)?))
    }

    /// Sends an event that has its payload already, `[name, ...arguments]`.
    pub fn emit_payload(self, data: Payload) -> Done {
        self.nsp.adapter().broadcast(data, self.options)
    }

    /// Sends an event and waits for each receiver's answer.
    ///
    /// # Errors
    /// Not all answered in time (with the answers that came), or the other servers could not be asked.
    pub async fn emit_with_ack(mut self, event: &str, args: impl Args) -> Result<Vec<Payload>, AckError> {
        let data = Payload::event(event, args)?;
        let timeout = *self.options.flags.timeout.get_or_insert(ACK_TIMEOUT);
        let collector = Arc::new(Collector::default());
        let adapter = Arc::clone(self.nsp.adapter());
        let servers = if self.options.flags.local { 1 } else { adapter.server_count().await? };
        adapter.broadcast_with_ack(data, self.options, Arc::clone(&collector) as _);
        collector.wait(servers, timeout).await
    }

    /// The sockets that are meant, over all servers.
    ///
    /// # Errors
    /// The other servers could not be asked, or did not answer in time.
    pub async fn fetch_sockets(self) -> Result<Vec<SocketInfo>, AdapterError> {
        self.nsp.adapter().fetch_sockets(self.options).await
    }

    /// Makes the sockets that are meant join rooms.
    pub fn sockets_join<R: Into<Room>>(self, rooms: impl IntoIterator<Item = R>) {
        let rooms = rooms.into_iter().map(Into::into).collect();
        self.nsp.adapter().add_sockets(self.options, rooms);
    }

    /// Makes the sockets that are meant leave rooms.
    pub fn sockets_leave<R: Into<Room>>(self, rooms: impl IntoIterator<Item = R>) {
        let rooms = rooms.into_iter().map(Into::into).collect();
        self.nsp.adapter().del_sockets(self.options, rooms);
    }

    /// Sends the sockets that are meant away; `close` ends their connections too.
    pub fn disconnect_sockets(self, close: bool) {
        self.nsp.adapter().disconnect_sockets(self.options, close);
    }
}

fn push_once(rooms: &mut smallvec::SmallVec<[Room; 1]>, room: Room) {
    if !rooms.contains(&room) {
        rooms.push(room);
    }
}

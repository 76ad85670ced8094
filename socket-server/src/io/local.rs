//! A namespace's sockets on this server.

use std::sync::Arc;

use bytestring::ByteString;

use crate::adapter::{AckSink, BroadcastOptions, Room, ServerSideAck, SocketInfo};
use crate::packet::Payload;

/// The sockets and rooms of a namespace on this server: what an adapter applies broadcasts of others to.
///
/// The sockets follow; the signatures stay.
#[derive(Debug)]
pub struct Local {
    nsp: ByteString,
}

impl Local {
    /// Name of the namespace, with its slash.
    pub fn namespace(&self) -> &ByteString {
        &self.nsp
    }

    /// Sends an event to the sockets here that `options` mean; encodes and frames it once. Returns how many.
    pub fn broadcast(&self, data: &Payload, options: &BroadcastOptions) -> usize {
        let _ = (data, options);
        0
    }

    /// The same with an acknowledgement from each. Tells `sink` the number of receivers once, at once, and each
    /// answer when it comes. Waits for them until the options' timeout (or for ever).
    pub fn broadcast_with_ack(&self, data: &Payload, options: &BroadcastOptions, sink: Arc<dyn AckSink>) {
        let _ = (data, options);
        sink.clients(0);
    }

    /// Makes the sockets join rooms.
    pub fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        let _ = (options, rooms);
    }

    /// Makes the sockets leave rooms.
    pub fn del_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        let _ = (options, rooms);
    }

    /// Disconnects the sockets; `close` ends their connections too.
    pub fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        let _ = (options, close);
    }

    /// The sockets, as other servers see them.
    pub fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketInfo> {
        let _ = options;
        Vec::new()
    }

    /// Their ids alone.
    pub fn socket_ids(&self, options: &BroadcastOptions) -> Vec<ByteString> {
        let _ = options;
        Vec::new()
    }

    /// Rooms with a member here, the sockets' own included.
    pub fn rooms(&self) -> Vec<Room> {
        Vec::new()
    }

    /// Whether a room has a member here.
    pub fn has_room(&self, room: &str) -> bool {
        let _ = room;
        false
    }

    /// Runs the handlers of a server-side emit that came from another server.
    pub fn server_side_emit(&self, data: Payload, ack: Option<ServerSideAck>) {
        let _ = (data, ack);
    }
}

//! The sockets of a namespace on this server, as far as the Redis adapters need them: [`Local`], or a stand-in
//! where a test looks at an adapter and a real Redis without clients.

use std::sync::Arc;

use bytestring::ByteString;

use crate::adapter::{AckSink, BroadcastOptions, Room, ServerSideAck, SocketInfo};
use crate::io::Local;
use crate::packet::Payload;

/// See the methods of [`Local`].
pub trait Sockets: Send + Sync + 'static {
    fn namespace(&self) -> &ByteString;
    fn broadcast(&self, data: &Payload, options: &BroadcastOptions) -> usize;
    fn broadcast_with_ack(&self, data: &Payload, options: &BroadcastOptions, sink: Arc<dyn AckSink>);
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);
    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);
    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool);
    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketInfo>;
    fn rooms(&self) -> Vec<Room>;
    fn save_sessions(&self);
    fn server_side_emit(&self, data: Payload, ack: Option<ServerSideAck>);
}

impl Sockets for Local {
    fn namespace(&self) -> &ByteString {
        self.namespace()
    }
    fn broadcast(&self, data: &Payload, options: &BroadcastOptions) -> usize {
        self.broadcast(data, options)
    }
    fn broadcast_with_ack(&self, data: &Payload, options: &BroadcastOptions, sink: Arc<dyn AckSink>) {
        self.broadcast_with_ack(data, options, sink);
    }
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.add_sockets(options, rooms);
    }
    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.del_sockets(options, rooms);
    }
    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        self.disconnect_sockets(options, close);
    }
    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketInfo> {
        self.sockets(options)
    }
    fn rooms(&self) -> Vec<Room> {
        self.rooms()
    }
    fn save_sessions(&self) {
        self.save_sessions();
    }
    fn server_side_emit(&self, data: Payload, ack: Option<ServerSideAck>) {
        self.server_side_emit(data, ack);
    }
}

//! What a connection is to the Socket.IO layer: packets in, sockets of one or more namespaces.

use std::sync::Arc;
use std::time::Instant;

use bytestring::ByteString;
use parking_lot::Mutex;
use serde::Deserialize;
use smallvec::SmallVec;

use super::handlers::{ConnectError, DisconnectReason};
use super::join;
use super::socket::{Socket, SocketInner};
use super::{IoInner, wire};
use crate::engine::{Close, CloseReason, Conn, Message, ParseError, Session};
use crate::options::Parser;
use crate::packet::{Decoder, Packet, PacketType, Payload, decode_msgpack};

/// Packets that may come for a socket while its connection handlers run.
const MAX_HELD: usize = 256;

pub(crate) struct Client {
    pub(super) io: Arc<IoInner>,
    opened: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    decoder: Decoder,
    sockets: SmallVec<[Arc<SocketInner>; 1]>,
    /// Namespaces being joined, with what has come for them meanwhile.
    joining: Vec<(ByteString, Vec<Packet>)>,
    closed: bool,
}

/// What to do with a packet.
enum Step {
    Join,
    Handle(Arc<SocketInner>),
    Wait,
    Invalid,
}

/// What a recovering client sends along in `auth`.
#[derive(Deserialize)]
struct Recovery {
    pid: Option<String>,
    offset: Option<String>,
}

impl Client {
    pub fn new(io: Arc<IoInner>, conn: &Arc<Conn>) -> Self {
        conn.set_timer(io.options.connect_timeout);
        Self { io, opened: Instant::now(), state: Mutex::default() }
    }

    fn decode(&self, message: Message) -> Result<Option<Packet>, ParseError> {
        let limit = self.io.options.engine.max_http_buffer_size;
        let mut state = self.state.lock();
        match (message, self.io.options.parser) {
            (Message::Text(text), Parser::Json) => state.decoder.text(text),
            (Message::Binary(bytes), Parser::Json) => state.decoder.binary(bytes, limit),
            (Message::Binary(bytes), Parser::MsgPack) => decode_msgpack(&bytes).map(Some),
            (Message::Text(_), Parser::MsgPack) => return Err(ParseError),
        }
        .map_err(|error| {
            tracing::debug!(%error, "bad packet");
            ParseError
        })
    }

    fn step(&self, packet: &Packet) -> Step {
        let mut state = self.state.lock();
        let State { sockets, joining, closed, decoder: _ } = &mut *state;
        if *closed {
            return Step::Wait;
        }
        let held = joining.iter_mut().find(|(nsp, _)| *nsp == packet.nsp).map(|(_, held)| held);
        let socket = sockets.iter().find(|s| *s.nsp.name() == packet.nsp);
        match (packet.kind, socket, held) {
            (PacketType::Connect, None, None) => {
                joining.push((packet.nsp.clone(), Vec::new()));
                Step::Join
            }
            // Asked twice, answered once.
            (PacketType::Connect, None, Some(_)) => Step::Wait,
            (PacketType::Connect | PacketType::ConnectError, ..) => Step::Invalid,
            (_, Some(_), Some(held)) if held.len() < MAX_HELD => {
                held.push(packet.clone());
                Step::Wait
            }
            (_, Some(socket), None) => Step::Handle(Arc::clone(socket)),
            (_, _, Some(_)) | (_, None, None) => Step::Invalid,
        }
    }

    fn handle(&self, socket: &Arc<SocketInner>, packet: Packet) {
        let Packet { kind, nsp: _, id, data } = packet;
        match (kind, data) {
            (PacketType::Event, Some(data)) => {
                self.io.stats.messages_received.inc();
                socket.on_event(id, data);
            }
            (PacketType::Ack, Some(data)) => {
                self.io.stats.messages_received.inc();
                socket.on_ack(id, data);
            }
            (PacketType::Disconnect, _) => {
                self.remove(socket);
                socket.close(DisconnectReason::ClientNamespace);
            }
            (PacketType::Connect | PacketType::ConnectError | PacketType::Event | PacketType::Ack, _) => {}
        }
    }

    pub(super) fn remove(&self, socket: &Arc<SocketInner>) {
        self.state.lock().sockets.retain(|s| !Arc::ptr_eq(s, socket));
    }

    /// The socket is in its namespace from now on; packets for it are held back until
    /// [`joined`](Self::joined). `false`: the connection has gone.
    pub(super) fn admit(&self, socket: &Arc<SocketInner>) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            state.sockets.push(Arc::clone(socket));
        }
        !state.closed
    }

    /// The attempt to join a namespace has ended; what came for its socket is handled.
    pub(super) fn joined(&self, nsp: &ByteString, socket: Option<&Arc<SocketInner>>) {
        if socket.is_some() {
            self.io.observer.connected(self.opened.elapsed());
        }
        loop {
            let held = {
                let mut state = self.state.lock();
                let Some(at) = state.joining.iter().position(|(name, _)| name == nsp) else { return };
                if state.joining[at].1.is_empty() {
                    state.joining.swap_remove(at);
                    if state.joining.is_empty() {
                        state.joining = Vec::new();
                    }
                    return;
                }
                std::mem::take(&mut state.joining[at].1)
            };
            let Some(socket) = socket else { continue };
            held.into_iter().for_each(|packet| self.handle(socket, packet));
        }
    }

    pub(super) fn refuse(&self, conn: &Conn, nsp: &ByteString, error: &ConnectError) {
        #[derive(serde::Serialize)]
        struct Refusal<'a> {
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a serde_json::Value>,
        }
        // A string and a JSON value serialise.
        let data = Payload::value(&Refusal { message: &error.message, data: error.data.as_ref() }).ok();
        let packet = Packet::new(PacketType::ConnectError, nsp.clone(), data);
        conn.send(&wire::encode(self.io.options.parser, &packet), false);
    }

    fn join(&self, conn: &Arc<Conn>, packet: Packet) {
        let Packet { kind: _, nsp: name, id: _, data: auth } = packet;
        if conn.is_over_capacity() {
            let retry = self.io.options.engine.retry_after.as_millis() as u64;
            let error = ConnectError {
                message: "Server at capacity".into(),
                data: Some(serde_json::json!({ "retryAfterMs": retry })),
            };
            self.refuse(conn, &name, &error);
            return self.joined(&name, None);
        }
        let Some(nsp) = self.io.namespace_for(&name) else {
            self.io.stats.connect_errors.inc();
            self.refuse(conn, &name, &ConnectError::new("Invalid namespace"));
            return self.joined(&name, None);
        };
        let recovery = auth.as_ref().filter(|a| a.json().contains("\"pid\"")).and_then(|a| {
            let Recovery { pid, offset } = a.parse().ok()?;
            Some((pid?, offset))
        });
        join::run(self, conn, nsp, auth, recovery);
    }

    pub(super) fn sockets(&self) -> SmallVec<[Arc<SocketInner>; 1]> {
        self.state.lock().sockets.clone()
    }

    pub fn handles(&self) -> Vec<Socket> {
        self.sockets().into_iter().map(Socket).collect()
    }

    /// The server sends the client away: each of its sockets is told, then the connection closes.
    pub(super) fn disconnect_all(conn: &Arc<Conn>) {
        if let Some(client) = conn.session::<Self>() {
            for socket in client.sockets() {
                client.remove(&socket);
                Socket(socket).disconnect(false);
            }
        }
        conn.close(Close::flushed(CloseReason::ForcedClose));
    }
}

impl Session for Client {
    fn on_message(&self, conn: &Arc<Conn>, message: Message) -> Result<(), ParseError> {
        let Some(packet) = self.decode(message)? else { return Ok(()) };
        match self.step(&packet) {
            Step::Join => self.join(conn, packet),
            Step::Handle(socket) => {
                let begun = Instant::now();
                self.handle(&socket, packet);
                self.io.observer.message_handled(begun.elapsed());
            }
            Step::Wait => {}
            // As in Node: out of turn, and so not a client of ours.
            Step::Invalid => conn.close(Close::flushed(CloseReason::ForcedClose)),
        }
        Ok(())
    }

    fn on_close(&self, _conn: &Arc<Conn>, reason: CloseReason) {
        let sockets = {
            let mut state = self.state.lock();
            state.closed = true;
            state.decoder = Decoder::default();
            std::mem::take(&mut state.sockets)
        };
        sockets.iter().for_each(|socket| socket.close(DisconnectReason::Transport(reason)));
    }

    fn on_timer(&self, conn: &Arc<Conn>) {
        if self.state.lock().sockets.is_empty() {
            conn.close(Close::flushed(CloseReason::ForcedClose));
        }
    }
}

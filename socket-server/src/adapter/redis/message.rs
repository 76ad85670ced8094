//! The messages that servers of one cluster exchange (`ClusterAdapter` of the npm package `socket.io-adapter`):
//! the streams and the sharded adapter carry them in different envelopes.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or not of the type's shape.
    #[error("bad JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not MessagePack.
    #[error("bad MessagePack: {0}")]
    Msgpack(#[from] super::msgpack::MsgpackError),
    /// Not base64.
    #[error("bad base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// A type that the protocol does not define.
    #[error("unknown message type {0}")]
    UnknownType(u8),
    /// A type that needs data came without.
    #[error("message type {0} without data")]
    NoData(u8),
    /// A field that the format demands is missing.
    #[error("no field {0}")]
    NoField(&'static str),
}

/// Which sockets a message is for, and how it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// To the members of any of these rooms; to all where there is none.
    #[serde(default, deserialize_with = "rooms")]
    pub rooms: Vec<String>,
    /// But not to members of any of these.
    #[serde(default, deserialize_with = "rooms")]
    pub except: Vec<String>,
    /// Modifiers of the emission.
    #[serde(default)]
    pub flags: Flags,
}

/// Modifiers of an emission, those that matter on another server. Absent and false mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// May be dropped when the client is not ready; never stored for recovery.
    #[serde(default, skip_serializing_if = "is_false")]
    pub volatile: bool,
    /// Whether the packet may be compressed; `None` leaves it to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// Milliseconds to wait for acknowledgements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Room names. In Node a room may be a number too: it is known here by its text.
fn rooms<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Room {
        Text(String),
        Number(serde_json::Number),
    }
    let rooms = Vec::<Room>::deserialize(reader)?;
    Ok(rooms
        .into_iter()
        .map(|room| match room {
            Room::Text(text) => text,
            Room::Number(number) => number.to_string(),
        })
        .collect())
}

/// A message; texts in it are JSON, with placeholders for the attachments that travel beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// A server has come; the others answer with a heartbeat.
    InitialHeartbeat,
    /// A server lives.
    Heartbeat,
    /// An event, as JSON array, to the sockets of `opts`; with `request` their acknowledgements are wanted.
    Broadcast { data: &'a str, request: Option<String>, opts: Options },
    /// The matching sockets join `rooms`.
    SocketsJoin { opts: Options, rooms: Vec<String> },
    /// The matching sockets leave `rooms`.
    SocketsLeave { opts: Options, rooms: Vec<String> },
    /// The matching sockets are disconnected, with `close` their connection too.
    DisconnectSockets { opts: Options, close: bool },
    /// Asks for the matching sockets.
    FetchSockets { opts: Options, request: String },
    /// Answers with a JSON array of sockets.
    FetchSocketsResponse { request: String, sockets: &'a str },
    /// An event, as JSON array, to the servers themselves; with `request` an answer is wanted.
    ServerSideEmit { args: &'a str, request: Option<String> },
    /// A server's answer, one JSON value.
    ServerSideEmitResponse { request: String, arg: &'a str },
    /// So many sockets here were sent the broadcast.
    BroadcastClientCount { request: String, count: u64 },
    /// One socket's acknowledgement, one JSON value.
    BroadcastAck { request: String, arg: &'a str },
    /// A server goes.
    Close,
}

impl<'a> Message<'a> {
    /// The type's number on the wire.
    pub fn kind(&self) -> u8 {
        match self {
            Self::InitialHeartbeat => 1,
            Self::Heartbeat => 2,
            Self::Broadcast { .. } => 3,
            Self::SocketsJoin { .. } => 4,
            Self::SocketsLeave { .. } => 5,
            Self::DisconnectSockets { .. } => 6,
            Self::FetchSockets { .. } => 7,
            Self::FetchSocketsResponse { .. } => 8,
            Self::ServerSideEmit { .. } => 9,
            Self::ServerSideEmitResponse { .. } => 10,
            Self::BroadcastClientCount { .. } => 11,
            Self::BroadcastAck { .. } => 12,
            Self::Close => 13,
        }
    }

    /// The `data` of the wire, with the keys in Node's order; `None` for the types that have none.
    pub fn data(&self) -> Option<String> {
        let mut out = String::with_capacity(128);
        match self {
            Self::InitialHeartbeat | Self::Heartbeat | Self::Close => return None,
            Self::Broadcast { data, request, opts } => {
                out.reserve(data.len());
                let _ = write!(out, r#"{{"packet":{{"type":2,"data":{data}}},"#);
                if let Some(request) = request {
                    let _ = write!(out, r#""requestId":{},"#, json(request));
                }
                let _ = write!(out, r#""opts":{}}}"#, json(opts));
            }
            Self::SocketsJoin { opts, rooms } | Self::SocketsLeave { opts, rooms } => {
                let _ = write!(out, r#"{{"opts":{},"rooms":{}}}"#, json(opts), json(rooms));
            }
            Self::DisconnectSockets { opts, close } => {
                let _ = write!(out, r#"{{"opts":{},"close":{close}}}"#, json(opts));
            }
            Self::FetchSockets { opts, request } => {
                let _ = write!(out, r#"{{"opts":{},"requestId":{}}}"#, json(opts), json(request));
            }
            Self::FetchSocketsResponse { request, sockets } => {
                let _ = write!(out, r#"{{"requestId":{},"sockets":{sockets}}}"#, json(request));
            }
            Self::ServerSideEmit { args, request: None } => {
                let _ = write!(out, r#"{{"packet":{args}}}"#);
            }
            Self::ServerSideEmit { args: arg, request: Some(request) }
            | Self::ServerSideEmitResponse { request, arg }
            | Self::BroadcastAck { request, arg } => {
                let _ = write!(out, r#"{{"requestId":{},"packet":{arg}}}"#, json(request));
            }
            Self::BroadcastClientCount { request, count } => {
                let _ = write!(out, r#"{{"requestId":{},"clientCount":{count}}}"#, json(request));
            }
        }
        Some(out)
    }

    /// Reads a message from its type and its `data`.
    pub fn parse(kind: u8, data: Option<&'a str>) -> Result<Self, MessageError> {
        let data = match (kind, data) {
            (1, _) => return Ok(Self::InitialHeartbeat),
            (2, _) => return Ok(Self::Heartbeat),
            (13, _) => return Ok(Self::Close),
            (3..=12, Some(data)) => serde_json::from_str::<Data<'a>>(data)?,
            (3..=12, None) => return Err(MessageError::NoData(kind)),
            _ => return Err(MessageError::UnknownType(kind)),
        };
        let Data { packet, request_id, opts, rooms, close, client_count, sockets } = data;
        let request = || request_id.clone().ok_or(MessageError::NoField("requestId"));
        // An acknowledgement of nothing has no `packet`: JSON.stringify leaves `undefined` out.
        let arg = packet.map_or("null", RawValue::get);
        Ok(match kind {
            3 => {
                let packet = packet.ok_or(MessageError::NoField("packet"))?;
                let data = serde_json::from_str::<Packet<'a>>(packet.get())?.data.get();
                Self::Broadcast { data, request: request_id, opts }
            }
            4 => Self::SocketsJoin { opts, rooms },
            5 => Self::SocketsLeave { opts, rooms },
            6 => Self::DisconnectSockets { opts, close },
            7 => Self::FetchSockets { request: request()?, opts },
            8 => Self::FetchSocketsResponse {
                request: request()?,
                sockets: sockets.map_or("[]", RawValue::get),
            },
            9 => Self::ServerSideEmit {
                args: packet.ok_or(MessageError::NoField("packet"))?.get(),
                request: request_id,
            },
            10 => Self::ServerSideEmitResponse { request: request()?, arg },
            11 => Self::BroadcastClientCount { request: request()?, count: client_count },
            _ => Self::BroadcastAck { request: request()?, arg },
        })
    }
}

/// Every field that a message's `data` may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow, default)]
    packet: Option<&'a RawValue>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    opts: Options,
    #[serde(default, deserialize_with = "rooms")]
    rooms: Vec<String>,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    client_count: u64,
    #[serde(borrow, default)]
    sockets: Option<&'a RawValue>,
}

/// The packet within a broadcast: always an event.
#[derive(Deserialize)]
struct Packet<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Serialises what cannot fail: strings and the plain structures of this module.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

//! Socket.IO packets, revision 5 of the protocol.
//!
//! A packet's arguments stay in the form in which they travel: JSON text with placeholders, and the binary
//! attachments beside it ([`Payload`]). What is only passed on is never turned into a tree of values.

mod binary;
mod decode;
mod encode;
mod msgpack;
mod payload;

pub use binary::Binary;
pub use decode::{DecodeError, Decoder, MAX_ATTACHMENTS};
pub use encode::encode;
pub(crate) use msgpack::{decode_msgpack, encode_msgpack};
pub(crate) use payload::OFFSET_FRAME;
pub use payload::{Args, Payload, PayloadError, RawArgs};

use bytestring::ByteString;

/// The default namespace.
pub const ROOT_NAMESPACE: &str = "/";

/// Kind of a packet. Binary events and acks are `Event` and `Ack` with attachments in their payload: the
/// types 5 and 6 exist on the wire alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    /// Joins a namespace; the client's carries the `auth` object, the server's `{sid, pid}`.
    Connect = 0,
    /// Leaves a namespace.
    Disconnect = 1,
    /// An event: the payload is `[name, ...arguments]`.
    Event = 2,
    /// The answer to an event that carried an id: the payload is `[...arguments]`.
    Ack = 3,
    /// The server refuses a namespace: the payload is `{message, data}`.
    ConnectError = 4,
}

/// A packet in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// What it is.
    pub kind: PacketType,
    /// Namespace with its leading slash.
    pub nsp: ByteString,
    /// Id of the acknowledgement that is asked for (event) or given (ack).
    pub id: Option<u64>,
    /// `None` where the type needs none (a bare `Connect`, a `Disconnect`).
    pub data: Option<Payload>,
}

impl Packet {
    /// A packet without id.
    pub fn new(kind: PacketType, nsp: impl Into<ByteString>, data: Option<Payload>) -> Self {
        Self { kind, nsp: nsp.into(), id: None, data }
    }
}

//! What a message makes this server's sockets do.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::message::{self, Message};
use super::sockets::Sockets;
use crate::adapter::{BroadcastOptions, Flags, Room};
use crate::packet::Payload;

/// Done on every server, without answer.
#[derive(Clone, Debug)]
pub enum Action {
    /// An event to sockets.
    Broadcast { data: Payload, options: BroadcastOptions },
    /// Sockets join rooms.
    Join { options: BroadcastOptions, rooms: Vec<Room> },
    /// Sockets leave rooms.
    Leave { options: BroadcastOptions, rooms: Vec<Room> },
    /// Sockets are disconnected.
    Disconnect { options: BroadcastOptions, close: bool },
}

impl Action {
    /// Does it to the sockets here; an event gets `offset`.
    pub fn apply(&self, local: &dyn Sockets, offset: Option<&str>) {
        match self {
            Self::Broadcast { data, options } => match offset {
                Some(offset) if takes_offset(data, options.flags) => {
                    local.broadcast(&data.with_offset(offset), options);
                }
                _ => {
                    local.broadcast(data, options);
                }
            },
            Self::Join { options, rooms } => local.add_sockets(options, rooms),
            Self::Leave { options, rooms } => local.del_sockets(options, rooms),
            Self::Disconnect { options, close } => local.disconnect_sockets(options, *close),
        }
    }

    /// The message that tells other servers, and the attachments beside it.
    pub fn message(&self) -> (Message<'_>, &[Bytes]) {
        match self {
            Self::Broadcast { data, options } => (
                Message::Broadcast { data: data.json(), request: None, opts: to_wire(options) },
                data.attachments(),
            ),
            Self::Join { options, rooms } => {
                (Message::SocketsJoin { opts: to_wire(options), rooms: texts(rooms) }, &[])
            }
            Self::Leave { options, rooms } => {
                (Message::SocketsLeave { opts: to_wire(options), rooms: texts(rooms) }, &[])
            }
            Self::Disconnect { options, close } => {
                (Message::DisconnectSockets { opts: to_wire(options), close: *close }, &[])
            }
        }
    }

    /// The action of a message, when it is one.
    pub fn from_message(message: Message<'_>, attachments: &[Bytes]) -> Option<Self> {
        Some(match message {
            Message::Broadcast { data, request: None, opts } => Self::Broadcast {
                data: Payload::from_parts(data.into(), attachments.to_vec()),
                options: from_wire(opts),
            },
            Message::SocketsJoin { opts, rooms } => {
                Self::Join { options: from_wire(opts), rooms: names(rooms) }
            }
            Message::SocketsLeave { opts, rooms } => {
                Self::Leave { options: from_wire(opts), rooms: names(rooms) }
            }
            Message::DisconnectSockets { opts, close } => {
                Self::Disconnect { options: from_wire(opts), close }
            }
            _ => return None,
        })
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let data = if let Self::Broadcast { data, .. } = self { data.len() } else { 0 };
        data + 256
    }
}

/// Every event that may be recovered carries its offset. A volatile one may not; but a stock client takes the
/// last argument of *any* event for an offset when it is a string, and could then never come back: such an
/// event gets one too.
fn takes_offset(data: &Payload, flags: Flags) -> bool {
    !flags.volatile || data.json().trim_end().ends_with("\"]")
}

/// Options as they travel.
pub fn to_wire(options: &BroadcastOptions) -> message::Options {
    let BroadcastOptions { rooms, except, flags } = options;
    let Flags { volatile, local: _, compress, timeout, expect_single_response: _ } = *flags;
    let timeout = timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX));
    message::Options {
        rooms: texts(rooms),
        except: texts(except),
        flags: message::Flags { volatile, compress, timeout },
    }
}

/// Options as they are used.
pub fn from_wire(options: message::Options) -> BroadcastOptions {
    let message::Options { rooms, except, flags: message::Flags { volatile, compress, timeout } } = options;
    let timeout = timeout.map(Duration::from_millis);
    BroadcastOptions {
        rooms: rooms.into_iter().map(ByteString::from).collect(),
        except: except.into_iter().map(ByteString::from).collect(),
        flags: Flags { volatile, compress, timeout, ..Flags::default() },
    }
}

fn texts(rooms: &[Room]) -> Vec<String> {
    rooms.iter().map(ToString::to_string).collect()
}

fn names(rooms: Vec<String>) -> Vec<Room> {
    rooms.into_iter().map(ByteString::from).collect()
}

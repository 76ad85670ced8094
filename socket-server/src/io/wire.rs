//! Packet → frames, once for all receivers.

use bytes::Bytes;

use crate::engine;
use crate::options::Parser;
use crate::packet::{self, Packet};

/// The Engine.IO messages of a packet as frames.
pub(super) fn encode(parser: Parser, packet: &Packet) -> Bytes {
    let data = packet.data.as_ref();
    match parser {
        Parser::Json => {
            let hint = data.map_or(0, |d| d.json().len()) + packet.nsp.len() + 32;
            let attachments = data.map_or(&[][..], |d| d.attachments());
            engine::encode_message(hint, attachments, |buf| {
                buf.push(b'4');
                packet::encode(packet, buf);
            })
        }
        Parser::MsgPack => engine::encode_binary(&packet::encode_msgpack(packet)),
    }
}

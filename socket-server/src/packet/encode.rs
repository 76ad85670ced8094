//! Packet → text of its first Engine.IO message; the attachments follow as binary messages.

use super::{Packet, PacketType, ROOT_NAMESPACE};

/// The text of a packet, without Engine.IO's own type in front of it. Attachments are sent after it, each in a
/// binary message of its own.
pub fn encode(packet: &Packet, out: &mut Vec<u8>) {
    let attachments = packet.data.as_ref().map_or(0, |d| d.attachments().len());
    let kind = match (packet.kind, attachments) {
        (PacketType::Event, 1..) => b'5',
        (PacketType::Ack, 1..) => b'6',
        (kind, _) => b'0' + kind as u8,
    };
    let mut digits = itoa::Buffer::new();
    out.push(kind);
    if attachments > 0 {
        out.extend_from_slice(digits.format(attachments).as_bytes());
        out.push(b'-');
    }
    if packet.nsp != ROOT_NAMESPACE {
        out.extend_from_slice(packet.nsp.as_bytes());
        out.push(b',');
    }
    if let Some(id) = packet.id {
        out.extend_from_slice(digits.format(id).as_bytes());
    }
    if let Some(data) = &packet.data {
        out.extend_from_slice(data.json().as_bytes());
    }
}

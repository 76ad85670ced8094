//! `socket.io-msgpack-parser`: a packet is one binary message, `{type, nsp, id?, data?}` in MessagePack.

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::validate;
use super::{DecodeError, Packet, PacketType, Payload};
use crate::adapter::redis::msgpack;

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(rename = "type")]
    kind: u8,
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    nsp: &'a str,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    id: Option<u64>,
    nsp: String,
}

/// The message's bytes.
pub(crate) fn encode_msgpack(packet: &Packet) -> Vec<u8> {
    let Packet { kind, nsp, id, data } = packet;
    let json = data.as_ref().and_then(|data| serde_json::from_str(data.json()).ok());
    let attachments = data.as_ref().map_or(&[][..], |d| d.attachments());
    let outgoing = Outgoing { kind: *kind as u8, data: json, id: *id, nsp };
    // JSON that was checked when it was made or came in, and numbers: both can be written.
    let text = serde_json::to_string(&outgoing).unwrap_or_default();
    msgpack::from_json(&text, attachments).unwrap_or_default()
}

/// Reads a message of a client's.
pub(crate) fn decode_msgpack(bytes: &Bytes) -> Result<Packet, DecodeError> {
    let document = msgpack::to_json(bytes).map_err(|_| DecodeError::InvalidPayload)?;
    let Incoming { kind, data, id, nsp } =
        serde_json::from_str(&document.json).map_err(|_| DecodeError::InvalidPayload)?;
    let kind = match kind {
        0 => PacketType::Connect,
        1 => PacketType::Disconnect,
        2 => PacketType::Event,
        3 => PacketType::Ack,
        4 => PacketType::ConnectError,
        _ => return Err(DecodeError::UnknownType),
    };
    let json = data.map(RawValue::get).filter(|json| *json != "null");
    validate(kind, json)?;
    let data = json.map(|json| Payload::from_parts(json.into(), document.attachments.clone()));
    Ok(Packet { kind, nsp: ByteString::from(nsp), id, data })
}

#[cfg(test)]
mod tests {
    use super::super::Binary;
    use super::*;

    #[test]
    fn packets_survive_decoding_and_encoding() {
        let event = Payload::event("file", (Binary::from(vec![1, 2, 3]), "text", -1.5)).unwrap();
        for packet in [
            Packet::new(PacketType::Connect, "/", None),
            Packet::new(PacketType::Disconnect, "/admin", None),
            Packet { id: Some(7), ..Packet::new(PacketType::Event, "/", Some(event)) },
        ] {
            assert_eq!(decode_msgpack(&encode_msgpack(&packet).into()), Ok(packet));
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for json in
            [r#"{"type":9,"nsp":"/"}"#, r#"{"type":2,"nsp":"/","data":{}}"#, r#"{"type":2,"nsp":7}"#, "1"]
        {
            let bytes = msgpack::from_json(json, &[]).unwrap();
            assert!(decode_msgpack(&bytes.into()).is_err(), "{json}");
        }
        assert!(decode_msgpack(&Bytes::from_static(&[0xc1, 0xff])).is_err());
    }
}

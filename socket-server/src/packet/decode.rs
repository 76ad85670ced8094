//! Engine.IO messages of a client → packets. Accepts what Node's parser accepts; limits are its own.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Packet, PacketType, Payload, ROOT_NAMESPACE};

/// Attachments that one packet may announce, as in Node's parser.
pub const MAX_ATTACHMENTS: usize = 10;

/// Longest namespace that is looked at.
const MAX_NAMESPACE: usize = 1024;

/// Event names that the libraries emit themselves: a client may not send them.
const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Why a message is not a packet. The connection is closed with reason `parse error`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The first character is none of 0 to 6.
    #[error("unknown packet type")]
    UnknownType,
    /// The number of attachments is absent, 0 or not a number.
    #[error("illegal attachments")]
    IllegalAttachments,
    /// More than [`MAX_ATTACHMENTS`].
    #[error("too many attachments")]
    TooManyAttachments,
    /// The namespace is longer than any that a server has.
    #[error("namespace too long")]
    NamespaceTooLong,
    /// The JSON is not valid, or not of the form that the type needs.
    #[error("invalid payload")]
    InvalidPayload,
    /// Text while attachments were awaited.
    #[error("got plaintext data when reconstructing a packet")]
    UnexpectedText,
    /// Bytes without a packet that announced them.
    #[error("got binary data when not reconstructing a packet")]
    UnexpectedBinary,
    /// The attachments together are larger than a message may be.
    #[error("attachments too large")]
    AttachmentsTooLarge,
}

/// Puts binary packets together; holds nothing but a packet whose attachments have not all arrived.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending {
    packet: Packet,
    json: ByteString,
    expected: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

impl Decoder {
    /// Takes a text message (without Engine.IO's type). `None`: attachments are to follow.
    pub fn text(&mut self, text: ByteString) -> Result<Option<Packet>, DecodeError> {
        if self.pending.is_some() {
            return Err(DecodeError::UnexpectedText);
        }
        let (packet, json, expected) = decode_text(&text)?;
        if expected == 0 {
            return Ok(Some(Packet {
                data: json.map(|json| Payload::from_parts(json, Vec::new())),
                ..packet
            }));
        }
        let json = json.ok_or(DecodeError::InvalidPayload)?;
        self.pending = Some(Box::new(Pending { packet, json, expected, attachments: Vec::new(), bytes: 0 }));
        Ok(None)
    }

    /// Takes a binary message. `None`: more are to follow. `limit` bounds the sum of a packet's attachments.
    pub fn binary(&mut self, bytes: Bytes, limit: usize) -> Result<Option<Packet>, DecodeError> {
        let pending = self.pending.as_mut().ok_or(DecodeError::UnexpectedBinary)?;
        pending.bytes += bytes.len();
        if pending.bytes > limit.saturating_mul(MAX_ATTACHMENTS) {
            return Err(DecodeError::AttachmentsTooLarge);
        }
        pending.attachments.push(bytes);
        if pending.attachments.len() < pending.expected {
            return Ok(None);
        }
        Ok(self.pending.take().map(|pending| {
            let Pending { packet, json, expected: _, attachments, bytes: _ } = *pending;
            Packet { data: Some(Payload::from_parts(json, attachments)), ..packet }
        }))
    }
}

type Text = (Packet, Option<ByteString>, usize);

fn decode_text(text: &ByteString) -> Result<Text, DecodeError> {
    let mut rest: &str = text;
    let kind_digit = rest.as_bytes().first().copied().ok_or(DecodeError::UnknownType)?;
    let (kind, binary) = match kind_digit {
        b'0' => (PacketType::Connect, false),
        b'1' => (PacketType::Disconnect, false),
        b'2' => (PacketType::Event, false),
        b'3' => (PacketType::Ack, false),
        b'4' => (PacketType::ConnectError, false),
        b'5' => (PacketType::Event, true),
        b'6' => (PacketType::Ack, true),
        _ => return Err(DecodeError::UnknownType),
    };
    rest = &rest[1..];

    let mut attachments = 0;
    if binary {
        let (count, after) = rest.split_once('-').ok_or(DecodeError::IllegalAttachments)?;
        if count.is_empty() || count.len() > 6 || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DecodeError::IllegalAttachments);
        }
        attachments = count.parse().map_err(|_| DecodeError::IllegalAttachments)?;
        match attachments {
            0 => return Err(DecodeError::IllegalAttachments),
            1..=MAX_ATTACHMENTS => {}
            _ => return Err(DecodeError::TooManyAttachments),
        }
        rest = after;
    }

    let nsp = if rest.starts_with('/') {
        let (nsp, after) = rest.split_once(',').unwrap_or((rest, ""));
        if nsp.len() > MAX_NAMESPACE {
            return Err(DecodeError::NamespaceTooLong);
        }
        rest = after;
        text.slice_ref(nsp)
    } else {
        ByteString::from_static(ROOT_NAMESPACE)
    };

    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let id = match digits {
        0 => None,
        // JavaScript's integers end at 2^53; a longer id is no packet of ours.
        1..=16 => Some(rest[..digits].parse().map_err(|_| DecodeError::InvalidPayload)?),
        _ => return Err(DecodeError::InvalidPayload),
    };
    rest = &rest[digits..];

    let json = (!rest.is_empty()).then(|| text.slice_ref(rest));
    validate(kind, json.as_deref())?;
    Ok((Packet { kind, nsp, id, data: None }, json, attachments))
}

/// Checks the JSON's syntax and the form that the type asks for.
pub(super) fn validate(kind: PacketType, json: Option<&str>) -> Result<(), DecodeError> {
    let first = json.and_then(|j| j.bytes().find(|b| !b.is_ascii_whitespace()));
    let valid = match kind {
        PacketType::Connect => first.is_none() || first == Some(b'{'),
        PacketType::Disconnect => first.is_none(),
        PacketType::Event | PacketType::Ack => first == Some(b'['),
        PacketType::ConnectError => matches!(first, Some(b'{' | b'"')),
    };
    if !valid {
        return Err(DecodeError::InvalidPayload);
    }
    let Some(json) = json else { return Ok(()) };
    let checked = match kind {
        PacketType::Event => serde_json::from_str::<EventShape>(json).map(|_| ()),
        _ => serde_json::from_str::<IgnoredAny>(json).map(|_| ()),
    };
    checked.map_err(|_| DecodeError::InvalidPayload)
}

/// `[name, ...]` where the name is a number or a string that is not reserved.
struct EventShape;

impl<'de> Deserialize<'de> for EventShape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = EventShape;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array that starts with an event's name")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<EventShape, A::Error> {
                let name: Option<EventName> = seq.next_element()?;
                name.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(EventShape)
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

struct EventName;

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = EventName;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an event name that is not reserved")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<EventName, E> {
                match RESERVED_EVENTS.contains(&name) {
                    true => Err(E::custom("reserved event name")),
                    false => Ok(EventName),
                }
            }
            fn visit_u64<E>(self, _: u64) -> Result<EventName, E> {
                Ok(EventName)
            }
            fn visit_i64<E>(self, _: i64) -> Result<EventName, E> {
                Ok(EventName)
            }
            fn visit_f64<E>(self, _: f64) -> Result<EventName, E> {
                Ok(EventName)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Option<Packet>, DecodeError> {
        Decoder::default().text(ByteString::from(text))
    }

    fn round_trip(text: &str) {
        let packet = one(text).unwrap().unwrap();
        let mut out = Vec::new();
        super::super::encode(&packet, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn packets_survive_decoding_and_encoding() {
        for text in [
            "0",
            r#"0{"token":"x"}"#,
            "0/admin,",
            r#"0/admin,{"a":1}"#,
            "1",
            "1/admin,",
            r#"2["hello",1]"#,
            r#"2/admin,["hello"]"#,
            r#"212["hello"]"#,
            r#"2/admin,0["hello",{"a":[]}]"#,
            r#"30["\ud800"]"#,
            "312[]",
            r#"4{"message":"no"}"#,
        ] {
            round_trip(text);
        }
    }

    #[test]
    fn what_node_refuses_is_refused() {
        for text in [
            "",
            "7",
            "x",
            "2",
            "2{}",
            "2[]",
            "2[{}]",
            "2[\"a\"",
            "2[\"a\"]x",
            "2[\"connect\"]",
            "2[\"disconnect\"]",
            "0[]",
            "0\"x\"",
            "1{}",
            "5[\"a\"]",
            "50-[\"a\"]",
            "5x-[\"a\"]",
            "5-[\"a\"]",
            "51.5-[\"a\"]",
            "3{}",
            "3",
            "51-",
        ] {
            assert!(one(text).is_err(), "{text}");
        }
        assert_eq!(one(r#"511-["a"]"#), Err(DecodeError::TooManyAttachments));
    }

    #[test]
    fn attachments_complete_a_packet() {
        let mut decoder = Decoder::default();
        let text = r#"52-/admin,7["file",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        assert_eq!(decoder.text(text.into()), Ok(None));
        assert_eq!(decoder.binary(Bytes::from_static(b"a"), 100), Ok(None));
        let packet = decoder.binary(Bytes::from_static(b"b"), 100).unwrap().unwrap();
        assert_eq!((packet.kind, &*packet.nsp, packet.id), (PacketType::Event, "/admin", Some(7)));
        assert_eq!(packet.data.as_ref().unwrap().attachments().len(), 2);
        let mut out = Vec::new();
        super::super::encode(&packet, &mut out);
        assert_eq!(out, text.as_bytes());
        assert_eq!(decoder.binary(Bytes::new(), 100), Err(DecodeError::UnexpectedBinary));
    }

    #[test]
    fn text_in_between_attachments_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.text(r#"51-["a",{"_placeholder":true,"num":0}]"#.into()).unwrap();
        assert_eq!(decoder.text("0".into()), Err(DecodeError::UnexpectedText));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9/,\\-\\[\\]{}\":a-z\\\\]{0,40}") {
            let _ = one(&text);
        }

        #[test]
        fn any_unicode_is_survived(text in ".{0,60}") {
            let _ = one(&text);
        }
    }
}

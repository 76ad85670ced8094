//! Engine.IO packets, revision 4, and the payloads of long-polling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use super::frame;

/// What comes between the packets of a payload.
const SEPARATOR: u8 = 0x1e;

/// What a client may send.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// `1`: the client leaves.
    Close,
    /// `2`, with what it carries: only `2probe` is a client's.
    Ping(ByteString),
    /// `3`: answer to the server's ping.
    Pong,
    /// `4`, or a binary message.
    Message(Message),
    /// `5`: the upgrade is complete.
    Upgrade,
    /// `6`.
    Noop,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// As frames for [`Conn::send`](super::Conn::send).
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Text(text) => frame::message(text.len() + 1, &[], |buf| {
                buf.push(b'4');
                buf.extend_from_slice(text.as_bytes());
            }),
            Self::Binary(bytes) => frame::binary(bytes),
        }
    }
}

/// Not a packet of the protocol.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parse error")]
pub struct ParseError;

/// Reads a text packet.
pub fn decode(text: ByteString) -> Result<Incoming, ParseError> {
    let kind = *text.as_bytes().first().ok_or(ParseError)?;
    // The first character is one of ASCII in each case that goes on.
    let rest = || text.slice_ref(&text[1..]);
    Ok(match kind {
        b'1' => Incoming::Close,
        b'2' => Incoming::Ping(rest()),
        b'3' => Incoming::Pong,
        b'4' => Incoming::Message(Message::Text(rest())),
        b'5' => Incoming::Upgrade,
        b'6' => Incoming::Noop,
        _ => return Err(ParseError),
    })
}

/// Reads the packets of a polling request, one after the other.
pub fn decode_payload(payload: ByteString) -> impl Iterator<Item = Result<Incoming, ParseError>> {
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        let whole = rest.take()?;
        let packet = match whole.bytes().position(|b| b == SEPARATOR) {
            Some(at) => {
                rest = Some(whole.slice_ref(&whole[at + 1..]));
                whole.slice_ref(&whole[..at])
            }
            None => whole,
        };
        Some(match packet.strip_prefix('b') {
            Some(base64) => match STANDARD.decode(base64) {
                Ok(bytes) => Ok(Incoming::Message(Message::Binary(bytes.into()))),
                Err(_) => Err(ParseError),
            },
            None => decode(packet),
        })
    })
}

/// Appends to the answer of a poll what a WebSocket would get as these frames.
pub fn encode_payload(payload: &mut Vec<u8>, frames: Bytes) {
    for (binary, bytes) in frame::split(frames) {
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        match binary {
            true => {
                payload.push(b'b');
                payload.extend_from_slice(STANDARD.encode(&bytes).as_bytes());
            }
            false => payload.extend_from_slice(&bytes),
        }
    }
}

/// A text packet as a frame.
pub fn text_frame(packet: &str) -> Bytes {
    frame::single(frame::Opcode::Text, packet.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_payload_holds_several_packets() {
        let text = |t: &str| Ok(Incoming::Message(Message::Text(t.into())));
        let packets: Vec<_> = decode_payload("4a\u{1e}4\u{1e}bAQI=\u{1e}3\u{1e}x".into()).collect();
        let binary = Ok(Incoming::Message(Message::Binary(Bytes::from_static(&[1, 2]))));
        assert_eq!(packets, [text("a"), text(""), binary, Ok(Incoming::Pong), Err(ParseError)]);
    }

    #[test]
    fn frames_become_a_payload() {
        let mut payload = Vec::new();
        encode_payload(&mut payload, text_frame("2"));
        let message = frame::message(2, &[Bytes::from_static(&[1, 2])], |b| b.extend_from_slice(b"4a"));
        encode_payload(&mut payload, message);
        assert_eq!(payload, b"2\x1e4a\x1ebAQI=");
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in ".{0,80}") {
            decode_payload(payload.into()).for_each(drop);
        }
    }
}

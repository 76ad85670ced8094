//! What holds for whatever bytes a client sends to the engine: see [`crate::properties`].
#![allow(clippy::unwrap_used, missing_docs)] // whatever fails here is a finding

use bytes::Bytes;
use bytestring::ByteString;

use super::frame::{self, Opcode};
use super::packet::{self, Incoming, Message};
use super::{deflate, encode_message};

const MAX: usize = 1_000;

/// Frames of a stream: the same ones, whether its bytes come at once or one by one.
pub fn frame(bytes: &[u8]) {
    let whole = frames(bytes.to_vec(), bytes.len());
    let mut one_by_one = Vec::new();
    let mut buffer = Vec::new();
    'bytes: for byte in bytes {
        buffer.push(*byte);
        loop {
            let before = buffer.clone();
            match frame::parse(&mut buffer, MAX) {
                Ok(Some(found)) => {
                    one_by_one.push(Ok((
                        found.fin,
                        found.opcode,
                        found.compressed,
                        buffer[found.payload.clone()].to_vec(),
                    )));
                    buffer.drain(..found.payload.end);
                }
                Ok(None) => {
                    assert_eq!(buffer, before, "what is not whole is left as it is");
                    break;
                }
                Err(error) => {
                    one_by_one.push(Err(error));
                    break 'bytes;
                }
            }
        }
    }
    assert_eq!(whole, one_by_one);

    if let Ok(inflated) = deflate::inflate(bytes, MAX) {
        assert!(inflated.len() <= MAX);
    }
    let sent =
        encode_message(bytes.len(), &[Bytes::copy_from_slice(bytes)], |buf| buf.extend_from_slice(bytes));
    let back: Vec<_> = frame::split(sent.clone()).collect();
    assert_eq!(back, [(false, Bytes::copy_from_slice(bytes)), (true, Bytes::copy_from_slice(bytes))]);
    assert!(deflate::deflate(&sent, 0).len() <= sent.len());
}

type Found = Result<(bool, Opcode, bool, Vec<u8>), frame::FrameError>;

fn frames(mut bytes: Vec<u8>, end: usize) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < end {
        match frame::parse(&mut bytes[at..], MAX) {
            Ok(Some(frame)) => {
                let payload = &bytes[at + frame.payload.start..at + frame.payload.end];
                assert!(payload.len() <= MAX);
                found.push(Ok((frame.fin, frame.opcode, frame.compressed, payload.to_vec())));
                at += frame.payload.end;
            }
            Ok(None) => break,
            Err(error) => {
                found.push(Err(error));
                break;
            }
        }
    }
    found
}

/// A payload of long-polling: its messages are read again as they are written.
pub fn payload(payload: ByteString) {
    let length = payload.len();
    let mut messages = Vec::new();
    let mut bytes = 0;
    for incoming in packet::decode_payload(payload) {
        if let Ok(Incoming::Message(message)) = incoming {
            bytes += match &message {
                Message::Text(text) => text.len(),
                Message::Binary(binary) => binary.len(),
            };
            messages.push(message);
        }
    }
    assert!(bytes <= length);
    let mut written = Vec::new();
    for message in &messages {
        packet::encode_payload(&mut written, message.encode());
    }
    if messages.is_empty() {
        return;
    }
    let again = packet::decode_payload(ByteString::try_from(written).unwrap());
    let again: Vec<_> = again.map(|incoming| incoming.unwrap()).collect();
    assert_eq!(again, messages.into_iter().map(Incoming::Message).collect::<Vec<_>>());
}

//! What holds for whatever bytes a client sends: no panic, memory in proportion, and what was read is written and read
//! again as the same. The tests try many bytes, the fuzzers of `fuzz/` very many: `cargo +nightly fuzz run packet`.
#![allow(clippy::unwrap_used, missing_docs)] // whatever fails here is a finding

use bytes::Bytes;
use bytestring::ByteString;

use crate::adapter::redis::msgpack;
use crate::engine::properties as engine;
use crate::packet::{Decoder, decode_msgpack, encode, encode_msgpack};

/// Bytes of JSON that a byte of MessagePack may become: an empty buffer of two bytes is a placeholder.
const GROWTH: usize = 20;

/// WebSocket frames, compressed ones too.
pub fn frame(bytes: &[u8]) {
    engine::frame(bytes);
}

/// A payload of long-polling.
pub fn payload(bytes: &[u8]) {
    engine::payload(ByteString::from(String::from_utf8_lossy(bytes).into_owned()));
}

/// Messages of the default parser: a line of text each; attachments follow that hold the lines after it.
pub fn packet(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    let mut read = None;
    for line in bytes.split(|b| *b == b'\n') {
        let text = ByteString::from(String::from_utf8_lossy(line).into_owned());
        read = match decoder.text(text) {
            Ok(packet) => packet,
            Err(_) => match decoder.binary(Bytes::copy_from_slice(line), 1_000) {
                Ok(packet) => packet,
                Err(_) => return,
            },
        };
        if read.is_some() {
            break;
        }
    }
    let Some(packet) = read else { return };
    // Bytes that are no UTF-8 become characters of three bytes each.
    assert!(packet.data.as_ref().map_or(0, |data| data.len()) <= 3 * bytes.len());
    let mut text = Vec::new();
    encode(&packet, &mut text);
    let mut again = decoder.text(ByteString::try_from(text).unwrap()).unwrap();
    for attachment in packet.data.iter().flat_map(|data| data.attachments()) {
        assert!(again.is_none());
        again = decoder.binary(attachment.clone(), 1_000).unwrap();
    }
    assert_eq!(again.as_ref(), Some(&packet));
}

/// MessagePack, of Redis and of clients that use it as their parser.
pub fn msgpack(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(read) = msgpack::to_json(&bytes) {
        assert!(read.json.len() <= GROWTH * bytes.len() + 64, "{} of {}", read.json.len(), bytes.len());
        assert!(read.attachments.len() <= bytes.len());
        serde_json::from_str::<serde::de::IgnoredAny>(&read.json).unwrap();
        // What peers write in several forms has become one, which stays.
        if let Ok(written) = msgpack::from_json(&read.json, &read.attachments) {
            let once = msgpack::to_json(&written.into()).unwrap();
            let twice = msgpack::from_json(&once.json, &once.attachments).unwrap();
            assert_eq!(msgpack::to_json(&twice.into()).unwrap(), once);
        }
    }
    if let Ok(packet) = decode_msgpack(&bytes)
        && let Ok(once) = decode_msgpack(&encode_msgpack(&packet).into())
    {
        assert_eq!(decode_msgpack(&encode_msgpack(&once).into()), Ok(once));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Bytes that get further than any do.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            prop::collection::vec(any::<u8>(), 0..9),
            prop::sample::select(vec![
                &b"40"[..],
                b"42[\"a\",",
                b"451-[\"a\",{\"_placeholder\":true,\"num\":0}]",
                b"[\"a\"]",
                b"/nsp,",
                b"52-",
                b"61-7",
                b"\n",
                b"\x1e",
                b"bAQID",
                b"{\"a\":1}",
                b"2[\"e\"]",
                b"31[]",
                b"0{}",
                b"\\u0000",
                b"\"",
                b"]",
                b"}",
                b"\x81\x85\0\0\0\0hello",
                b"\xc1\x87\0\0\0\0",
                b"\x01\x81\0\0\0\0x",
                b"\x80\x80\0\0\0\0",
                b"\x82\xfe\0\x7e",
                b"\xcaH\xcd\xc9\xc9\x07\0",
                b"\x82\xff\0\0\0\0\0\0\0\x10",
                b"\x89\x80\0\0\0\0",
                b"\x88\x82\0\0\0\0\x03\xe8",
                b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4data",
                b"\x92\xa1e",
                b"\xc4\0",
                b"\xc7\x01\x05x",
                b"\xd4\0\0",
                b"\xd7\xff\0\0\0\0\0\0\0\x01",
                b"\x81",
                b"\x91",
                b"\xdc\0\x02",
                b"\xde\0\x01",
                b"\xcb\x7f\xef\xff\xff\xff\xff\xff\xff",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn frames_of_any_bytes(bytes in likely()) {
            super::frame(&bytes);
        }

        #[test]
        fn payloads_of_any_bytes(bytes in likely()) {
            super::payload(&bytes);
        }

        #[test]
        fn packets_of_any_bytes(bytes in likely()) {
            super::packet(&bytes);
        }

        #[test]
        fn msgpack_of_any_bytes(bytes in likely()) {
            super::msgpack(&bytes);
        }
    }
}

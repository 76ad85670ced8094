//! WebSocket frames (RFC 6455), the server's side: unmasked out, masked in.

use std::ops::Range;

use bytes::{BufMut, Bytes};

/// Longest header of a frame that a server sends.
const MAX_HEADER: usize = 10;

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation = 0,
    /// UTF-8.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end, with an optional code and reason.
    Close = 8,
    /// To be answered by a pong of the same payload.
    Ping = 9,
    /// Answer to a ping.
    Pong = 10,
}

/// Why the peer's bytes are not WebSocket; the connection is closed with [`code`](FrameError::code).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Bits or opcodes that nobody negotiated.
    #[error("reserved bits or opcode")]
    Reserved,
    /// Clients must mask.
    #[error("unmasked frame")]
    Unmasked,
    /// A control frame that is fragmented or longer than 125 bytes.
    #[error("malformed control frame")]
    Control,
    /// A continuation without a start, or a start inside of a message.
    #[error("unexpected continuation or start of a message")]
    Sequence,
    /// Larger than a message may be.
    #[error("message too big")]
    TooBig,
    /// Text that is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// A compressed message that is none.
    #[error("invalid compressed data")]
    Deflate,
}

impl FrameError {
    /// Close code for the peer.
    pub fn code(&self) -> u16 {
        match self {
            Self::Reserved | Self::Unmasked | Self::Control | Self::Sequence => 1002,
            Self::Utf8 | Self::Deflate => 1007,
            Self::TooBig => 1009,
        }
    }
}

/// A frame at the start of a buffer, its payload unmasked in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Last of its message.
    pub fin: bool,
    /// Kind.
    pub opcode: Opcode,
    /// Its message is compressed, as only a connection that has agreed to it may send it. Text and binary frames alone.
    pub compressed: bool,
    /// Where its payload is in the buffer.
    pub payload: Range<usize>,
}

/// Splits the first whole frame off `buf`. `None`: more bytes are needed. The buffer is changed only when a frame
/// is returned; `max` bounds what a frame may announce.
pub fn parse(buf: &mut [u8], max: usize) -> Result<Option<Frame>, FrameError> {
    let [first, second, rest @ ..] = &*buf else { return Ok(None) };
    let fin = first & 0x80 != 0;
    let opcode = match first & 0x7f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        0x41 => Opcode::Text,
        0x42 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(FrameError::Reserved),
    };
    let compressed = first & 0x40 != 0;
    if second & 0x80 == 0 {
        return Err(FrameError::Unmasked);
    }
    let control = opcode as u8 >= Opcode::Close as u8;
    let (len, header) = match (second & 0x7f, rest) {
        (126 | 127, _) if control => return Err(FrameError::Control),
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10),
        (126 | 127, _) => return Ok(None),
        (len, _) => (u64::from(len), 2),
    };
    if control && !fin {
        return Err(FrameError::Control);
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= max || control).ok_or(FrameError::TooBig)?;
    let start = header + 4;
    let Some(mask) = buf.get(header..start).and_then(|m| <[u8; 4]>::try_from(m).ok()) else {
        return Ok(None);
    };
    let payload = start..start + len;
    let Some(bytes) = buf.get_mut(payload.clone()) else { return Ok(None) };
    unmask(bytes, mask);
    Ok(Some(Frame { fin, opcode, compressed, payload }))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Header of a final frame: bytes and how many of them count.
fn header(opcode: Opcode, len: usize) -> ([u8; MAX_HEADER], usize) {
    let mut bytes = [0; MAX_HEADER];
    bytes[0] = 0x80 | opcode as u8;
    let used = match len {
        0..=125 => {
            bytes[1] = len as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    (bytes, used)
}

/// One or more whole frames in one buffer, shared by all their receivers: a text frame, written by `write`, and a
/// binary frame for each attachment.
pub fn message(hint: usize, attachments: &[Bytes], write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let more: usize = attachments.iter().map(|a| a.len() + MAX_HEADER).sum();
    let mut buf = Vec::with_capacity(MAX_HEADER + hint + more);
    buf.extend_from_slice(&[0; MAX_HEADER]);
    write(&mut buf);
    // The header's length is known only now: it is put right before the payload.
    let (bytes, used) = header(Opcode::Text, buf.len() - MAX_HEADER);
    let start = MAX_HEADER - used;
    buf[start..MAX_HEADER].copy_from_slice(&bytes[..used]);
    for attachment in attachments {
        append(&mut buf, Opcode::Binary, attachment);
    }
    Bytes::from(buf).slice(start..)
}

/// Appends a whole frame.
pub fn append(buf: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let (bytes, used) = header(opcode, payload.len());
    buf.put_slice(&bytes[..used]);
    buf.put_slice(payload);
}

/// A frame of its own.
pub fn single(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut buf = Vec::with_capacity(payload.len() + MAX_HEADER);
    append(&mut buf, opcode, payload);
    buf.into()
}

/// A binary message of its own.
pub fn binary(payload: &[u8]) -> Bytes {
    single(Opcode::Binary, payload)
}

/// Payload of a close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(123)];
    [&code.to_be_bytes()[..], reason].concat()
}

/// The frames of a buffer that [`message`] or [`single`] made, for transports that have no frames.
pub fn split(mut frames: Bytes) -> impl Iterator<Item = (bool, Bytes)> {
    std::iter::from_fn(move || {
        let [first, second, ..] = *frames else { return None };
        let (header, len) = match (second, &frames[2..]) {
            (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize)
            }
            (len, _) => (2, usize::from(len)),
        };
        let payload = frames.split_to(header + len).slice(header..);
        Some((first & 0x0f == Opcode::Binary as u8, payload))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as a client sends it.
    pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        const MASK: [u8; 4] = [1, 2, 3, 4];
        let mut frame = single(Opcode::Text, payload).to_vec();
        frame[0] = first;
        frame[1] |= 0x80;
        let at = frame.len() - payload.len();
        frame.splice(at..at, MASK);
        frame[at + 4..].iter_mut().enumerate().for_each(|(i, b)| *b ^= MASK[i % 4]);
        frame
    }

    #[test]
    fn a_masked_frame_is_unmasked() {
        for len in [0, 1, 125, 126, 65535, 65536] {
            let payload = vec![b'x'; len];
            let mut frame = masked(0x81, &payload);
            let parsed = parse(&mut frame, 100_000).unwrap().unwrap();
            assert_eq!((parsed.fin, parsed.opcode), (true, Opcode::Text));
            assert_eq!(&frame[parsed.payload], payload);
        }
    }

    #[test]
    fn what_is_no_frame_of_a_client_is_refused() {
        let code = |mut bytes: Vec<u8>| parse(&mut bytes, 1000).unwrap_err();
        assert_eq!(code(vec![0x81, 0x00]), FrameError::Unmasked);
        assert_eq!(code(vec![0xa1, 0x80]), FrameError::Reserved);
        assert_eq!(code(vec![0xc0, 0x80]), FrameError::Reserved);
        assert_eq!(code(vec![0xc9, 0x80]), FrameError::Reserved);
        assert_eq!(code(vec![0x83, 0x80]), FrameError::Reserved);
        assert_eq!(code(vec![0x09, 0x80]), FrameError::Control);
        assert_eq!(code(vec![0x89, 0xfe]), FrameError::Control);
        assert_eq!(code(vec![0x82, 0xfe, 0x03, 0xe9]), FrameError::TooBig);
        assert_eq!(code(vec![0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]), FrameError::TooBig);
    }

    #[test]
    fn a_message_is_split_into_its_frames_again() {
        let attachments = [Bytes::from(vec![7; 300]), Bytes::new()];
        let frames: Vec<_> = split(message(3, &attachments, |b| b.extend_from_slice(b"abc"))).collect();
        assert_eq!(frames[0], (false, Bytes::from_static(b"abc")));
        assert_eq!(frames[1], (true, attachments[0].clone()));
        assert_eq!(frames[2], (true, attachments[1].clone()));
        assert_eq!(frames.len(), 3);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&mut bytes, 1000);
        }

        #[test]
        fn a_frame_cut_anywhere_waits_for_its_rest(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let whole = masked(0x82, &payload);
            for cut in 0..whole.len() {
                let mut part = whole[..cut].to_vec();
                prop_assert_eq!(parse(&mut part, 1000), Ok(None));
                prop_assert_eq!(&part[..], &whole[..cut]);
            }
        }
    }
}

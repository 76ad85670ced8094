//! permessage-deflate (RFC 7692) without context takeover in either direction: a connection keeps no window, and what
//! is sent to many is compressed once.

use std::cell::{OnceCell, RefCell};

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::{HeaderMap, header};

use super::frame::{self, FrameError, Opcode};

/// What a client that offers the extension is answered.
pub(super) const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The first bit that is reserved in RFC 6455: the message is compressed.
const RSV1: u8 = 0x40;
/// What ends each message, and is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

thread_local! {
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Whether a client offers the extension in a form that can be accepted: a smaller window of ours cannot.
pub(super) fn is_offered(request: &HeaderMap) -> bool {
    let values = request.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(|part| part.split('=').next().unwrap_or_default().trim());
        parts.next() == Some("permessage-deflate")
            && parts.all(|name| {
                matches!(
                    name,
                    "client_max_window_bits" | "client_no_context_takeover" | "server_no_context_takeover"
                )
            })
    })
}

/// Frames for several receivers, compressed when the first needs them so.
pub struct Shared {
    plain: Bytes,
    deflated: OnceCell<Bytes>,
    compress: bool,
}

impl Shared {
    /// Frames of [`encode_message`](super::encode_message); whether they are worth compressing.
    pub fn new(plain: Bytes, compress: bool) -> Self {
        Self { plain, deflated: OnceCell::new(), compress }
    }

    pub(super) fn plain(&self) -> &Bytes {
        &self.plain
    }

    pub(super) fn deflated(&self, threshold: usize) -> &Bytes {
        match self.compress {
            true => self.deflated.get_or_init(|| deflate(&self.plain, threshold)),
            false => &self.plain,
        }
    }
}

/// The same messages, those of at least `threshold` bytes compressed where that makes them smaller.
pub(super) fn deflate(frames: &Bytes, threshold: usize) -> Bytes {
    let is_control = frames.first().is_none_or(|first| first & 0x08 != 0);
    if is_control || frames.len() < threshold {
        return frames.clone();
    }
    let mut out = Vec::with_capacity(frames.len());
    for (binary, payload) in frame::split(frames.clone()) {
        let opcode = if binary { Opcode::Binary } else { Opcode::Text };
        let start = out.len();
        match (payload.len() >= threshold).then(|| compress(&payload)).flatten() {
            Some(smaller) => {
                frame::append(&mut out, opcode, &smaller);
                out[start] |= RSV1;
            }
            None => frame::append(&mut out, opcode, &payload),
        }
    }
    out.into()
}

/// `None`: it would not become smaller.
fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let mut out = Vec::with_capacity(payload.len());
        compress.compress_vec(payload, &mut out, FlushCompress::Sync).ok()?;
        let whole = compress.total_in() == payload.len() as u64 && out.len() < out.capacity();
        let message = out.strip_suffix(&TAIL).filter(|_| whole)?.len();
        out.truncate(message);
        Some(out)
    })
}

/// A compressed message as it was, of `max` bytes at most.
pub(super) fn inflate(payload: &[u8], max: usize) -> Result<Vec<u8>, FrameError> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(false);
        let mut out = Vec::with_capacity(payload.len().saturating_mul(4).min(max));
        for part in [payload, &TAIL] {
            let mut rest = part;
            loop {
                if out.len() == out.capacity() {
                    out.reserve_exact(out.len().max(64).min(max + 1 - out.len()));
                }
                let before = (decompress.total_in(), out.len());
                let status = decompress
                    .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                    .map_err(|_| FrameError::Deflate)?;
                rest = &rest[(decompress.total_in() - before.0) as usize..];
                if out.len() > max {
                    return Err(FrameError::TooBig);
                }
                if status == Status::StreamEnd {
                    return Ok(out);
                }
                if before == (decompress.total_in(), out.len()) {
                    break;
                }
            }
            if !rest.is_empty() {
                return Err(FrameError::Deflate);
            }
        }
        Ok(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads(frames: &Bytes) -> Vec<(bool, Vec<u8>)> {
        let mut firsts = Vec::new();
        let mut at = 0;
        for (_, payload) in frame::split(frames.clone()) {
            firsts.push(frames[at] & RSV1 != 0);
            at = payload.as_ptr() as usize - frames.as_ptr() as usize + payload.len();
        }
        firsts.into_iter().zip(frame::split(frames.clone()).map(|(_, payload)| payload.to_vec())).collect()
    }

    #[test]
    fn long_messages_are_compressed_and_short_ones_are_not() {
        let attachments = [Bytes::from(vec![7; 5_000]), Bytes::from_static(b"short")];
        let frames = frame::message(3, &attachments, |buf| buf.extend_from_slice(b"abc"));
        let [text, long, short] = &payloads(&deflate(&frames, 1024))[..] else { panic!() };
        assert_eq!((text, short), (&(false, b"abc".to_vec()), &(false, b"short".to_vec())));
        assert!(long.0 && long.1.len() < 100);
        assert_eq!(inflate(&long.1, 5_000), Ok(vec![7; 5_000]));
    }

    #[test]
    fn many_receivers_share_what_was_compressed() {
        let shared = Shared::new(frame::binary(&[7; 5_000]), true);
        assert_eq!(shared.deflated(1024).as_ptr(), shared.deflated(1024).as_ptr());
        let unworthy = Shared::new(frame::binary(&[7; 5_000]), false);
        assert_eq!(unworthy.deflated(1024), unworthy.plain());
    }

    #[test]
    fn control_frames_stay_what_they_are() {
        let pong = frame::single(Opcode::Pong, &[7; 100]);
        assert_eq!(deflate(&pong, 0), pong);
    }

    #[test]
    fn a_message_that_grows_beyond_the_limit_is_too_big() {
        let bomb = compress(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 1_000_000), Err(FrameError::TooBig));
        assert_eq!(inflate(&bomb, 10_000_000).map(|out| out.len()), Ok(10_000_000));
    }

    #[test]
    fn offers_are_told_apart() {
        let offered = |offer: &'static str| {
            let headers = [(header::SEC_WEBSOCKET_EXTENSIONS, http::HeaderValue::from_static(offer))];
            is_offered(&HeaderMap::from_iter(headers))
        };
        assert!(offered("permessage-deflate; client_max_window_bits"));
        assert!(offered("x-other, permessage-deflate;server_no_context_takeover"));
        assert!(offered("permessage-deflate; server_max_window_bits=10, permessage-deflate"));
        assert!(!offered("permessage-deflate; server_max_window_bits=10"));
        assert!(!offered("x-webkit-deflate-frame"));
    }

    proptest! {
        #[test]
        fn messages_survive(payload in prop::collection::vec(0u8..4, 0..3_000)) {
            if let Some(smaller) = compress(&payload) {
                prop_assert!(smaller.len() < payload.len());
                prop_assert_eq!(inflate(&smaller, payload.len()), Ok(payload));
            }
        }
    }
}

//! The task of a connection that has a WebSocket.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use bytestring::ByteString;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::Conn;
use super::closing::{Close, CloseReason, Closing};
use super::deflate;
use super::frame::{self, Frame, FrameError, Opcode};
use super::outbox::Flushed;
use super::packet::{self, Incoming, Message};

/// Size of the buffer that all connections of a thread read into.
const READ_BUFFER: usize = 64 * 1024;
/// Full buffers that one connection may read before others get their turn.
const READS_PER_TURN: usize = 4;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

/// Reads until the stream ends; writes what the senders could not. It holds bytes only of what has not arrived
/// whole.
pub(super) struct WebSocket {
    conn: Arc<Conn>,
    stream: OwnedReadHalf,
    reading: Reading,
    inbox: Inbox,
}

/// What is done with what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Messages,
    /// It is thrown away: unread bytes would turn our close into a reset.
    Discard,
    /// Nothing comes any more.
    Ended,
}

impl WebSocket {
    /// `read` is what came with the upgrade request already.
    pub fn new(conn: Arc<Conn>, stream: OwnedReadHalf, read: Vec<u8>) -> Self {
        Self { conn, stream, reading: Reading::Messages, inbox: Inbox { partial: read, fragments: None } }
    }
}

impl Future for WebSocket {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match (this.conn.flush(cx), this.reading) {
            (Flushed::Ended, _) => return Poll::Ready(()),
            (Flushed::Blocked, Reading::Ended) => return Poll::Pending,
            (Flushed::All, Reading::Ended) => {
                this.conn.finish_lingering();
                return Poll::Ready(());
            }
            (Flushed::All | Flushed::Blocked, Reading::Messages | Reading::Discard) => {}
        }
        match BUFFER.with_borrow_mut(|buffer| this.read(cx, buffer)) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(end)) => this.reading = this.conn.hang_up(end),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// However the task ends, also by a handler's panic, the connection ends with it.
impl Drop for WebSocket {
    fn drop(&mut self) {
        self.conn.finish(CloseReason::TransportError);
    }
}

/// Why reading has ended.
enum End {
    /// The peer's FIN, or its close frame.
    Peer,
    Broken,
    Frame(FrameError),
    /// The connection is to be closed.
    Close(CloseReason),
}

impl WebSocket {
    /// Ready: there is more to read.
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<(), End>> {
        if !self.inbox.partial.is_empty() {
            // Only at the start: what came with the request. Later, a partial message waits for more.
            self.inbox.take_partial(&self.conn)?;
        }
        for _ in 0..READS_PER_TURN {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Broken)),
                Poll::Ready(Ok(())) => {}
            }
            let filled = read.filled_mut();
            if filled.is_empty() {
                return Poll::Ready(Err(End::Peer));
            }
            if self.reading == Reading::Messages {
                self.inbox.take(&self.conn, filled)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What has arrived and is not yet a message.
struct Inbox {
    /// Bytes of an unfinished frame.
    partial: Vec<u8>,
    /// Frames of an unfinished message.
    fragments: Option<Box<Fragments>>,
}

struct Fragments {
    opcode: Opcode,
    compressed: bool,
    bytes: Vec<u8>,
}

impl Inbox {
    fn take(&mut self, conn: &Arc<Conn>, bytes: &mut [u8]) -> Result<(), End> {
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            return self.take_partial(conn);
        }
        let used = self.frames(conn, bytes)?;
        if used < bytes.len() {
            self.partial.extend_from_slice(&bytes[used..]);
        }
        Ok(())
    }

    fn take_partial(&mut self, conn: &Arc<Conn>) -> Result<(), End> {
        let mut partial = std::mem::take(&mut self.partial);
        let used = self.frames(conn, &mut partial)?;
        if used < partial.len() {
            partial.drain(..used);
            self.partial = partial;
        }
        Ok(())
    }

    /// Handles the whole frames of `bytes`; returns how many bytes they were.
    fn frames(&mut self, conn: &Arc<Conn>, bytes: &mut [u8]) -> Result<usize, End> {
        let max = conn.engine().options().max_http_buffer_size;
        let mut used = 0;
        while let Some(Frame { fin, opcode, compressed, payload }) =
            frame::parse(&mut bytes[used..], max).map_err(End::Frame)?
        {
            let end = used + payload.end;
            let payload = &bytes[used + payload.start..end];
            if compressed && !conn.deflates() {
                return Err(End::Frame(FrameError::Reserved));
            }
            match (opcode, &mut self.fragments) {
                (Opcode::Close, _) => return Err(End::Peer),
                (Opcode::Ping, _) => {
                    conn.send(&frame::single(Opcode::Pong, payload), false);
                }
                (Opcode::Pong, _) => {}
                (Opcode::Continuation, Some(message)) => {
                    if message.bytes.len() + payload.len() > max {
                        return Err(End::Frame(FrameError::TooBig));
                    }
                    message.bytes.extend_from_slice(payload);
                    if fin && let Some(message) = self.fragments.take() {
                        let Fragments { opcode, compressed, bytes } = *message;
                        let bytes = if compressed { inflate(&bytes, max)? } else { bytes };
                        deliver(conn, opcode, bytes.into())?;
                    }
                }
                (Opcode::Text | Opcode::Binary, None) if fin && compressed => {
                    deliver(conn, opcode, inflate(payload, max)?.into())?;
                }
                (Opcode::Text | Opcode::Binary, None) if fin => {
                    deliver(conn, opcode, Bytes::copy_from_slice(payload))?;
                }
                (Opcode::Text | Opcode::Binary, None) => {
                    self.fragments =
                        Some(Box::new(Fragments { opcode, compressed, bytes: payload.to_vec() }));
                }
                (Opcode::Continuation, None) | (Opcode::Text | Opcode::Binary, Some(_)) => {
                    return Err(End::Frame(FrameError::Sequence));
                }
            }
            used = end;
        }
        Ok(used)
    }
}

fn deliver(conn: &Arc<Conn>, opcode: Opcode, bytes: Bytes) -> Result<(), End> {
    let incoming = match opcode {
        Opcode::Binary => Incoming::Message(Message::Binary(bytes)),
        _ => packet::decode(utf8(bytes)?).map_err(|_| End::Close(CloseReason::ParseError))?,
    };
    conn.on_packet(incoming).map_err(End::Close)
}

fn inflate(payload: &[u8], max: usize) -> Result<Vec<u8>, End> {
    deflate::inflate(payload, max).map_err(End::Frame)
}

fn utf8(bytes: Bytes) -> Result<ByteString, End> {
    match simdutf8::basic::from_utf8(&bytes) {
        // SAFETY: the bytes were checked on the line before.
        Ok(_) => Ok(unsafe { ByteString::from_bytes_unchecked(bytes) }),
        Err(_) => Err(End::Frame(FrameError::Utf8)),
    }
}

impl Conn {
    /// Reading has come to an end: closes the connection if that has not begun. Returns what to do with the rest.
    fn hang_up(self: &Arc<Self>, end: End) -> Reading {
        let (close, reading) = match end {
            // The peer's close frame is answered, unless it is the answer to ours.
            End::Peer => (Close::flushed(CloseReason::TransportClose), Reading::Ended),
            End::Broken => (Close::now(CloseReason::TransportError), Reading::Ended),
            End::Close(CloseReason::TransportClose) => {
                (Close::flushed(CloseReason::TransportClose), Reading::Ended)
            }
            End::Close(reason) => (Close::flushed(reason), Reading::Discard),
            End::Frame(error) => (Close::with_code(CloseReason::ParseError, error.code()), Reading::Discard),
        };
        self.close(close);
        self.with_outbox(|outbox| outbox.step(Closing::peer_closed));
        reading
    }
}

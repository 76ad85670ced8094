//! What waits to be sent on one connection, and how the connection ends. Everything here happens under its lock.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

use super::frame::{self, Opcode};
use super::packet;

/// Buffers given to the kernel in one call when a queue is flushed.
const MAX_SLICES: usize = 16;

/// How long a connection that is closed without a word about it has for its end.
const LINGER: Duration = Duration::from_secs(5);

/// Why a connection ends, in Node's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it.
    TransportClose,
    /// It broke.
    TransportError,
    /// The heartbeat was not answered.
    PingTimeout,
    /// The peer sent what is not the protocol.
    ParseError,
    /// The server closed it.
    ForcedClose,
    /// The server moves its clients elsewhere.
    Drain,
    /// More waited for it than may wait.
    SlowConsumer,
}

impl CloseReason {
    /// The word that Node hands to `disconnect` handlers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError | Self::SlowConsumer => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced server close",
            Self::Drain => "server shutting down",
        }
    }
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel, or the answer of a poll, has it.
    Written,
    /// It waits.
    Queued,
    /// It was volatile and could not be written at once.
    Dropped,
    /// The connection is closed or closing.
    Closed,
}

/// How a connection is closed.
#[derive(Debug)]
pub struct Close {
    pub(super) reason: CloseReason,
    /// WebSocket close code; `None` closes without flushing or a word.
    code: Option<u16>,
    /// Whether messages that come after our close are still given to the session.
    deliver: bool,
    /// How long the flush and the peer's own close may take.
    pub(super) linger: Duration,
    /// Told when everything was flushed and the close sent (`true`), or that it was not (`false`).
    pub(super) done: Option<oneshot::Sender<bool>>,
}

impl Close {
    /// At once: what is queued is lost.
    pub fn now(reason: CloseReason) -> Self {
        Self { reason, code: None, deliver: false, linger: Duration::ZERO, done: None }
    }

    /// After what is queued, with a closing handshake.
    pub fn flushed(reason: CloseReason) -> Self {
        Self { reason, code: Some(1000), deliver: false, linger: LINGER, done: None }
    }

    /// As `flushed`, and what the client sent before it saw our close still counts. The receiver is told whether
    /// everything was flushed.
    pub fn moved(linger: Duration) -> (Self, oneshot::Receiver<bool>) {
        let (done, flushed) = oneshot::channel();
        // 1012: service restart.
        let close =
            Self { reason: CloseReason::Drain, code: Some(1012), deliver: true, linger, done: Some(done) };
        (close, flushed)
    }

    pub(super) fn with_code(reason: CloseReason, code: u16) -> Self {
        Self { reason, code: Some(code), deliver: false, linger: LINGER, done: None }
    }

    /// Whether nothing is to be flushed.
    pub(super) fn is_now(&self) -> bool {
        self.code.is_none()
    }
}

/// How far a connection's end is.
#[derive(Debug)]
pub(super) enum Phase {
    Open,
    /// Nothing new is sent; what is queued is flushed, then the close.
    Closing(Box<Closing>),
    Closed,
}

#[derive(Debug)]
pub(super) struct Closing {
    pub close: Close,
    /// The close is among what is queued, or sent.
    queued: bool,
    /// The close has been sent.
    pub sent: bool,
}

/// The transport that is in use.
pub(super) enum Transport {
    Polling(PollingState),
    WebSocket(OwnedWriteHalf),
    /// The connection is closed.
    None,
}

#[derive(Default)]
pub(super) struct PollingState {
    /// The client's poll that waits for an answer.
    pub poll: Option<oneshot::Sender<Vec<u8>>>,
    /// A request with data is being read.
    pub posting: bool,
    /// A WebSocket is about to take over.
    pub upgrading: bool,
}

pub(super) struct Outbox {
    queue: VecDeque<Bytes>,
    queued: usize,
    pub phase: Phase,
    pub transport: Transport,
    /// The connection's task, while it has a WebSocket.
    waker: Option<Waker>,
}

/// How far a flush got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing is left.
    All,
    /// The kernel takes no more for now; the task is woken when it does.
    Blocked,
    /// The stream is broken, or the connection closed.
    Ended,
}

impl Outbox {
    pub fn new(transport: Transport) -> Self {
        Self { queue: VecDeque::new(), queued: 0, phase: Phase::Open, transport, waker: None }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queued
    }

    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Sends frames at once where that is possible, else queues them. `None`: the transport is broken.
    pub fn send(&mut self, frames: &Bytes, volatile: bool) -> Option<Sent> {
        if !self.is_open() {
            return Some(Sent::Closed);
        }
        match &mut self.transport {
            Transport::WebSocket(stream) if self.queue.is_empty() => {
                let written = match stream.try_write(frames) {
                    Ok(written) if written == frames.len() => return Some(Sent::Written),
                    Ok(written) => written,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(_) => return None,
                };
                if volatile && written == 0 {
                    return Some(Sent::Dropped);
                }
                self.push(frames.slice(written..));
                self.wake();
            }
            // The task has been woken for what waits already.
            Transport::WebSocket(_) if volatile => return Some(Sent::Dropped),
            Transport::WebSocket(_) => self.push(frames.clone()),
            Transport::Polling(polling) if volatile && polling.poll.is_none() => return Some(Sent::Dropped),
            Transport::Polling(_) => {
                self.push(frames.clone());
                return Some(if self.answer_poll() { Sent::Written } else { Sent::Queued });
            }
            Transport::None => return Some(Sent::Closed),
        }
        Some(Sent::Queued)
    }

    fn push(&mut self, frames: Bytes) {
        self.queued += frames.len();
        self.queue.push_back(frames);
    }

    /// What waits, as a polling payload.
    fn take_payload(&mut self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.queued);
        for frames in std::mem::take(&mut self.queue) {
            packet::encode_payload(&mut payload, frames);
        }
        self.queued = 0;
        if let Phase::Closing(closing) = &mut self.phase {
            packet::encode_payload(&mut payload, packet::text_frame("1"));
            closing.finish(true);
        }
        payload
    }

    /// Answers the poll that waits, if one does and there is something to say.
    pub fn answer_poll(&mut self) -> bool {
        let Transport::Polling(polling) = &mut self.transport else { return false };
        if self.queue.is_empty() && matches!(self.phase, Phase::Open) {
            return false;
        }
        let Some(poll) = polling.poll.take_if(|poll| !poll.is_closed()) else { return false };
        let payload = self.take_payload();
        poll.send(payload).is_ok()
    }

    /// A poll has come: its answer, or a promise of one. `None`: another poll waits already.
    pub fn poll(&mut self) -> Option<Result<Vec<u8>, oneshot::Receiver<Vec<u8>>>> {
        let Transport::Polling(polling) = &mut self.transport else { return None };
        if polling.poll.as_ref().is_some_and(|poll| !poll.is_closed()) {
            return None;
        }
        if polling.upgrading && self.queue.is_empty() && matches!(self.phase, Phase::Open) {
            // Polls are kept short, so that the client can pause them.
            return Some(Ok(b"6".to_vec()));
        }
        if !self.queue.is_empty() || !matches!(self.phase, Phase::Open) {
            return Some(Ok(self.take_payload()));
        }
        let (answer, wait) = oneshot::channel();
        polling.poll = Some(answer);
        Some(Err(wait))
    }

    /// A WebSocket takes over; a poll that still waits ends with a noop.
    pub fn upgrade(&mut self, stream: OwnedWriteHalf) {
        if let Transport::Polling(polling) = &mut self.transport {
            if let Some(poll) = polling.poll.take() {
                let _ = poll.send(b"6".to_vec());
            }
            self.transport = Transport::WebSocket(stream);
        }
    }

    /// Writes what waits to the WebSocket, for the connection's task.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> Flushed {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        let Transport::WebSocket(stream) = &self.transport else { return Flushed::Ended };
        loop {
            while !self.queue.is_empty() {
                match write_some(stream, &self.queue) {
                    Ok(written) => {
                        self.queued -= written;
                        advance(&mut self.queue, written);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        match stream.as_ref().poll_write_ready(cx) {
                            Poll::Pending => return Flushed::Blocked,
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(_)) => return Flushed::Ended,
                        }
                    }
                    Err(_) => return Flushed::Ended,
                }
            }
            if self.queue.capacity() > 0 {
                self.queue = VecDeque::new();
            }
            match &mut self.phase {
                Phase::Open => return Flushed::All,
                Phase::Closed => return Flushed::Ended,
                Phase::Closing(closing) if !closing.queued => {
                    closing.queued = true;
                    let code = closing.close.code.unwrap_or(1000);
                    let frame = frame::single(Opcode::Close, &frame::close_payload(code, ""));
                    self.queued += frame.len();
                    self.queue.push_back(frame);
                }
                Phase::Closing(closing) => {
                    if !closing.sent {
                        // A stock client throws away what is sent between our close frame and the end of the
                        // stream: both are to arrive in one go.
                        let _ = SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Write);
                        closing.finish(true);
                    }
                    return Flushed::All;
                }
            }
        }
    }

    /// Whether a polling client has got the close.
    pub fn is_polled_out(&self) -> bool {
        matches!((&self.transport, &self.phase), (Transport::Polling(_), Phase::Closing(c)) if c.sent)
    }

    /// Begins to close. Returns whether it was open.
    pub fn close(&mut self, close: Close) -> bool {
        if !self.is_open() {
            return false;
        }
        self.phase = Phase::Closing(Box::new(Closing { close, queued: false, sent: false }));
        self.answer_poll();
        self.wake();
        true
    }

    /// Ends for good: what was queued is gone, the stream is let go. Returns whether it had not ended before, and
    /// the reason for which it was closing.
    pub fn end(&mut self) -> Option<Option<CloseReason>> {
        let reason = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Open => None,
            Phase::Closing(mut closing) => {
                closing.finish(false);
                Some(closing.close.reason)
            }
            Phase::Closed => return None,
        };
        if let Transport::WebSocket(stream) = std::mem::replace(&mut self.transport, Transport::None) {
            // The stream closes with its reading half: no need for a shutdown of this one before.
            stream.forget();
        }
        self.queue = VecDeque::new();
        self.queued = 0;
        self.wake();
        self.waker = None;
        Some(reason)
    }
}

impl Closing {
    fn finish(&mut self, flushed: bool) {
        self.sent |= flushed;
        if let Some(done) = self.close.done.take() {
            let _ = done.send(flushed);
        }
    }

    /// Whether what still comes counts.
    pub fn delivers(&self) -> bool {
        self.close.deliver
    }
}

fn write_some(stream: &OwnedWriteHalf, queue: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut used = 0;
    for (slice, bytes) in slices.iter_mut().zip(queue) {
        *slice = IoSlice::new(bytes);
        used += 1;
    }
    stream.try_write_vectored(&slices[..used])
}

fn advance(queue: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = queue.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        queue.pop_front();
    }
}

//! What waits to be sent on one connection, and how the connection ends. Everything here happens under its lock.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

use super::closing::{Close, CloseReason, Closing, Next};
use super::packet;

/// Buffers given to the kernel in one call when a queue is flushed.
const MAX_SLICES: usize = 16;

/// What a queued buffer costs beside its bytes: a client that is sent very many very small ones holds no more memory
/// than the limit says.
const BUFFER_COST: usize = 64;

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

/// How far a connection's end is.
#[derive(Debug)]
pub(super) enum Phase {
    Open,
    /// Nothing new is sent; what is queued is flushed, then the close.
    Closing(Box<Closing>),
    Closed,
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
    /// When the last one was, in milliseconds of the engine's clock.
    pub posted: u64,
    /// A WebSocket has come, which may take over.
    pub upgrading: bool,
    /// It has proved itself: polls are kept short, so that the client can pause them.
    pub probed: bool,
}

impl PollingState {
    /// Ends the poll that waits, with nothing.
    pub fn end_poll(&mut self) {
        if let Some(poll) = self.poll.take() {
            let _ = poll.send(b"6".to_vec());
        }
    }
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

    /// Bytes that wait, with what it costs to keep them.
    pub fn queued_bytes(&self) -> usize {
        self.queued + self.queue.len() * BUFFER_COST
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
                let written = match write(stream, frames) {
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
        if let Phase::Closing(closing) = &mut self.phase
            && closing.polled(!payload.is_empty())
        {
            packet::encode_payload(&mut payload, packet::text_frame("1"));
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
        if polling.probed && self.queue.is_empty() && matches!(self.phase, Phase::Open) {
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
            polling.end_poll();
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
            let next = match &mut self.phase {
                Phase::Open => return Flushed::All,
                Phase::Closed => return Flushed::Ended,
                Phase::Closing(closing) => closing.next(),
            };
            match next {
                Next::Send(frame) => {
                    self.queued += frame.len();
                    self.queue.push_back(frame);
                }
                Next::Shutdown => {
                    let _ = SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Write);
                }
                Next::Wait => return Flushed::All,
            }
        }
    }

    /// Whether a polling client has got the close.
    pub fn is_polled_out(&self) -> bool {
        matches!((&self.transport, &self.phase), (Transport::Polling(_), Phase::Closing(c)) if c.is_over())
    }

    /// Begins to close. Returns whether it was open.
    pub fn close(&mut self, close: Close) -> bool {
        if !self.is_open() {
            return false;
        }
        self.phase = Phase::Closing(Box::new(Closing::new(close)));
        self.answer_poll();
        self.wake();
        true
    }

    /// Something has happened that closing may have waited for: `step` says whether there is more to do.
    pub fn step(&mut self, step: impl FnOnce(&mut Closing) -> bool) -> bool {
        let more = match &mut self.phase {
            Phase::Closing(closing) => step(closing),
            Phase::Open | Phase::Closed => false,
        };
        if more {
            self.wake();
        }
        more
    }

    /// Ends for good: what was queued is gone, the stream is let go. Returns whether it had not ended before, and
    /// the reason for which it was closing.
    pub fn end(&mut self) -> Option<Option<CloseReason>> {
        let reason = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Open => None,
            Phase::Closing(mut closing) => {
                closing.tell(false);
                Some(closing.reason())
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

/// Asks the kernel at once. What the runtime knows of the stream's readiness lies elsewhere in memory, which costs more
/// than it saves: streams that take no more are found by the task that flushes.
fn write(stream: &OwnedWriteHalf, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(stream.as_ref(), bytes, SendFlags::NOSIGNAL)?)
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

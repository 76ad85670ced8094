//! How a connection comes to its end. Pure.
//!
//! A client that is moved must lose nothing in either direction, and stock clients make that a matter of order
//! (`engine.io-client` 6.6, `socket.io-client` 4.8; each was measured with a busy client):
//!
//! 1. *Settle*: an event that arrives in the same read as the end of its connection is handed out only after the
//!    reconnect, and its offset is not in the CONNECT that asks for what was missed: it comes twice. So a ping goes
//!    behind the last event, and nothing more before the pong: a client that has answered has handed out all that
//!    came before. A polling client has when it polls again.
//! 2. *Ask*: what a client emits between our close frame and the end of the stream is thrown away. So the client is
//!    made to close first, by a packet that it does not know: it takes that for a parse error, and in the same turn
//!    of its event loop it stops to send, closes its side and schedules to connect again. Everything that it has
//!    sent comes before its close frame, what it emits later waits for the next connection.
//! 3. *Close*: our close frame, then the end of the stream. A client that does not do its part within a third of the
//!    time gets here at once.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::frame::{self, Opcode};
use super::packet;

/// A packet of no known type.
const UNKNOWN: &str = "7";

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

/// How a connection is closed.
#[derive(Debug)]
pub struct Close {
    pub(super) reason: CloseReason,
    manner: Manner,
    linger: Duration,
    /// Told when everything was flushed (`true`), or that it was not (`false`).
    done: Option<oneshot::Sender<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// At once: what is queued is lost.
    Now,
    /// After what is queued, with this WebSocket close code.
    Flushed(u16),
    /// In all three steps; messages that come meanwhile still count.
    Moved,
}

impl Close {
    /// At once: what is queued is lost.
    pub fn now(reason: CloseReason) -> Self {
        Self { reason, manner: Manner::Now, linger: Duration::ZERO, done: None }
    }

    /// After what is queued, with a closing handshake. What comes from the client is not looked at any more.
    pub fn flushed(reason: CloseReason) -> Self {
        Self::with_code(reason, 1000)
    }

    pub(super) fn with_code(reason: CloseReason, code: u16) -> Self {
        Self { reason, manner: Manner::Flushed(code), linger: LINGER, done: None }
    }

    /// So that a client that reconnects has lost nothing; within `linger`. One that has not `joined` a namespace
    /// has nothing to lose, and would show its application the error of the second step. The receiver is told
    /// whether everything was flushed.
    pub fn moved(linger: Duration, joined: bool) -> (Self, oneshot::Receiver<bool>) {
        let (done, flushed) = oneshot::channel();
        // 1012: service restart.
        let manner = if joined { Manner::Moved } else { Manner::Flushed(1012) };
        (Self { reason: CloseReason::Drain, manner, linger, done: Some(done) }, flushed)
    }

    /// For a client that does not take what waits for it as fast as it comes: it gets what waits already, comes back,
    /// and recovers the rest.
    pub fn slow() -> Self {
        let linger = 3 * LINGER;
        Self { reason: CloseReason::SlowConsumer, manner: Manner::Moved, linger, done: None }
    }

    /// Whether nothing is to be flushed.
    pub(super) fn is_now(&self) -> bool {
        self.manner == Manner::Now
    }

    /// Time for each step.
    pub(super) fn step_time(&self) -> Duration {
        if self.manner == Manner::Moved { self.linger / 3 } else { self.linger }
    }
}

/// A connection that is closing.
#[derive(Debug)]
pub(super) struct Closing {
    close: Close,
    step: Step,
    /// The step's frame has been taken.
    said: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Settle,
    Ask,
    Close,
    /// Nothing is left to say.
    Over,
}

/// What is to be done once all that was queued has been written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this, then ask again.
    Send(Bytes),
    /// Shut the stream down for writing.
    Shutdown,
    /// Wait for the client.
    Wait,
}

impl Closing {
    pub fn new(close: Close) -> Self {
        let step = if close.manner == Manner::Moved { Step::Settle } else { Step::Close };
        Self { close, step, said: false }
    }

    pub fn reason(&self) -> CloseReason {
        self.close.reason
    }

    pub fn step_time(&self) -> Duration {
        self.close.step_time()
    }

    /// Whether messages that come still count.
    pub fn delivers(&self) -> bool {
        self.close.manner == Manner::Moved
    }

    /// What a WebSocket does next; its queue is empty.
    pub fn next(&mut self) -> Next {
        match (self.step, std::mem::replace(&mut self.said, true)) {
            (Step::Settle, false) => Next::Send(packet::text_frame("2")),
            (Step::Ask, false) => Next::Send(packet::text_frame(UNKNOWN)),
            (Step::Close, false) => {
                let code = match self.close.manner {
                    Manner::Flushed(code) => code,
                    // Service restart.
                    Manner::Moved | Manner::Now => 1012,
                };
                Next::Send(frame::single(Opcode::Close, &frame::close_payload(code, "")))
            }
            (Step::Ask, true) => {
                self.tell(true);
                Next::Wait
            }
            (Step::Close, true) => {
                self.tell(true);
                self.step = Step::Over;
                Next::Shutdown
            }
            (Step::Settle | Step::Over, _) => Next::Wait,
        }
    }

    /// A pong has come. Returns whether there is something to say now.
    pub fn pong(&mut self) -> bool {
        self.step == Step::Settle && self.said && self.advance(Step::Ask)
    }

    /// The client has closed its side.
    pub fn peer_closed(&mut self) -> bool {
        self.step < Step::Close && self.advance(Step::Close)
    }

    /// The time for the step is over. `false`: for the whole, too.
    pub fn timed_out(&mut self) -> bool {
        match self.step {
            // A client that has not settled is not asked: it would take what it has not handed out twice.
            Step::Settle | Step::Ask => self.advance(Step::Close),
            Step::Close | Step::Over => false,
        }
    }

    fn advance(&mut self, step: Step) -> bool {
        (self.step, self.said) = (step, false);
        true
    }

    /// A poll is answered; `with_messages` says whether it carries any. Returns whether the close goes with it.
    pub fn polled(&mut self, with_messages: bool) -> bool {
        if self.close.manner == Manner::Moved && with_messages {
            return false;
        }
        self.step = Step::Over;
        self.tell(true);
        true
    }

    /// Whether a polling client has got the close.
    pub fn is_over(&self) -> bool {
        self.step == Step::Over
    }

    /// Says how it went, once.
    pub fn tell(&mut self, flushed: bool) {
        if let Some(done) = self.close.done.take() {
            let _ = done.send(flushed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opcode(next: Next) -> u8 {
        let Next::Send(frame) = next else { panic!("{next:?}") };
        frame[0] & 0x0f
    }

    #[test]
    fn a_client_is_moved_in_three_steps() {
        let (close, mut flushed) = Close::moved(Duration::from_secs(3), true);
        let mut closing = Closing::new(close);
        assert_eq!(closing.next(), Next::Send(packet::text_frame("2")));
        assert_eq!(closing.next(), Next::Wait);
        assert!(closing.pong());
        assert_eq!(closing.next(), Next::Send(packet::text_frame(UNKNOWN)));
        assert!(flushed.try_recv().is_err());
        assert_eq!(closing.next(), Next::Wait);
        assert_eq!(flushed.try_recv(), Ok(true));
        assert!(!closing.pong());
        assert!(closing.peer_closed());
        assert_eq!(opcode(closing.next()), Opcode::Close as u8);
        assert_eq!(closing.next(), Next::Shutdown);
        assert!(closing.is_over() && closing.next() == Next::Wait && !closing.timed_out());
    }

    #[test]
    fn a_client_that_does_nothing_is_closed_all_the_same() {
        for steps in [0, 1, 2] {
            let mut closing = Closing::new(Close::moved(Duration::from_secs(3), true).0);
            (0..steps).for_each(|_| drop(closing.next()));
            if steps == 2 {
                assert!(closing.pong());
                closing.next();
            }
            assert!(closing.timed_out());
            assert_eq!(opcode(closing.next()), Opcode::Close as u8);
            assert!(!closing.timed_out());
        }
    }

    #[test]
    fn a_pong_to_an_earlier_ping_settles_nothing() {
        let mut closing = Closing::new(Close::moved(Duration::from_secs(3), true).0);
        assert!(!closing.pong());
        assert_eq!(closing.next(), Next::Send(packet::text_frame("2")));
    }

    #[test]
    fn a_close_is_one_step() {
        let mut closing = Closing::new(Close::flushed(CloseReason::ForcedClose));
        assert_eq!(opcode(closing.next()), Opcode::Close as u8);
        assert_eq!(closing.next(), Next::Shutdown);
        assert!(!closing.delivers() && !closing.timed_out());
    }

    #[test]
    fn a_polling_client_gets_its_messages_before_the_close() {
        let mut moved = Closing::new(Close::moved(Duration::from_secs(3), true).0);
        assert!(!moved.polled(true));
        assert!(moved.polled(false) && moved.is_over());
        assert!(Closing::new(Close::flushed(CloseReason::ForcedClose)).polled(true));
    }
}

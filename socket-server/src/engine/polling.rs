//! Long-polling: the client's GETs take what waits for it, its POSTs bring what it says.

use std::sync::Arc;

use bytestring::ByteString;

use super::closing::{Close, CloseReason};
use super::outbox::{Phase, PollingState, Transport};
use super::packet::ParseError;
use super::{Conn, packet};

/// Why a polling request is not served. Each but `Mismatch` ends the connection, as in Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The connection uses another transport.
    Mismatch,
    /// Two polls, or two requests with data, at once.
    Overlap,
}

/// Ends the connection when a request is cut off: its client is gone.
struct CutOff(Option<Arc<Conn>>);

impl Drop for CutOff {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.close(Close::now(CloseReason::TransportError));
        }
    }
}

impl Conn {
    /// Answers a poll: at once when something waits, else when something comes or the connection ends.
    pub(super) async fn poll_request(self: &Arc<Self>) -> Result<Vec<u8>, Refused> {
        let (answer, polled_out) = self.with_outbox(|outbox| {
            if !matches!(outbox.transport, Transport::Polling(_)) {
                return (Err(Refused::Mismatch), false);
            }
            let answer = outbox.poll().ok_or(Refused::Overlap);
            (answer, outbox.is_polled_out())
        });
        if polled_out {
            self.linger(super::conn::POLLED_OUT);
        }
        match answer {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(wait)) => {
                let mut cut_off = CutOff(Some(Arc::clone(self)));
                // Dropped without an answer: the connection has ended.
                let payload = wait.await.unwrap_or_else(|_| b"1".to_vec());
                cut_off.0 = None;
                Ok(payload)
            }
            Err(refused) => {
                if refused == Refused::Overlap {
                    self.close(Close::now(CloseReason::TransportError));
                }
                Err(refused)
            }
        }
    }

    /// A request with data begins.
    pub(super) fn begin_post(self: &Arc<Self>) -> Result<Post, Refused> {
        let begun = self.with_outbox(|outbox| match &mut outbox.transport {
            Transport::Polling(state) if state.posting => Err(Refused::Overlap),
            Transport::Polling(state) => {
                state.posting = true;
                Ok(())
            }
            Transport::WebSocket(_) | Transport::None => Err(Refused::Mismatch),
        });
        match begun {
            Ok(()) => Ok(Post { conn: Arc::clone(self), read: false }),
            Err(refused) => {
                if refused == Refused::Overlap {
                    self.close(Close::now(CloseReason::TransportError));
                }
                Err(refused)
            }
        }
    }

    fn polling(&self, change: impl FnOnce(&mut PollingState)) {
        self.with_outbox(|outbox| {
            if let Transport::Polling(state) = &mut outbox.transport {
                change(state);
            }
        });
    }
}

/// A request with data under way. Dropped before its end, it ends the connection: part of what the client said is
/// missing.
pub(super) struct Post {
    conn: Arc<Conn>,
    read: bool,
}

impl Post {
    /// The request is whole: handles its packets. `Err`: one was none, and the connection is closed.
    pub fn receive(mut self, payload: ByteString) -> Result<(), ParseError> {
        self.read = true;
        let now = self.conn.engine().timers.now();
        self.conn.polling(|state| (state.posting, state.posted) = (false, now));
        for incoming in packet::decode_payload(payload) {
            let handled = match incoming {
                Ok(incoming) => self.conn.on_packet(incoming),
                Err(ParseError) => Err(CloseReason::ParseError),
            };
            match handled {
                Ok(()) => {}
                Err(reason @ CloseReason::TransportClose) => {
                    self.conn.polling(PollingState::end_poll);
                    self.conn.close(Close::now(reason));
                    return Ok(());
                }
                Err(reason @ CloseReason::ParseError) => {
                    self.conn.close(Close::now(reason));
                    return Err(ParseError);
                }
                Err(reason) => {
                    self.conn.close(Close::flushed(reason));
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if !self.read {
            self.conn.polling(|state| state.posting = false);
            self.conn.close(Close::now(CloseReason::TransportError));
        }
    }
}

/// A WebSocket that is to take over. Until it has, and when it does not, polling goes on.
pub(super) struct Upgrading(Arc<Conn>);

impl Upgrading {
    pub fn conn(&self) -> &Arc<Conn> {
        &self.0
    }

    /// The probe was answered: polls are kept short from now on.
    pub fn probed(&self) {
        self.0.polling(|state| {
            state.probed = true;
            state.end_poll();
        });
    }
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        self.0.polling(|state| (state.upgrading, state.probed) = (false, false));
    }
}

impl Conn {
    /// A WebSocket for this connection has come. `None`: it has one already, or one is on its way.
    pub(super) fn begin_upgrade(self: &Arc<Self>) -> Option<Upgrading> {
        let begun = self.with_outbox(|outbox| match (&mut outbox.transport, &outbox.phase) {
            (Transport::Polling(state), Phase::Open | Phase::Closing(_)) if !state.upgrading => {
                state.upgrading = true;
                true
            }
            _ => false,
        });
        begun.then(|| Upgrading(Arc::clone(self)))
    }
}

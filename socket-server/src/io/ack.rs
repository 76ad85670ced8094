//! Answers that the server waits for.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::adapter::{AckSink, AdapterError};
use crate::packet::{Payload, PayloadError};

/// Who is told when a client answers.
pub(super) enum PendingAck {
    One(oneshot::Sender<Payload>),
    Sink(Arc<dyn AckSink>),
}

impl PendingAck {
    pub fn answer(self, data: Payload) {
        match self {
            // Nobody waits any more: the answer came too late.
            Self::One(waiting) => drop(waiting.send(data)),
            Self::Sink(sink) => sink.ack(data),
        }
    }
}

/// Why there is no answer, or not every one.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// Not in time. A broadcast keeps what has been answered.
    #[error("operation has timed out")]
    Timeout {
        /// The answers of a broadcast until then.
        answers: Vec<Payload>,
    },
    /// The socket has gone.
    #[error("socket has been disconnected")]
    Disconnected,
    /// An argument does not serialise.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The other servers could not be asked.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

/// Puts the answers to a broadcast together: complete when each server has told its number of receivers and as
/// many have answered.
#[derive(Default)]
pub(super) struct Collector {
    state: Mutex<Collected>,
    changed: Notify,
}

#[derive(Default)]
struct Collected {
    servers: usize,
    clients: usize,
    answers: Vec<Payload>,
}

impl AckSink for Collector {
    fn clients(&self, count: usize) {
        let mut state = self.state.lock();
        state.servers += 1;
        state.clients += count;
        drop(state);
        self.changed.notify_one();
    }

    fn ack(&self, data: Payload) {
        self.state.lock().answers.push(data);
        self.changed.notify_one();
    }
}

impl Collector {
    /// Waits for the answers of `servers` servers' receivers.
    pub async fn wait(&self, servers: usize, timeout: Duration) -> Result<Vec<Payload>, AckError> {
        let complete = async {
            loop {
                {
                    let mut state = self.state.lock();
                    if state.servers >= servers && state.answers.len() >= state.clients {
                        return std::mem::take(&mut state.answers);
                    }
                }
                self.changed.notified().await;
            }
        };
        match tokio::time::timeout(timeout, complete).await {
            Ok(answers) => Ok(answers),
            Err(_) => Err(AckError::Timeout { answers: std::mem::take(&mut self.state.lock().answers) }),
        }
    }
}

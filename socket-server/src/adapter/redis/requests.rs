//! Requests to the other servers whose answers are still awaited.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::adapter::{AckSink, AdapterError};
use crate::packet::Payload;

/// A request's answers as they come in: one JSON value (or array of sockets) per server.
pub type Answers = mpsc::UnboundedReceiver<Payload>;

/// How often the number of servers is looked at again while answers are missing: one that has died in between
/// is not waited for.
const RECOUNT: Duration = Duration::from_secs(1);

enum Request {
    Answers(mpsc::UnboundedSender<Payload>),
    Acks(Arc<dyn AckSink>),
}

/// The open requests of a namespace, by their id.
#[derive(Default)]
pub struct Requests {
    open: Mutex<HashMap<String, Request>>,
}

impl Requests {
    /// Opens a request that each other server answers once.
    pub fn collect(&self, id: String) -> Answers {
        let (sender, answers) = mpsc::unbounded_channel();
        self.open.lock().insert(id, Request::Answers(sender));
        answers
    }

    /// Opens a request whose clients' answers go to `sink`, for `timeout`.
    pub fn acks(self: &Arc<Self>, id: String, sink: Arc<dyn AckSink>, timeout: Duration) {
        self.open.lock().insert(id.clone(), Request::Acks(sink));
        let requests = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            if let Some(requests) = requests.upgrade() {
                requests.close(&id);
            }
        });
    }

    /// A server has answered.
    pub fn answer(&self, id: &str, answer: Payload) {
        if let Some(Request::Answers(sender)) = self.open.lock().get(id) {
            let _ = sender.send(answer);
        }
    }

    /// A server has sent the event to so many clients.
    pub fn clients(&self, id: &str, count: u64) {
        if let Some(sink) = self.sink(id) {
            sink.clients(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// A client has answered.
    pub fn ack(&self, id: &str, data: Payload) {
        if let Some(sink) = self.sink(id) {
            sink.ack(data);
        }
    }

    /// Whether the request is one of ours.
    pub fn is_open(&self, id: &str) -> bool {
        self.open.lock().contains_key(id)
    }

    /// Waits for no more answers.
    pub fn close(&self, id: &str) {
        self.open.lock().remove(id);
    }

    fn sink(&self, id: &str) -> Option<Arc<dyn AckSink>> {
        match self.open.lock().get(id) {
            Some(Request::Acks(sink)) => Some(sink.clone()),
            _ => None,
        }
    }
}

/// Waits for the answers of the other servers; `others` counts them anew each second, so that one which has
/// died since is not waited for.
pub async fn wait_for_all<F>(
    answers: &mut Answers,
    mut expected: usize,
    timeout: Duration,
    others: impl Fn() -> F,
) -> Result<Vec<Payload>, AdapterError>
where
    F: Future<Output = Result<usize, AdapterError>>,
{
    let deadline = Instant::now() + timeout;
    let mut received = Vec::new();
    while received.len() < expected {
        let next = tokio::time::timeout_at(deadline.min(Instant::now() + RECOUNT), answers.recv());
        match next.await {
            Ok(Some(answer)) => received.push(answer),
            Ok(None) => break,
            Err(_) if Instant::now() >= deadline => {
                return Err(AdapterError::Timeout { expected, missing: expected - received.len() });
            }
            Err(_) => expected = expected.min(others().await.unwrap_or(expected)),
        }
    }
    Ok(received)
}

/// 16 hexadecimal digits at random, as Node's ids of servers and requests.
pub fn random_id() -> String {
    let id = getrandom::u64().unwrap_or_else(|_| {
        // Ids need to differ, not to be secret.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 40)
    });
    format!("{id:016x}")
}

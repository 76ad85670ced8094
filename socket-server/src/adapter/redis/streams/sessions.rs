//! Writes sessions behind the sockets' backs: the latest of each, many in a round trip, until Redis has it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Hub;
use crate::adapter::redis::client::RedisError;
use crate::adapter::redis::session;
use crate::adapter::{Done, Session};

/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(200);
/// Keys that are given time in one round trip.
const BATCH: usize = 500;

/// What is to be done with a session's key.
enum Change {
    Save(Session),
    Forget,
}

/// The sessions of this server's sockets.
#[derive(Default)]
pub struct Sessions {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// To be written; a later change takes the place of an earlier one.
    changes: HashMap<ByteString, Change>,
    /// Who waits for the changes above.
    waiting: Vec<oneshot::Sender<()>>,
    /// Of connected sockets: these must not expire.
    live: HashSet<ByteString>,
}

impl Sessions {
    /// Saves a session; `live` while its socket is connected.
    pub fn save(&self, session: Session, live: bool) -> Done {
        let (sender, done) = Done::later();
        let mut state = self.state.lock();
        match live {
            true => drop(state.live.insert(session.pid.clone())),
            false => drop(state.live.remove(&session.pid)),
        }
        state.waiting.push(sender);
        state.changes.insert(session.pid.clone(), Change::Save(session));
        drop(state);
        self.changed.notify_one();
        done
    }

    /// Deletes a session.
    pub fn forget(&self, pid: &str) {
        let pid = ByteString::from(pid);
        let mut state = self.state.lock();
        state.live.remove(&pid);
        state.changes.insert(pid, Change::Forget);
        drop(state);
        self.changed.notify_one();
    }

    fn take(&self) -> (HashMap<ByteString, Change>, Vec<oneshot::Sender<()>>) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.changes), std::mem::take(&mut state.waiting))
    }

    /// Puts back what could not be written, unless it has changed again since.
    fn put_back(&self, pid: ByteString, change: Change) {
        self.state.lock().changes.entry(pid).or_insert(change);
    }
}

impl Hub {
    /// The key of a session.
    pub(super) fn session_key(&self, pid: &str) -> String {
        format!("{}{pid}", self.options.session_prefix)
    }
}

/// Writes changes for ever.
pub async fn write(hub: Arc<Hub>) {
    let Some(ttl) = hub.options.recovery else { return };
    loop {
        let (changes, waiting) = hub.sessions.take();
        if changes.is_empty() {
            hub.sessions.changed.notified().await;
            continue;
        }
        // All are sent before the first answer is awaited.
        let writes = changes.into_iter().map(async |(pid, change)| {
            let result = apply(&hub, &pid, &change, ttl).await;
            (pid, change, result)
        });
        let mut failed = false;
        for (pid, change, result) in futures::future::join_all(writes).await {
            match result {
                Err(RedisError::Connection(_)) => {
                    failed = true;
                    hub.sessions.put_back(pid, change);
                }
                Err(error) => {
                    tracing::error!(%error, "a session cannot be saved: its client would not be recovered")
                }
                Ok(()) => {}
            }
        }
        match failed {
            // Those who wait go on waiting with the next attempt.
            true => {
                hub.sessions.state.lock().waiting.extend(waiting);
                tokio::time::sleep(RETRY).await;
            }
            false => waiting.into_iter().for_each(|done| {
                let _ = done.send(());
            }),
        }
    }
}

async fn apply(hub: &Hub, pid: &str, change: &Change, ttl: Duration) -> Result<(), RedisError> {
    let key = hub.session_key(pid);
    match change {
        Change::Forget => hub.redis.delete(&key).await,
        Change::Save(Session { sid, pid, rooms, data, offset }) => {
            let session = session::Session {
                sid: sid.to_string(),
                pid: pid.to_string(),
                rooms: rooms.iter().map(ToString::to_string).collect(),
                data: data.to_string(),
                attachments: Vec::new(),
                since: offset.as_ref().map(ToString::to_string),
            };
            let value = session.encode().map_err(|e| RedisError::Command(e.to_string()))?;
            hub.redis.set(&key, value, ttl).await
        }
    }
}

/// Keeps the sessions of connected sockets from expiring, for ever.
pub async fn refresh(hub: Arc<Hub>) {
    let Some(ttl) = hub.options.recovery else { return };
    loop {
        tokio::time::sleep(ttl / 3).await;
        let live: Vec<String> =
            hub.sessions.state.lock().live.iter().map(|pid| hub.session_key(pid)).collect();
        for keys in live.chunks(BATCH) {
            // What fails now is tried again in a third of the time that it has.
            let _ = hub.redis.extend(keys.iter().cloned(), ttl).await;
        }
    }
}

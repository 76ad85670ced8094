//! Writes sessions behind the sockets' backs: the latest of each, many in a round trip, until Redis has it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Hub;
use crate::adapter::redis::client::RedisError;
use crate::adapter::redis::message::MessageError;
use crate::adapter::redis::session;
use crate::adapter::{Done, Room, Session};

/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(200);
/// Keys that are given time in one round trip.
const BATCH: usize = 500;

/// For so long the session of a client that was moved away is remembered: it is back before, and a Redis that is away
/// for longer is waited for in vain by those who have reconnected …
const MOVED: Duration = Duration::from_secs(60);
/// … and so many of them.
const MOVED_MOST: usize = 10_000;

/// What is to be done with a session's key.
enum Change {
    Save(Session),
    /// Its content has not changed since this server read or wrote it: it is given time, and saved only where it
    /// is gone. Another server may have changed it since, when the client has moved there before its old connection
    /// ended here.
    Extend(Session),
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
    /// Of connected sockets, with a hash of their content: these must not expire.
    live: HashMap<ByteString, u64>,
    /// Of clients that were moved away, with when: until they have come to another server, nobody else knows them.
    moved: VecDeque<(Instant, Session)>,
    lost_at: Option<Instant>,
    /// How many times Redis has lost the sessions and does not have them again yet.
    lost: usize,
}

impl Sessions {
    /// Saves a session; `live` while its socket is connected.
    pub fn save(&self, session: Session, live: bool) -> Done {
        let (pid, hash) = (session.pid.clone(), content(&session));
        let mut state = self.state.lock();
        if !live && session.goodbye.is_some() {
            state.remember(session.clone());
        }
        let before = match live {
            true => state.live.insert(pid.clone(), hash),
            false => state.live.remove(&pid),
        };
        match (before == Some(hash), live) {
            // Whoever recovers it is to know where it came from.
            (true, false) if session.goodbye.is_some() => {
                drop(state.changes.insert(pid, Change::Save(session)))
            }
            (false, _) => drop(state.changes.insert(pid, Change::Save(session))),
            (true, false) => drop(state.changes.entry(pid).or_insert(Change::Extend(session))),
            (true, true) if state.changes.contains_key(&pid) => {}
            (true, true) => return Done::NOW,
        }
        let (sender, done) = Done::later();
        state.waiting.push(sender);
        drop(state);
        self.changed.notify_one();
        done
    }

    /// Nothing that was written is there any more.
    pub fn all_lost(&self) {
        let mut state = self.state.lock();
        state.lost += 1;
        state.lost_at = Some(Instant::now());
        // Where the client has arrived meanwhile, that server's word counts.
        for (_, session) in std::mem::take(&mut state.moved) {
            state.changes.entry(session.pid.clone()).or_insert(Change::Extend(session));
        }
        state.live.values_mut().for_each(|hash| *hash = !*hash);
    }

    /// What was lost has been written again.
    pub fn found_again(&self) {
        self.state.lock().lost -= 1;
    }

    /// Whether sessions that were written before may not be there.
    pub fn are_lost(&self) -> bool {
        self.state.lock().lost > 0
    }

    /// Whether they were lost no longer ago than this.
    pub fn were_lost_within(&self, time: Duration) -> bool {
        self.state.lock().lost_at.is_some_and(|at| at.elapsed() < time)
    }

    /// Done: Redis has all changes up to now.
    pub fn written(&self) -> Done {
        let (sender, done) = Done::later();
        self.state.lock().waiting.push(sender);
        self.changed.notify_one();
        done
    }

    /// A session has been read for a socket that now connects here.
    pub fn restored(&self, session: &Session) {
        self.state.lock().live.insert(session.pid.clone(), content(session));
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

impl State {
    fn remember(&mut self, session: Session) {
        let now = Instant::now();
        self.moved.push_back((now, session));
        while self.moved.len() > MOVED_MOST || self.moved.front().is_some_and(|(at, _)| now - *at > MOVED) {
            self.moved.pop_front();
        }
    }
}

fn content(session: &Session) -> u64 {
    let Session { sid: _, pid: _, rooms, data, offset, goodbye: _ } = session;
    let mut hasher = DefaultHasher::new();
    // The rooms are a set: their order is that of joining here, and of reading there.
    let rooms: BTreeSet<&Room> = rooms.iter().collect();
    (rooms, data.to_string(), offset).hash(&mut hasher);
    hasher.finish()
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
        if changes.is_empty() && waiting.is_empty() {
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
        Change::Extend(_) if hub.redis.extend_one(&key, ttl).await? => Ok(()),
        Change::Extend(session) | Change::Save(session) => {
            let value = encode(session).map_err(|e| RedisError::Command(e.to_string()))?;
            hub.redis.set(&key, value, ttl).await
        }
    }
}

fn encode(session: &Session) -> Result<String, MessageError> {
    let Session { sid, pid, rooms, data, offset, goodbye } = session;
    let session = session::Session {
        sid: sid.to_string(),
        pid: pid.to_string(),
        rooms: rooms.iter().map(ToString::to_string).collect(),
        data: data.to_string(),
        attachments: Vec::new(),
        since: offset.as_ref().map(ToString::to_string),
        goodbye: goodbye.as_ref().map(|goodbye| (goodbye.from.to_string(), goodbye.at)),
    };
    session.encode()
}

/// Keeps the sessions of connected sockets from expiring, for ever.
pub async fn refresh(hub: Arc<Hub>) {
    let Some(ttl) = hub.options.recovery else { return };
    loop {
        tokio::time::sleep(ttl / 3).await;
        let live: Vec<String> =
            hub.sessions.state.lock().live.keys().map(|pid| hub.session_key(pid)).collect();
        for keys in live.chunks(BATCH) {
            // What fails now is tried again in a third of the time that it has.
            let _ = hub.redis.extend(keys.iter().cloned(), ttl).await;
        }
    }
}

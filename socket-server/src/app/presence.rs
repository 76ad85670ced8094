//! Which user is connected to which server, in Redis, for whoever reads it there.
//!
//! | key | fields |
//! |---|---|
//! | `user:connections` | user → server |
//! | `user:ID` | `socketId`, `serverId`, `connectedAt` (Unix milliseconds), `status` (`online`) |
//!
//! A user with several sockets is shown with the latest. What is written follows from the sockets that are here, so
//! that a Redis that was away is brought up to date; a server that is killed leaves `user:ID` to expire.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::auth::{user, user_room};
use crate::adapter::redis::{Redis, RedisError};
use crate::io::Namespace;

const CONNECTIONS: &str = "user:connections";
/// How long `user:ID` outlives a server that was killed.
const LIFE: Duration = Duration::from_secs(600);
/// How often the lives of those who are here are prolonged.
const REFRESH: Duration = Duration::from_secs(180);
/// Before Redis is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Removes a user from the connections, unless another server has it by now.
const LEAVE_CONNECTIONS: &str =
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end";
/// The same for the user's own hash.
const LEAVE_USER: &str =
    "if redis.call('HGET', KEYS[1], 'serverId') == ARGV[1] then redis.call('DEL', KEYS[1]) end";

/// The users of this server.
pub struct Presence {
    server: String,
    users: Mutex<Users>,
    changed: Notify,
}

#[derive(Default)]
struct Users {
    /// The sockets of each, the latest last.
    here: HashMap<String, Vec<Here>>,
    /// Whose keys may say something else.
    dirty: HashSet<String>,
}

#[derive(Clone)]
struct Here {
    socket: ByteString,
    /// Unix milliseconds.
    since: u64,
}

impl Presence {
    /// Starts a task that keeps Redis up to date.
    pub fn start(redis: Redis, server: &str) -> Arc<Self> {
        let presence =
            Arc::new(Self { server: server.to_owned(), users: Mutex::default(), changed: Notify::new() });
        tokio::spawn(presence.clone().keep(redis));
        presence
    }

    /// Follows the users of a namespace.
    pub fn attach(self: &Arc<Self>, namespace: &Namespace) {
        let presence = self.clone();
        namespace.on_connection(move |socket| {
            if let Some(user) = user(&socket) {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
                let here = Here { socket: socket.id().clone(), since };
                presence.change(user, |sockets| sockets.push(here));
            }
        });
        let presence = self.clone();
        namespace.on_disconnect(move |socket, _| {
            if let Some(user) = user(&socket) {
                presence.change(user, |sockets| sockets.retain(|here| here.socket != *socket.id()));
            }
        });
    }

    fn change(&self, user: String, change: impl FnOnce(&mut Vec<Here>)) {
        let mut users = self.users.lock();
        let sockets = users.here.entry(user.clone()).or_default();
        change(sockets);
        if sockets.is_empty() {
            users.here.remove(&user);
        }
        users.dirty.insert(user);
        drop(users);
        self.changed.notify_one();
    }

    async fn keep(self: Arc<Self>, redis: Redis) {
        let mut refresh = Instant::now() + REFRESH;
        loop {
            let _ = timeout_at(refresh, self.changed.notified()).await;
            if Instant::now() >= refresh {
                refresh = Instant::now() + REFRESH;
                let keys: Vec<String> = self.users.lock().here.keys().map(|user| user_room(user)).collect();
                if redis.extend(keys, LIFE).await.is_err() {
                    tracing::debug!("presence could not be prolonged");
                }
            }
            while let Some((user, here)) = self.next_dirty() {
                if let Err(error) = self.write(&redis, &user, here).await {
                    tracing::debug!(%error, "presence could not be written: it is tried again");
                    self.users.lock().dirty.insert(user);
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// A user whose keys are to be written, with the latest of its sockets.
    fn next_dirty(&self) -> Option<(String, Option<Here>)> {
        let mut users = self.users.lock();
        let user = users.dirty.iter().next()?.clone();
        users.dirty.remove(&user);
        let here = users.here.get(&user).and_then(|sockets| sockets.last()).cloned();
        Some((user, here))
    }

    async fn write(&self, redis: &Redis, user: &str, here: Option<Here>) -> Result<(), RedisError> {
        let key = user_room(user);
        match here {
            Some(Here { socket, since }) => {
                redis.set_fields(CONNECTIONS, &[(user, &self.server)], None).await?;
                let fields = [
                    ("socketId", &*socket),
                    ("serverId", &*self.server),
                    ("connectedAt", &since.to_string()),
                    ("status", "online"),
                ];
                redis.set_fields(&key, &fields, Some(LIFE)).await
            }
            None => {
                redis.script(LEAVE_CONNECTIONS, CONNECTIONS, &[user, &self.server]).await?;
                redis.script(LEAVE_USER, &key, &[&self.server]).await
            }
        }
    }
}

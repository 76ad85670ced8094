//! Tells a backend what happens, by HTTP.
//!
//! Each event is a POST of `{id, event, at, instance, namespace, socketId, userId, …}`. It is tried again when it
//! fails, with the same `id`; several are under way at once, so their order is that of `at`. With a secret the
//! header `x-socketfleet-signature` is `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits.

mod post;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::auth;
use crate::config::Webhook as Config;
use crate::http_client::HttpClient;
use crate::io::{Namespace, Socket};
use post::Poster;

/// Posts that wait; those that come while it is full are lost, and that is logged.
const QUEUE: usize = 1_024;

/// Hands events over to be posted.
pub struct Webhook {
    events: Vec<String>,
    instance: String,
    queue: mpsc::Sender<Vec<u8>>,
    lost: AtomicU64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Post<'a> {
    id: String,
    event: &'a str,
    /// Unix milliseconds.
    at: u64,
    instance: &'a str,
    namespace: &'a str,
    socket_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// Of `connect`: whether it went on where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    /// Of `disconnect`, in Node's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Arguments of an application's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
}

impl Webhook {
    /// Starts a task that posts.
    pub fn start(config: &Config, instance: &str, client: HttpClient) -> Arc<Self> {
        let (queue, posts) = mpsc::channel(QUEUE);
        tokio::spawn(Poster::new(config, client).run(posts));
        let events = config.events.clone();
        Arc::new(Self { events, instance: instance.to_owned(), queue, lost: AtomicU64::new(0) })
    }

    /// Posts what happens in a namespace. Goes after the limits: what they refuse has not happened.
    pub fn attach(self: &Arc<Self>, namespace: &Namespace) {
        if self.wants("connect") {
            let hook = self.clone();
            namespace.on_connection(move |socket: Socket| {
                let recovered = Some(socket.recovered());
                hook.post(&socket, Post { recovered, ..hook.of(&socket, "connect") });
            });
        }
        if self.wants("disconnect") {
            let hook = self.clone();
            namespace.on_disconnect(move |socket, reason| {
                hook.post(&socket, Post { reason: Some(reason.as_str()), ..hook.of(&socket, "disconnect") });
            });
        }
        let hook = self.clone();
        namespace.filter(move |socket, event| {
            if hook.wants(event.name()) {
                let mut args: Vec<Value> = event.payload().parse().unwrap_or_default();
                args.drain(..1.min(args.len()));
                let args = Some(args.into());
                hook.post(socket, Post { args, ..hook.of(socket, event.name()) });
            }
            true
        });
    }

    fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted == event)
    }

    fn of<'a>(&'a self, socket: &'a Socket, event: &'a str) -> Post<'a> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Post {
            id: format!("{}-{:016x}", self.instance, getrandom::u64().unwrap_or(now)),
            event,
            at: now,
            instance: &self.instance,
            namespace: socket.nsp(),
            socket_id: socket.id(),
            user_id: auth::user(socket),
            recovered: None,
            reason: None,
            args: None,
        }
    }

    fn post(&self, socket: &Socket, post: Post<'_>) {
        let queued = serde_json::to_vec(&post).ok().is_some_and(|body| self.queue.try_send(body).is_ok());
        if !queued {
            let lost = self.lost.fetch_add(1, Relaxed) + 1;
            // At 1, 2, 4, 8 …: a flood must not become one of the log too.
            if lost.is_power_of_two() {
                tracing::warn!(lost, socket = %socket.id(), "the webhook is too slow: posts are lost");
            }
        }
    }
}

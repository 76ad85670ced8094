//! Subscriptions that are there again after every reconnection, and what arrives on them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::Options;
use fred::types::{ClusterHash, CustomCommand, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

use super::client::{Redis, RedisError, RedisObserver};
use crate::adapter::Done;

/// Messages that may wait to be handled. Beyond, the oldest are lost, and counted.
const BUFFER: usize = 65_536;
/// Channels in one command.
const CHUNK: usize = 500;
/// How often the connection is asked whether it lives: a silent one looks like one without messages.
const PING: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(100);

/// A message of a subscription.
#[derive(Debug)]
pub struct Published {
    /// The channel.
    pub channel: String,
    /// What was published.
    pub payload: Bytes,
}

enum Change {
    Subscribe(String, oneshot::Sender<()>),
    Unsubscribe(String),
}

/// How many messages arrive at once, before the first of them is handled.
#[derive(Clone, Copy, Debug)]
pub enum Burst {
    /// Requests between servers and their answers.
    Requests = 256,
    /// Every broadcast.
    Broadcasts = 4_096,
}

/// Asks for subscriptions, from anywhere and without waiting.
#[derive(Clone)]
pub struct Subscriptions(mpsc::UnboundedSender<Change>);

impl Subscriptions {
    /// Opens a connection for subscriptions, and returns the messages that will arrive on it.
    pub fn start(
        redis: &Redis,
        sharded: bool,
        burst: Burst,
    ) -> Result<(Self, mpsc::Receiver<Published>), RedisError> {
        let client = redis.for_subscriptions(burst as usize)?;
        let (sender, messages) = mpsc::channel(BUFFER);
        tokio::spawn(forward(client.clone(), sender, redis.observer().clone()));
        let (changes, changed) = mpsc::unbounded_channel();
        let connection = Connection { client, sharded, observer: redis.observer().clone() };
        tokio::spawn(keep(connection, changed));
        Ok((Self(changes), messages))
    }

    /// Subscribes. Done: in effect.
    pub fn subscribe(&self, channel: String) -> Done {
        let (sender, done) = Done::later();
        let _ = self.0.send(Change::Subscribe(channel, sender));
        done
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, channel: String) {
        let _ = self.0.send(Change::Unsubscribe(channel));
    }
}

async fn forward(client: Client, sender: mpsc::Sender<Published>, observer: Arc<dyn RedisObserver>) {
    let mut incoming = client.message_rx();
    loop {
        match incoming.recv().await {
            Ok(message) => {
                let Some(payload) = message.value.into_bytes() else { continue };
                if sender.send(Published { channel: message.channel.to_string(), payload }).await.is_err() {
                    return;
                }
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::error!(
                    lost,
                    "messages of subscriptions are lost: they come faster than they are handled"
                );
                observer.error("lagged");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Makes the subscriptions what they should be, for ever: after changes, and after each reconnection.
async fn keep(connection: Connection, mut changed: mpsc::UnboundedReceiver<Change>) {
    let mut reconnected = connection.client.reconnect_rx();
    let (mut wanted, mut waiting) = (HashSet::new(), Vec::new());
    let mut changes = Vec::new();
    // Whether nothing of what is wanted can be relied upon.
    let mut afresh = false;
    loop {
        tokio::select! {
            count = changed.recv_many(&mut changes, 10_000) => if count == 0 { return },
            _ = reconnected.recv() => afresh = true,
            () = tokio::time::sleep(if afresh { RETRY } else { PING }) => {}
        }
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for change in changes.drain(..) {
            match change {
                Change::Subscribe(channel, done) => {
                    waiting.push(done);
                    if wanted.insert(channel.clone()) {
                        add.push(channel);
                    }
                }
                Change::Unsubscribe(channel) => {
                    if wanted.remove(&channel) {
                        remove.push(channel);
                    }
                }
            }
        }
        // A room that came and went, or went and came, within one batch.
        add.retain(|channel| wanted.contains(channel));
        remove.retain(|channel| !wanted.contains(channel));
        if afresh {
            add = wanted.iter().cloned().collect();
        }
        let result = async {
            connection.unsubscribe(remove).await?;
            connection.subscribe(add).await?;
            connection.confirm().await
        };
        match result.await {
            Ok(()) => {
                afresh = false;
                waiting.drain(..).for_each(|done: oneshot::Sender<()>| {
                    let _ = done.send(());
                });
            }
            Err(error) => {
                tracing::debug!(%error, "subscribing failed");
                connection.observer.error(error.kind());
                afresh = true;
            }
        }
    }
}

struct Connection {
    client: Client,
    sharded: bool,
    observer: Arc<dyn RedisObserver>,
}

impl Connection {
    /// Channels that one command may name: those of one shard.
    fn chunk(&self) -> usize {
        if self.sharded && self.client.is_clustered() { 1 } else { CHUNK }
    }

    fn once(&self) -> fred::clients::WithOptions<Client> {
        let options =
            Options { max_attempts: Some(1), timeout: Some(TIMEOUT), fail_fast: true, ..Options::default() };
        self.client.with_options(&options)
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<(), RedisError> {
        for chunk in channels.chunks(self.chunk()) {
            match self.sharded {
                true => self.once().ssubscribe(chunk.to_vec()).await?,
                false => self.once().subscribe(chunk.to_vec()).await?,
            }
        }
        Ok(())
    }

    async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), RedisError> {
        for chunk in channels.chunks(self.chunk()) {
            match self.sharded {
                true => self.once().sunsubscribe(chunk.to_vec()).await?,
                false => self.once().unsubscribe(chunk.to_vec()).await?,
            }
        }
        Ok(())
    }

    /// Waits for an answer on the same connection: what was sent before it has then taken effect. (The answers
    /// to subscriptions come out of band, and are not waited for.)
    async fn confirm(&self) -> Result<(), RedisError> {
        let slot = fred::util::redis_keyslot(self.client.id().as_bytes());
        let ping = CustomCommand::new_static("PING", ClusterHash::Custom(slot), false);
        Ok(self.once().custom::<Value, Value>(ping, Vec::new()).await.map(drop)?)
    }
}

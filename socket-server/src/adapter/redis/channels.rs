//! Redis' pub/sub as the adapters use it: names of channels, subscriptions, publications.

use tokio::sync::mpsc;

use super::client::{Redis, RedisError};
use super::message::MessageError;
use super::outgoing::Outgoing;
use super::subscriptions::{Burst, Published, Subscriptions};
use crate::adapter::{AdapterError, Done};

/// The channels of one server's adapters.
pub struct Channels {
    redis: Redis,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
    prefix: String,
    sharded: bool,
}

impl Channels {
    /// Starts in the background, and returns the messages that will arrive.
    pub fn start(
        redis: &Redis,
        prefix: String,
        sharded: bool,
        burst: Burst,
    ) -> Result<(Self, mpsc::Receiver<Published>), RedisError> {
        let (subscriptions, messages) = Subscriptions::start(redis, sharded, burst)?;
        let outgoing = Outgoing::start(redis, sharded);
        Ok((Self { redis: redis.clone(), subscriptions, outgoing, prefix, sharded }, messages))
    }

    /// What the names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A namespace's channel.
    pub fn of(&self, nsp: &str) -> String {
        format!("{}#{nsp}#", self.prefix)
    }

    /// A channel in a namespace: a room's, or the one of a server by its uid.
    pub fn within(&self, nsp: &str, name: &str) -> String {
        format!("{}#{nsp}#{name}#", self.prefix)
    }

    /// Subscribes. Done: in effect.
    pub fn subscribe(&self, channel: String) -> Done {
        self.subscriptions.subscribe(channel)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, channel: String) {
        self.subscriptions.unsubscribe(channel);
    }

    /// Publishes what could be written; counts what could not.
    pub fn send(&self, channel: String, payload: Result<Vec<u8>, MessageError>) {
        match payload {
            Ok(payload) => self.outgoing.send(channel, payload),
            Err(error) => {
                self.redis.observer().error("encode");
                tracing::warn!(%error, "a message to the other servers cannot be written");
            }
        }
    }

    /// A message came that makes no sense.
    pub fn not_understood(&self, channel: &str, error: &MessageError) {
        self.redis.observer().error("malformed");
        tracing::warn!(%channel, %error, "a message of another server is not understood");
    }

    /// How many other servers are subscribed to a channel that each has.
    pub async fn others(&self, channel: &str) -> Result<usize, AdapterError> {
        let count = self.redis.subscribers(channel, self.sharded).await;
        Ok(count.map_err(|e| AdapterError::Disconnected(e.to_string()))?.saturating_sub(1))
    }
}

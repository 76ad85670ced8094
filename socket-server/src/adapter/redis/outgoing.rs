//! Publications on pub/sub channels: in order, many in a round trip, kept for a while when Redis is away.

use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

use super::client::Redis;

/// Messages that wait at most. Beyond, new ones are dropped, and counted: those subscribed elsewhere miss
/// them, as they miss what is published while their own server is cut off. Pub/sub promises no more.
const BUFFER: usize = 16_384;
/// Messages in one round trip.
const BATCH: usize = 256;
/// How often an absent connection is looked for.
const RETRY: Duration = Duration::from_millis(50);

/// Publishes from anywhere, without waiting.
#[derive(Clone)]
pub struct Outgoing {
    sender: mpsc::Sender<(String, Bytes)>,
    redis: Redis,
}

impl Outgoing {
    /// Starts publishing in the background.
    pub fn start(redis: &Redis, sharded: bool) -> Self {
        let (sender, waiting) = mpsc::channel(BUFFER);
        tokio::spawn(publish(redis.clone(), waiting, sharded));
        Self { sender, redis: redis.clone() }
    }

    /// Publishes `payload`.
    pub fn send(&self, channel: String, payload: Vec<u8>) {
        if self.sender.try_send((channel, payload.into())).is_err() {
            self.redis.observer().error("given_up");
        }
    }
}

async fn publish(redis: Redis, mut waiting: mpsc::Receiver<(String, Bytes)>, sharded: bool) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        while !redis.is_connected() {
            tokio::time::sleep(RETRY).await;
        }
        // What was under way when the connection broke may have arrived: it is not sent again.
        if let Err(error) = redis.publish(std::mem::take(&mut batch), sharded).await {
            tracing::warn!(%error, "publishing failed");
        }
    }
}

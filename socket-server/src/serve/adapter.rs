//! How this server shares rooms, by its configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use socket_server::adapter::redis::{Classic, Sharded, Streams, StreamsOptions};
use socket_server::adapter::{Adapter, AdapterFactory, MemoryAdapter, MemoryOptions};
use socket_server::config::{AdapterName, Config, Redis, Stream};
use socket_server::metrics::RedisMetrics;
use socket_server::process::memory::MemoryProbe;

/// How long the first sockets wait for Redis; without it they are served alone, and health says so.
const PATIENCE: Duration = Duration::from_secs(5);

/// An adapter, and what is seen of Redis where it needs one.
pub struct Sharing {
    pub factory: AdapterFactory,
    pub redis: Option<Arc<RedisMetrics>>,
}

/// Events for clients that come back may take one in so many of the bytes that this process may.
const REPLAY_PART: usize = 8;

/// Sets the adapter up, and waits a moment for Redis.
pub async fn share(config: &Config) -> anyhow::Result<Sharing> {
    let recovery = config.connection_state_recovery.max_disconnection_duration;
    let Some(redis) = &config.redis else { return Ok(alone(recovery)) };
    let metrics = Arc::new(RedisMetrics::default());
    let factory = match redis.adapter {
        AdapterName::Streams => {
            let options = streams(redis, recovery, config.max_queued_bytes);
            let streams =
                Streams::start(redis.url.reveal(), options, metrics.clone()).context("redis.url")?;
            if tokio::time::timeout(PATIENCE, streams.ready()).await.is_err() {
                tracing::warn!("Redis does not answer: serving without it until it does");
            }
            streams.factory()
        }
        AdapterName::PubSub => {
            Classic::start(redis.url.reveal(), prefix(redis), metrics.clone()).context("redis.url")?.factory()
        }
        AdapterName::ShardedPubSub => {
            Sharded::start(redis.url.reveal(), prefix(redis), metrics.clone()).context("redis.url")?.factory()
        }
    };
    Ok(Sharing { factory, redis: Some(metrics) })
}

/// Begin of the channels' names: the npm adapter's, unless told otherwise.
fn prefix(redis: &Redis) -> String {
    redis.prefix.clone().unwrap_or_else(|| "socket.io".into())
}

fn alone(recovery: Duration) -> Sharing {
    let options = MemoryOptions { max_disconnection_duration: recovery, ..MemoryOptions::default() };
    let factory = move |local| Arc::new(MemoryAdapter::new(local, options.clone())) as Arc<dyn Adapter>;
    Sharing { factory: Arc::new(factory), redis: None }
}

fn streams(redis: &Redis, recovery: Duration, max_replay_bytes: usize) -> StreamsOptions {
    let defaults = redis.stream.map_or_else(StreamsOptions::default, |Stream { max_len, read_count }| {
        StreamsOptions { max_len, read_count, ..StreamsOptions::default() }
    });
    let replay_memory = match MemoryProbe::new().limit() {
        Some(limit) => limit as usize / REPLAY_PART,
        None => defaults.replay_memory,
    };
    let defaults = StreamsOptions { max_replay_bytes, replay_memory, ..defaults };
    let recovery = (!recovery.is_zero()).then_some(recovery);
    match &redis.prefix {
        None => StreamsOptions { recovery, ..defaults },
        Some(prefix) => StreamsOptions {
            stream: format!("{prefix}-stream"),
            channel_prefix: prefix.clone(),
            session_prefix: format!("{prefix}:session:"),
            recovery,
            ..defaults
        },
    }
}

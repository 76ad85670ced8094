//! The connection to Redis, and all that is asked of it.
//!
//! Built on `fred`: one client type for standalone, Sentinel and Cluster servers that reconnects and
//! resubscribes by itself in each (`redis` 1.x has no reconnecting Sentinel connection). Nothing of `fred`
//! leaves this file.
//!
//! A command is tried once, and what was under way when the connection broke is reported as failed. Whether to try again is
//! the caller's decision, who knows what a double means. While the connection is down a command fails, at once or, where
//! `fred` has not noticed yet, it waits for the next connection for as long as a command may take; one that must not be
//! carried out on another connection goes through a [`Writer`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, KeysInterface, PubsubInterface, StreamsInterface};
use fred::types::config::{Config, Options, ReconnectPolicy, Server, TcpConfig, UnresponsiveConfig};
use fred::types::streams::{XCapKind, XCapTrim};
use fred::types::{Builder, ClusterHash, ConnectHandle, CustomCommand, Expiration, RespVersion, Value};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::entry_id::EntryId;

/// Longest wait for the answer to a command that does not block.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a read waits for entries, as in Node's adapter.
const READ_BLOCK: Duration = Duration::from_secs(5);

/// Why a command failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisError {
    /// The URL is not one of the forms that are understood; the text never holds the URL itself.
    #[error(
        "{0}; expected redis://, rediss://, redis-sentinel:// or redis-cluster://[user:password@]host[:port]"
    )]
    Url(String),
    /// No connection, or it broke before the answer: the command may or may not have been done.
    #[error("connection lost: {0}")]
    Connection(String),
    /// Redis refused the command.
    #[error("{0}")]
    Command(String),
    /// An answer that is not of the command's form.
    #[error("unexpected answer to {0}")]
    Answer(&'static str),
}

impl RedisError {
    /// A bounded name for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Connection(_) => "connection",
            Self::Command(_) => "command",
            Self::Answer(_) => "answer",
        }
    }
}

impl From<Error> for RedisError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::IO
            | ErrorKind::Canceled
            | ErrorKind::Timeout
            | ErrorKind::Backpressure
            | ErrorKind::Tls
            | ErrorKind::Routing
            | ErrorKind::Sentinel
            | ErrorKind::Unknown => Self::Connection(error.details().to_owned()),
            _ => Self::Command(error.details().to_owned()),
        }
    }
}

/// Is told what happens between the server and Redis: for metrics and health.
pub trait RedisObserver: Send + Sync {
    /// A command was answered after so long; blocking reads are not among them.
    fn command(&self, name: &'static str, took: Duration) {
        let _ = (name, took);
    }
    /// Something failed; `kind` is one of few names.
    fn error(&self, kind: &'static str) {
        let _ = kind;
    }
    /// Redis can be used, or no longer.
    fn connected(&self, connected: bool) {
        let _ = connected;
    }
}

/// Observes nothing.
#[derive(Debug)]
pub struct Unobserved;
impl RedisObserver for Unobserved {}

/// One field of a stream's entry.
pub type Field = (&'static str, Bytes);

/// An entry read from a stream.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its position.
    pub id: EntryId,
    /// Its fields, in order.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// A connection for commands, and the recipe for more of them.
#[derive(Clone)]
pub struct Redis {
    builder: Arc<Builder>,
    commands: Client,
    observer: Arc<dyn RedisObserver>,
}

impl std::fmt::Debug for Redis {
    /// The recipe holds the password: it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("state", &self.commands.state()).finish_non_exhaustive()
    }
}

impl Redis {
    /// Starts to connect, and keeps at it: an absent Redis is no error, a wrong URL is.
    pub fn connect(url: &str, observer: Arc<dyn RedisObserver>) -> Result<Self, RedisError> {
        let mut config = Config::from_url(url)
            .map_err(|e| RedisError::Url(e.details().trim_end_matches('.').to_owned()))?;
        config.fail_fast = false;
        let mut builder = Builder::from_config(config);
        builder.with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(5);
            connection.internal_command_timeout = Duration::from_secs(5);
            connection.max_command_attempts = 1;
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(READ_BLOCK + COMMAND_TIMEOUT),
                interval: Duration::from_secs(1),
            };
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        });
        let commands = reconnecting(&builder).build().map_err(RedisError::from)?;
        tokio::spawn(say_why(commands.clone()));
        commands.connect();
        Ok(Self { builder: Arc::new(builder), commands, observer })
    }

    /// Who is told of errors.
    pub fn observer(&self) -> &Arc<dyn RedisObserver> {
        &self.observer
    }

    /// Another connection, for commands that block.
    fn another(&self) -> Result<Client, RedisError> {
        let client = reconnecting(&self.builder).build()?;
        client.connect();
        Ok(client)
    }

    fn once(&self) -> fred::clients::WithOptions<Client> {
        self.commands.with_options(&Options {
            max_attempts: Some(1),
            timeout: Some(COMMAND_TIMEOUT),
            fail_fast: true,
            ..Options::default()
        })
    }

    /// Notes how long a command took, and whether it failed.
    async fn observed<T>(
        &self,
        name: &'static str,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, RedisError> {
        let start = Instant::now();
        match command.await {
            Ok(value) => {
                self.observer.command(name, start.elapsed());
                Ok(value)
            }
            Err(error) => {
                let error = RedisError::from(error);
                self.observer.error(error.kind());
                Err(error)
            }
        }
    }

    /// Appends entries to a stream in one round trip, trimming it to about `max_len`. Stops at nothing: each
    /// entry has a result of its own, in order.
    pub async fn append(
        &self,
        stream: &str,
        max_len: u64,
        entries: Vec<Vec<Field>>,
    ) -> Vec<Result<EntryId, RedisError>> {
        let options = self.once().options().clone();
        let pipeline = self.commands.pipeline().with_options(&options);
        for fields in entries {
            let cap = (XCapKind::MaxLen, XCapTrim::AlmostExact, max_len as i64, None);
            // In a pipeline this only queues; the result is the queue's.
            let _: Result<Value, Error> = pipeline.xadd(stream, false, cap, "*", fields).await;
        }
        let start = Instant::now();
        let results = pipeline.try_all::<String>().await;
        self.observer.command("XADD", start.elapsed());
        results
            .into_iter()
            .map(|result| match result {
                Ok(id) => id.parse().map_err(|_| RedisError::Answer("XADD")),
                Err(error) => Err(RedisError::from(error)),
            })
            .inspect(|result| {
                if let Err(error) = result {
                    self.observer.error(error.kind());
                }
            })
            .collect()
    }

    /// The entries from `first` to `last`, both included, at most `count`.
    pub async fn range(
        &self,
        stream: &str,
        first: EntryId,
        last: EntryId,
        count: u64,
    ) -> Result<Vec<Entry>, RedisError> {
        let client = self.once();
        let range = client.xrange::<Value, _, _, _>(stream, first.to_string(), last.to_string(), Some(count));
        entries(self.observed("XRANGE", range).await?).ok_or(RedisError::Answer("XRANGE"))
    }

    /// The last entries down to `first`, latest first, at most `count`.
    pub async fn latest(&self, stream: &str, first: EntryId, count: u64) -> Result<Vec<Entry>, RedisError> {
        let client = self.once();
        let range = client.xrevrange::<Value, _, _, _>(stream, "+", first.to_string(), Some(count));
        entries(self.observed("XREVRANGE", range).await?).ok_or(RedisError::Answer("XREVRANGE"))
    }

    /// Sets a key for a time.
    pub async fn set(&self, key: &str, value: String, ttl: Duration) -> Result<(), RedisError> {
        let client = self.once();
        let set = client.set::<Value, _, _>(key, value, Some(Expiration::PX(millis(ttl))), None, false);
        self.observed("SET", set).await.map(drop)
    }

    /// Gets a key and gives it `ttl` from now, in one round trip.
    pub async fn get_and_extend(&self, key: &str, ttl: Duration) -> Result<Option<Bytes>, RedisError> {
        let options = self.once().options().clone();
        let pipeline = self.commands.pipeline().with_options(&options);
        let _: Result<Value, Error> = pipeline.get(key).await;
        let _: Result<Value, Error> = pipeline.pexpire(key, millis(ttl), None).await;
        let answers = self.observed("GET", pipeline.all::<Vec<Value>>()).await?;
        Ok(answers.into_iter().next().and_then(Value::into_bytes))
    }

    /// Gives a key a time to live again. `false`: there is none.
    pub async fn extend_one(&self, key: &str, ttl: Duration) -> Result<bool, RedisError> {
        let client = self.once();
        let extended = self.observed("PEXPIRE", client.pexpire::<i64, _>(key, millis(ttl), None)).await?;
        Ok(extended == 1)
    }

    /// Gives keys a time to live again, in one round trip. What is gone stays gone.
    pub async fn extend(
        &self,
        keys: impl IntoIterator<Item = String>,
        ttl: Duration,
    ) -> Result<(), RedisError> {
        let options = self.once().options().clone();
        let pipeline = self.commands.pipeline().with_options(&options);
        for key in keys {
            let _: Result<Value, Error> = pipeline.pexpire(key, millis(ttl), None).await;
        }
        self.observed("PEXPIRE", pipeline.last::<Value>()).await.map(drop)
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &str) -> Result<(), RedisError> {
        let client = self.once();
        self.observed("DEL", client.del::<Value, _>(key)).await.map(drop)
    }

    /// Sets fields of a hash, and gives the key a time to live where one is said.
    pub async fn set_fields(
        &self,
        key: &str,
        fields: &[(&str, &str)],
        ttl: Option<Duration>,
    ) -> Result<(), RedisError> {
        let client = self.once();
        let mut arguments = vec![key.to_owned()];
        arguments.extend(fields.iter().flat_map(|(field, value)| [(*field).to_owned(), (*value).to_owned()]));
        let command = CustomCommand::new_static("HSET", ClusterHash::FirstKey, false);
        self.observed("HSET", client.custom::<Value, _>(command, arguments)).await?;
        match ttl {
            Some(ttl) => self.extend_one(key, ttl).await.map(drop),
            None => Ok(()),
        }
    }

    /// Runs a script on one key.
    pub async fn script(
        &self,
        script: &'static str,
        key: &str,
        arguments: &[&str],
    ) -> Result<(), RedisError> {
        let client = self.once();
        let hash = ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()));
        let command = CustomCommand::new_static("EVAL", hash, false);
        let all: Vec<&str> = [script, "1", key].into_iter().chain(arguments.iter().copied()).collect();
        self.observed("EVAL", client.custom::<Value, _>(command, all)).await.map(drop)
    }

    /// Publishes messages in one round trip, in order; on a cluster `sharded` keeps each to its channel's shard.
    pub async fn publish(&self, messages: Vec<(String, Bytes)>, sharded: bool) -> Result<(), RedisError> {
        let options = self.once().options().clone();
        let pipeline = self.commands.pipeline().with_options(&options);
        for (channel, payload) in messages {
            // In a pipeline this only queues; the result is the queue's.
            let _: Result<Value, Error> = match sharded {
                true => pipeline.spublish(channel, payload).await,
                false => pipeline.publish(channel, payload).await,
            };
        }
        let name = if sharded { "SPUBLISH" } else { "PUBLISH" };
        self.observed(name, pipeline.all::<Value>()).await.map(drop)
    }

    /// Whether there is a connection at this moment.
    pub fn is_connected(&self) -> bool {
        self.commands.is_connected()
    }

    /// How many connections subscribe to a channel; of a cluster, on all of its nodes.
    pub async fn subscribers(&self, channel: &str, sharded: bool) -> Result<usize, RedisError> {
        let nodes = match self.commands.is_clustered() && !sharded {
            true => self.commands.active_connections().into_iter().map(Some).collect(),
            false => vec![None],
        };
        let mut sum = 0;
        for node in nodes {
            sum += self.subscribers_at(node, channel, sharded).await?;
        }
        Ok(sum)
    }

    async fn subscribers_at(
        &self,
        node: Option<Server>,
        channel: &str,
        sharded: bool,
    ) -> Result<usize, RedisError> {
        let client =
            self.commands.with_options(&Options { cluster_node: node, ..self.once().options().clone() });
        let kind = if sharded { "SHARDNUMSUB" } else { "NUMSUB" };
        let hash = ClusterHash::Custom(fred::util::redis_keyslot(channel.as_bytes()));
        let command = CustomCommand::new_static("PUBSUB", hash, false);
        let answer = self.observed("PUBSUB", client.custom::<Value, _>(command, vec![kind, channel])).await?;
        let count = match answer {
            Value::Array(items) => items.into_iter().nth(1).and_then(|count| count.as_u64()),
            _ => None,
        };
        count.and_then(|count| usize::try_from(count).ok()).ok_or(RedisError::Answer("PUBSUB"))
    }

    /// Who writes what must not be written on a later connection.
    pub fn writer(&self) -> Writer {
        Writer { recipe: self.clone(), open: None }
    }

    /// As this one, on a connection of its own that ends when it breaks, with all that has been asked on it. Waits until it
    /// is there.
    async fn for_once(&self) -> Result<(Self, ConnectHandle), RedisError> {
        let mut builder = Builder::clone(&self.builder);
        builder.with_config(|config| config.fail_fast = true);
        let commands = builder.build()?;
        let handle = commands.init().await?;
        Ok((Self { commands, ..self.clone() }, handle))
    }

    /// A reader of one stream, with its own connection.
    pub fn reader(&self, stream: &str) -> Result<Reader, RedisError> {
        let client = self.another()?;
        Ok(Reader { reconnections: client.reconnect_rx(), client, stream: stream.to_owned() })
    }

    /// A connection in RESP3, for subscriptions beside commands. `burst` messages may wait to be taken from it;
    /// `fred` makes room for so many in each of its nine channels, at once.
    pub(super) fn for_subscriptions(&self, burst: usize) -> Result<Client, RedisError> {
        let mut builder = reconnecting(&self.builder);
        builder
            .with_performance_config(|performance| performance.broadcast_channel_capacity = burst)
            .with_config(|config| config.version = RespVersion::RESP3);
        let client = builder.build()?;
        client.connect();
        Ok(client)
    }
}

/// Writes on one connection at a time. No write gets to the next one: after one has broken, Redis can be looked at before
/// anything else is written to it.
pub struct Writer {
    recipe: Redis,
    open: Option<(Redis, ConnectHandle)>,
}

impl Writer {
    /// The connection, as long as it holds.
    ///
    /// # Errors
    /// [`RedisError::Connection`] when it has broken, until [`Self::connect`].
    pub fn connection(&self) -> Result<&Redis, RedisError> {
        match &self.open {
            Some((redis, handle)) if !handle.is_finished() => Ok(redis),
            _ => Err(RedisError::Connection("the connection for writing has broken".into())),
        }
    }

    /// The connection; another one, if it has broken.
    pub async fn connect(&mut self) -> Result<&Redis, RedisError> {
        drop(self.open.take_if(|(_, handle)| handle.is_finished()));
        if self.open.is_none() {
            self.open = Some(self.recipe.for_once().await?);
        }
        self.connection()
    }
}

/// Reads a stream as it grows.
pub struct Reader {
    client: Client,
    reconnections: Receiver<Server>,
    stream: String,
}

impl Reader {
    /// Whether the connection was made anew since this was last asked: what was read then may come from a Redis that
    /// has lost entries, though no read has failed.
    pub fn has_reconnected(&mut self) -> bool {
        let mut reconnected = false;
        while !matches!(self.reconnections.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {
            reconnected = true;
        }
        reconnected
    }

    /// The entries after `last`, at most `count`. With `wait`, waits for the first for some seconds; then there
    /// are none.
    pub async fn after(&self, last: EntryId, count: u64, wait: bool) -> Result<Vec<Entry>, RedisError> {
        let client = self.client.with_options(&Options {
            max_attempts: Some(1),
            timeout: Some(READ_BLOCK + COMMAND_TIMEOUT),
            fail_fast: true,
            ..Options::default()
        });
        let block = wait.then_some(READ_BLOCK.as_millis() as u64);
        let answer = client.xread::<Value, _, _>(Some(count), block, &self.stream, last.to_string()).await?;
        // RESP2: [[stream, entries]] or nil.
        match answer {
            Value::Null => Ok(Vec::new()),
            Value::Array(mut streams) if streams.len() == 1 => {
                let mut pair = streams.remove(0).into_array();
                let found = pair.pop().and_then(entries);
                found.ok_or(RedisError::Answer("XREAD"))
            }
            _ => Err(RedisError::Answer("XREAD")),
        }
    }
}

/// As `builder`, for a client that makes its connection anew.
fn reconnecting(builder: &Builder) -> Builder {
    let mut builder = builder.clone();
    builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2));
    builder
}

/// Says why there is no connection: once for each reason, until there is one again.
async fn say_why(client: Client) {
    let (mut errors, mut reconnected) = (client.error_rx(), client.reconnect_rx());
    let mut said = String::new();
    loop {
        let error = tokio::select! {
            error = errors.recv() => error,
            _ = reconnected.recv() => {
                said.clear();
                continue;
            }
        };
        match error {
            Ok((error, server)) if error.details() != said => {
                let server = server.map(|server| server.to_string()).unwrap_or_default();
                tracing::warn!(
                    server,
                    kind = error.kind().to_str(),
                    reason = error.details(),
                    "no connection to Redis"
                );
                error.details().clone_into(&mut said);
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `[[id, [name, value, …]], …]`
fn entries(answer: Value) -> Option<Vec<Entry>> {
    let entry = |value: Value| {
        let mut pair = value.into_array().into_iter();
        let id = pair.next()?.as_str()?.parse().ok()?;
        let mut values = pair.next()?.into_array().into_iter();
        let mut fields = Vec::with_capacity(values.len() / 2);
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            fields.push((name.into_bytes()?, value.into_bytes()?));
        }
        Some(Entry { id, fields })
    };
    match answer {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.into_iter().map(entry).collect(),
        _ => None,
    }
}

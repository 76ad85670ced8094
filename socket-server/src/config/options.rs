//! The options as they are given: by flag, environment variable or key of the file, all of them optional.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ConfigError;

/// Every option. Where one is given twice, the flag wins over the environment, and that over the file.
#[derive(Args, Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Options {
    #[command(flatten)]
    pub endpoints: Endpoints,
    #[command(flatten)]
    pub engine: Engine,
    #[command(flatten)]
    pub fleet: Fleet,
    #[command(flatten)]
    pub redis: Redis,
    #[command(flatten)]
    pub application: Application,
    #[command(flatten)]
    pub tokens: Tokens,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub webhook: Webhook,
    #[command(flatten)]
    pub logs: Logs,
}

/// Where the server listens.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Endpoints")]
pub struct Endpoints {
    /// Address of the socket port [default: all, IPv6 and IPv4]
    #[arg(long, env = "HOST")]
    pub host: Option<IpAddr>,
    /// Socket port; 0 takes a free one [default: 3000]
    #[arg(long, env = "PORT")]
    pub port: Option<u16>,
    /// Path of the Socket.IO endpoint [default: /socket.io/]
    #[arg(long, env = "SOCKET_PATH")]
    pub path: Option<String>,
    /// Address of the admin port [default: all, IPv6 and IPv4]
    #[arg(long, env = "ADMIN_HOST")]
    pub admin_host: Option<IpAddr>,
    /// Admin port (probes, metrics, drain); 0 takes a free one [default: 8081]
    #[arg(long, env = "ADMIN_PORT")]
    pub admin_port: Option<u16>,
    /// File with the bearer token of changing admin calls; read at each call, so it may be rotated.
    /// Without it such calls are taken from the loopback interface only
    #[arg(long, env = "ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// Node's options, under Node's names, with Node's defaults and units (milliseconds, bytes).
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Protocol (names, defaults and units of Node's options)")]
pub struct Engine {
    /// Milliseconds between heartbeats [default: 25000]
    #[arg(long, env = "PING_INTERVAL")]
    pub ping_interval: Option<u64>,
    /// Milliseconds to wait for the answer to a heartbeat [default: 20000]
    #[arg(long, env = "PING_TIMEOUT")]
    pub ping_timeout: Option<u64>,
    /// Milliseconds that a client has to join a namespace [default: 45000]
    #[arg(long, env = "CONNECT_TIMEOUT")]
    pub connect_timeout: Option<u64>,
    /// Milliseconds that an upgrade to WebSocket may take [default: 10000]
    #[arg(long, env = "UPGRADE_TIMEOUT")]
    pub upgrade_timeout: Option<u64>,
    /// Bytes of the largest message, on both transports [default: 1000000]
    #[arg(long, env = "MAX_HTTP_BUFFER_SIZE", visible_alias = "max-payload")]
    pub max_http_buffer_size: Option<u64>,
    /// Transports that clients may use [default: polling,websocket]
    #[arg(long, env = "TRANSPORTS", value_enum, value_delimiter = ',')]
    pub transports: Option<Vec<TransportName>>,
    /// Whether polling clients may go over to WebSocket [default: true]
    #[arg(long, env = "ALLOW_UPGRADES", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_upgrades: Option<bool>,
    /// Compress WebSocket messages to clients that offer it: less traffic, more CPU time [default: false]
    #[arg(long, env = "PER_MESSAGE_DEFLATE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub per_message_deflate: Option<bool>,
    /// Bytes from which on a message is compressed; turns compression on [default: 1024]
    #[arg(long, env = "PER_MESSAGE_DEFLATE_THRESHOLD")]
    pub per_message_deflate_threshold: Option<u64>,
    /// Parser that the clients use [default: json]
    #[arg(long, env = "PARSER", value_enum)]
    pub parser: Option<ParserName>,
    /// Origins that browsers may connect from, `*` for all [default: none but the server's own]
    #[arg(long, env = "CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origin: Option<Vec<String>>,
    /// Let browsers send cookies from those origins [default: false]
    #[arg(long, env = "CORS_CREDENTIALS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub cors_credentials: Option<bool>,
    /// Name of a cookie that load balancers may stick to, such as `io` [default: no cookie]
    #[arg(long, env = "COOKIE_NAME")]
    pub cookie_name: Option<String>,
    /// Milliseconds for which a lost client can come back without missing a message; 0 turns recovery off
    /// [default: 120000; of the echo application: 0]
    #[arg(long, env = "CONNECTION_STATE_RECOVERY_MAX_DISCONNECTION_DURATION", value_name = "MILLISECONDS")]
    pub connection_state_recovery_max_disconnection_duration: Option<u64>,
}

/// What makes a server part of a fleet.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Fleet")]
pub struct Fleet {
    /// Name in logs and metrics [default: instance- and 8 hexadecimal digits]
    #[arg(long, env = "INSTANCE_ID")]
    pub instance_id: Option<String>,
    /// Sockets that may be open at once [default: 10000]
    #[arg(long, env = "MAX_CONNECTIONS")]
    pub max_connections: Option<u32>,
    /// How clients are refused when the server is full [default: refuse]
    #[arg(long, env = "WHEN_FULL", value_enum)]
    pub when_full: Option<WhenFullName>,
    /// Bytes that may wait to be sent to one client; more, and it is disconnected, to come back and recover
    /// [default: 4194304]
    #[arg(long, env = "MAX_QUEUED_BYTES")]
    pub max_queued_bytes: Option<u64>,
    /// Seconds that the drain started by SIGTERM may take: less than the pod's grace period [default: 25]
    #[arg(long, env = "SHUTDOWN_DRAIN_SECONDS")]
    pub shutdown_drain_seconds: Option<u64>,
}

/// How servers share rooms.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Redis")]
pub struct Redis {
    /// URL of the Redis server: redis://, rediss:// (TLS), redis-sentinel://, redis-cluster:// and their TLS
    /// forms. Put one with a password into the environment or a file, not into a flag
    /// [default: no Redis, rooms of this process only]
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// File with that URL
    #[arg(long, env = "REDIS_URL_FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// Prefix of keys and channels [default: that of the npm adapter]
    #[arg(long, env = "REDIS_PREFIX")]
    pub redis_prefix: Option<String>,
    /// Which npm adapter's wire format to speak; only `streams` recovers clients that come back to another
    /// server [default: streams]
    #[arg(long, env = "REDIS_ADAPTER", value_enum)]
    pub redis_adapter: Option<AdapterName>,
    /// Events that the stream keeps, about: what a client that is back can be given [default: 10000]
    #[arg(long, env = "REDIS_MAX_LEN", value_name = "EVENTS")]
    pub redis_max_len: Option<u64>,
    /// Events of the stream that are read at once, at most [default: 100]
    #[arg(long, env = "REDIS_READ_COUNT", value_name = "EVENTS")]
    pub redis_read_count: Option<u64>,
}

/// What the server does with events.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Application")]
pub struct Application {
    /// Application to serve [default: rooms]
    #[arg(long, env = "APP", value_enum)]
    pub app: Option<AppName>,
    /// Namespaces of the rooms application [default: /]
    #[arg(long, env = "NAMESPACES", value_delimiter = ',')]
    pub namespaces: Option<Vec<String>>,
    /// Index of this shard, from 0: users of others are told where to go
    #[arg(long, env = "SHARD_INDEX")]
    pub shard_index: Option<u32>,
    /// Number of shards: a user's is md5(userId), its first 8 hexadecimal digits, modulo this number
    #[arg(long, env = "SHARD_COUNT")]
    pub shard_count: Option<u32>,
    /// File with the token of backends that use the HTTP API under /api/ of the socket port
    /// [default: no API]
    #[arg(long, env = "API_TOKEN_FILE")]
    pub api_token_file: Option<PathBuf>,
}

/// Who may connect.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Tokens (JWT in auth.token or the Authorization header)")]
pub struct Tokens {
    /// File with the shared secret: tokens are signed with HS256
    #[arg(long, env = "JWT_SECRET_FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// File with the public key as PEM: tokens are signed with RS256
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// File with a set of public keys (JWKS); read again every five minutes
    #[arg(long, env = "JWT_JWKS_FILE")]
    pub jwt_jwks_file: Option<PathBuf>,
    /// URL of a set of public keys; read again every five minutes
    #[arg(long, env = "JWT_JWKS_URL")]
    pub jwt_jwks_url: Option<String>,
    /// Issuer that tokens must name [default: any]
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Audience that tokens must name [default: any]
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
}

/// What one client, or all together, may ask for.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Events a second that one socket may send; twice as many at once [default: any number]
    #[arg(long, env = "LIMIT_EVENTS_PER_SECOND", value_name = "RATE")]
    pub limit_events_per_second: Option<f64>,
    /// Rooms a minute that one socket may join [default: any number]
    #[arg(long, env = "LIMIT_JOINS_PER_MINUTE", value_name = "RATE")]
    pub limit_joins_per_minute: Option<f64>,
    /// Sockets a second that may join a namespace here; the others are told when to come back
    /// [default: any number]
    #[arg(long, env = "LIMIT_CONNECTS_PER_SECOND", value_name = "RATE")]
    pub limit_connects_per_second: Option<f64>,
}

/// Who is told what happens.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Webhook")]
pub struct Webhook {
    /// URL that events are posted to as JSON [default: no webhook]
    #[arg(long, env = "WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What is posted: connect, disconnect and names of the application's events
    /// [default: connect,disconnect]
    #[arg(long, env = "WEBHOOK_EVENTS", value_delimiter = ',')]
    pub webhook_events: Option<Vec<String>>,
    /// File with the secret that posts are signed with (HMAC-SHA256) [default: not signed]
    #[arg(long, env = "WEBHOOK_SECRET_FILE")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Milliseconds to wait for an answer [default: 5000]
    #[arg(long, env = "WEBHOOK_TIMEOUT")]
    pub webhook_timeout: Option<u64>,
    /// How often a post that failed is tried again, after longer and longer pauses [default: 3]
    #[arg(long, env = "WEBHOOK_RETRIES")]
    pub webhook_retries: Option<u32>,
}

/// What is logged, to standard error.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Logs")]
pub struct Logs {
    /// Form of the lines [default: text on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Level, or a filter such as `info,socket_server=debug` [default: info]
    #[arg(long, env = "LOG_LEVEL")]
    pub log_level: Option<String>,
}

/// A transport of Engine.IO.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportName {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    Websocket,
}

/// A parser of Socket.IO's packets.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParserName {
    /// The default parser: JSON with binary attachments.
    Json,
    /// `socket.io-msgpack-parser`.
    #[value(name = "msgpack")]
    MsgPack,
}

/// How clients are refused when the server is full.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFullName {
    /// HTTP 503 before the upgrade: proxies can try another server, clients come back by themselves.
    Refuse,
    /// `connect_error` `Server at capacity`: the browser's code can read it, and has to connect again itself.
    ConnectError,
}

/// The npm adapter whose wire format is spoken, as in [`AdapterKind`](socketfleet_api::contract::AdapterKind).
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterName {
    /// `@socket.io/redis-streams-adapter`.
    Streams,
    /// `@socket.io/redis-adapter`.
    #[value(name = "pubsub")]
    #[serde(rename = "pubsub")]
    PubSub,
    /// The sharded adapter of `@socket.io/redis-adapter`, for Redis 7.
    #[value(name = "sharded-pubsub")]
    #[serde(rename = "sharded-pubsub")]
    ShardedPubSub,
}

/// An application that needs no code.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppName {
    /// joinRoom, leaveRoom, message and roomMessage.
    Rooms,
    /// Answers what it is sent, on `/` and `/custom`: for testing clients.
    Echo,
}

/// Form of the log lines.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Options {
    /// All keys with their values, `null` where an option was not given.
    pub fn to_map(&self) -> Map<String, Value> {
        let Self { endpoints, engine, fleet, redis, application, tokens, limits, webhook, logs } = self;
        let mut all = Map::new();
        for group in [
            serde_json::to_value(endpoints),
            serde_json::to_value(engine),
            serde_json::to_value(fleet),
            serde_json::to_value(redis),
            serde_json::to_value(application),
            serde_json::to_value(tokens),
            serde_json::to_value(limits),
            serde_json::to_value(webhook),
            serde_json::to_value(logs),
        ] {
            // Structs of optional scalars: they always become an object.
            if let Ok(Value::Object(group)) = group {
                all.extend(group);
            }
        }
        all
    }

    /// Fills in what was not given from a file's keys.
    ///
    /// # Errors
    /// When a value is of the wrong type; the error names its key.
    pub fn or(&self, file: &str, keys: Map<String, Value>) -> Result<Self, ConfigError> {
        let mut all = keys;
        // An empty variable is a variable that is not set: charts and compose files write them that way.
        all.extend(self.to_map().into_iter().filter(|(_, value)| !value.is_null() && value != ""));
        let all = Value::Object(all);
        Ok(Self {
            endpoints: group(file, &all)?,
            engine: group(file, &all)?,
            fleet: group(file, &all)?,
            redis: group(file, &all)?,
            application: group(file, &all)?,
            tokens: group(file, &all)?,
            limits: group(file, &all)?,
            webhook: group(file, &all)?,
            logs: group(file, &all)?,
        })
    }
}

fn group<'a, T: Deserialize<'a>>(file: &str, all: &'a Value) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(all).map_err(|error| ConfigError::Type {
        file: file.into(),
        key: error.path().to_string(),
        message: error.into_inner().to_string(),
    })
}

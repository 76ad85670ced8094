//! What can be set, under Node's names and with Node's defaults.

use std::time::Duration;

/// Which parser clients of this server use; Node's `parser` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parser {
    /// The default parser: JSON with binary attachments.
    #[default]
    Json,
    /// `socket.io-msgpack-parser`.
    MsgPack,
}

/// How clients are refused when the server is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// HTTP 503 with `Retry-After` before the upgrade: proxies can try elsewhere, clients come back by themselves.
    #[default]
    Refuse,
    /// `connect_error` `Server at capacity` with `{retryAfterMs}`: code in the browser can read it, and has to
    /// connect again by itself.
    ConnectError,
}

/// Origins that browsers may connect from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// No CORS headers: same origin only.
    #[default]
    SameOrigin,
    /// Every origin, `*`.
    Any,
    /// These origins.
    Origins {
        /// Each written as browsers send it (`https://example.com`).
        origins: Vec<String>,
        /// Whether browsers may send cookies along.
        credentials: bool,
    },
}

/// A cookie with the session id for load balancers; set at the handshake over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// `io` by default.
    pub name: String,
    /// `Path`.
    pub path: String,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`, e.g. `Lax`; empty for none.
    pub same_site: String,
    /// `Secure`.
    pub secure: bool,
    /// `Max-Age` in seconds.
    pub max_age: Option<u64>,
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: "io".into(),
            path: "/".into(),
            http_only: true,
            same_site: "Lax".into(),
            secure: false,
            max_age: None,
        }
    }
}

/// Compression of WebSocket messages; Node's option of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerMessageDeflate {
    /// Bytes from which on a message is compressed.
    pub threshold: usize,
}

impl Default for PerMessageDeflate {
    fn default() -> Self {
        Self { threshold: 1024 }
    }
}

/// Options of the Engine.IO layer.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Path of the endpoint, with slashes at both ends.
    pub path: String,
    /// Whether HTTP long-polling is served.
    pub polling: bool,
    /// Whether WebSocket is served.
    pub websocket: bool,
    /// Whether a polling client may go over to WebSocket.
    pub allow_upgrades: bool,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// Time that a client has to answer a ping.
    pub ping_timeout: Duration,
    /// Time that an upgrade may take.
    pub upgrade_timeout: Duration,
    /// Largest message, and largest polling request, in bytes.
    pub max_http_buffer_size: usize,
    /// Open connections that are accepted.
    pub max_connections: usize,
    /// What the others are told.
    pub when_full: WhenFull,
    /// When refused clients are told to come back.
    pub retry_after: Duration,
    /// Bytes that may wait to be sent to one client; more, and the client is disconnected, to recover.
    pub max_queued_bytes: usize,
    /// Time that a connection has for a request's head or body, or to take a closing handshake.
    pub request_timeout: Duration,
    /// Compression of messages over WebSocket, for clients that offer it. It costs time, and memory of each thread.
    pub per_message_deflate: Option<PerMessageDeflate>,
    /// CORS.
    pub cors: Cors,
    /// Cookie with the session id, for load balancers that want one.
    pub cookie: Option<Cookie>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            path: "/engine.io/".into(),
            polling: true,
            websocket: true,
            allow_upgrades: true,
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            upgrade_timeout: Duration::from_millis(10_000),
            max_http_buffer_size: 1_000_000,
            max_connections: usize::MAX,
            when_full: WhenFull::Refuse,
            retry_after: Duration::from_secs(5),
            max_queued_bytes: 4 << 20,
            request_timeout: Duration::from_secs(30),
            per_message_deflate: None,
            cors: Cors::SameOrigin,
            cookie: None,
        }
    }
}

/// Options of a Socket.IO server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The layer below.
    pub engine: EngineOptions,
    /// Time in which a connection must join a namespace.
    pub connect_timeout: Duration,
    /// The parser.
    pub parser: Parser,
    /// Whether dynamic namespaces go away with their last socket.
    pub cleanup_empty_child_namespaces: bool,
    /// Whether the middlewares are skipped for a recovered socket.
    pub recovery_skips_middlewares: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            engine: EngineOptions { path: "/socket.io/".into(), ..EngineOptions::default() },
            connect_timeout: Duration::from_millis(45_000),
            parser: Parser::Json,
            cleanup_empty_child_namespaces: false,
            recovery_skips_middlewares: true,
        }
    }
}

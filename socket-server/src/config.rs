//! The configuration: one structure, validated once, from flags, environment and a YAML file.

mod application;
mod check;
mod file;
pub mod options;
mod secret;
mod server;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

pub use application::{Api, Jwt, KeyFiles, Limits, Webhook};
pub use options::{AdapterName, AppName, LogFormat, Options, ParserName, TransportName, WhenFullName};
pub use secret::Secret;

use crate::app::Shard;

/// What the server runs with. Serialised it is a file that [`load`] reads, its secrets hidden.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Name in logs and metrics.
    pub instance_id: String,
    /// Address of the socket port; `None` is all addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// Socket port.
    pub port: u16,
    /// Path of the Socket.IO endpoint, with a slash at both ends.
    pub path: String,
    /// The admin port.
    pub admin: Admin,
    /// Sockets that may be open at once.
    pub max_connections: u32,
    /// How clients are refused beyond that.
    pub when_full: WhenFullName,
    /// Bytes that may wait to be sent to one client.
    pub max_queued_bytes: usize,
    /// How long the drain started by SIGTERM may take.
    #[serde(rename = "shutdownDrainSeconds", serialize_with = "seconds")]
    pub shutdown_drain: Duration,
    /// Between heartbeats.
    #[serde(serialize_with = "millis")]
    pub ping_interval: Duration,
    /// For the answer to a heartbeat.
    #[serde(serialize_with = "millis")]
    pub ping_timeout: Duration,
    /// For joining a namespace.
    #[serde(serialize_with = "millis")]
    pub connect_timeout: Duration,
    /// For an upgrade to WebSocket.
    #[serde(serialize_with = "millis")]
    pub upgrade_timeout: Duration,
    /// Bytes of the largest message.
    pub max_http_buffer_size: usize,
    /// Transports that clients may use, without doubles.
    pub transports: Vec<TransportName>,
    /// Whether polling clients may go over to WebSocket.
    pub allow_upgrades: bool,
    /// Compression over WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_message_deflate: Option<PerMessageDeflate>,
    /// The clients' parser.
    pub parser: ParserName,
    /// Browsers of other origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Cookie for sticky sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// Recovery of lost clients.
    pub connection_state_recovery: Recovery,
    /// How rooms are shared; `None` is within this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// What is done with events.
    pub app: AppName,
    /// Namespaces of the rooms application.
    pub namespaces: Vec<String>,
    /// Which users belong here; `None` is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The HTTP API of backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// Whose tokens are accepted; `None` lets everybody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// What clients may ask for.
    pub limit: Limits,
    /// Who is told what happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// What is logged.
    pub log: Log,
}

/// Where the admin port is, and who may change things there.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    /// Its address; `None` is all addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// File with the bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Compression over WebSocket.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PerMessageDeflate {
    /// Bytes from which on a message is compressed.
    pub threshold: usize,
}

/// Browsers of other origins.
#[derive(Clone, Debug, Serialize)]
pub struct Cors {
    /// Origins, or `*` alone.
    pub origin: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
}

/// The cookie of sticky sessions.
#[derive(Clone, Debug, Serialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
}

/// Recovery of clients that lost their connection.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// For how long; zero is off.
    #[serde(serialize_with = "millis")]
    pub max_disconnection_duration: Duration,
}

/// How servers share rooms.
#[derive(Clone, Debug, Serialize)]
pub struct Redis {
    /// The server's URL, hidden because of its password.
    pub url: Secret,
    /// Prefix of keys and channels; `None` is the npm adapter's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The wire format.
    pub adapter: AdapterName,
    /// The stream, where there is one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
}

/// How much of the stream there is.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// Entries that it keeps, about.
    pub max_len: u64,
    /// Entries that are read at once, at most.
    pub read_count: u64,
}

impl Redis {
    /// Whether the URL carries a password.
    pub fn has_password(&self) -> bool {
        let authority = self.url.reveal().split("://").nth(1).and_then(|rest| rest.split('/').next());
        authority.and_then(|a| a.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':'))
    }
}

/// What is logged.
#[derive(Clone, Debug, Serialize)]
pub struct Log {
    /// Form of the lines.
    pub format: LogFormat,
    /// Filter of `tracing-subscriber`.
    pub level: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConfigError {
    #[error("{file}: cannot be read: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file}: not a valid configuration file: {message}")]
    Yaml { file: String, message: String },
    #[error("{file}: unknown key `{key}`: {hint}")]
    UnknownKey { file: String, key: String, hint: String },
    #[error("{file}: `{key}` is given twice: keep one")]
    Twice { file: String, key: String },
    #[error("{file}: `{key}`: {message}")]
    Type { file: String, key: String, message: String },
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Reads the file, if there is one, puts `options` above it, and checks the whole.
///
/// # Errors
/// [`ConfigError`] with the name of the option and what to do about it.
pub fn load(options: &Options, file: Option<&Path>) -> Result<Config, ConfigError> {
    let name = file.map_or_else(|| "options".into(), |file| file.display().to_string());
    let keys = match file {
        None => serde_json::Map::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { file: name.clone(), source })?;
            file::parse(&name, &text, &Options::default().to_map())?
        }
    };
    check::check(options.or(&name, keys)?)
}

fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_millis() as u64)
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[cfg(test)]
mod tests;

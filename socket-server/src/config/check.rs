//! Options that were given → a configuration whose values make sense, or all that is wrong with them.

use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use socketfleet_api::contract;
use tracing_subscriber::EnvFilter;

use super::options::{Application, Endpoints, Engine, Fleet, Logs, Redis as RedisOptions};
use super::{
    AdapterName, Admin, AppName, Config, ConfigError, Cookie, Cors, Log, LogFormat, Options, ParserName,
    PerMessageDeflate, Recovery, Redis, Secret, Stream, TransportName, WhenFullName,
};

/// The longest time that Node's timers can take, and so its options.
const LONGEST_MILLIS: u64 = i32::MAX as u64;
/// A drain longer than a day is a mistake of units.
const LONGEST_DRAIN_SECONDS: u64 = 86_400;

/// Checks all options and fills in the defaults.
pub(super) fn check(options: Options) -> Result<Config, ConfigError> {
    let Options { endpoints, engine, fleet, redis, application, tokens, limits, webhook, logs } = options;
    let Endpoints { host, port, path, admin_host, admin_port, admin_token_file } = endpoints;
    let Engine {
        ping_interval,
        ping_timeout,
        connect_timeout,
        upgrade_timeout,
        max_http_buffer_size,
        transports,
        allow_upgrades,
        per_message_deflate,
        per_message_deflate_threshold,
        parser,
        cors_origin,
        cors_credentials,
        cookie_name,
        connection_state_recovery_max_disconnection_duration: recovery,
    } = engine;
    let Fleet { instance_id, max_connections, when_full, max_queued_bytes, shutdown_drain_seconds } = fleet;
    let Application { app, namespaces, shard_index, shard_count, api_token_file } = application;

    let mut wrong = Problems::default();
    let port = port.unwrap_or(contract::DEFAULT_SOCKET_PORT);
    let admin_port = admin_port.unwrap_or(contract::DEFAULT_ADMIN_PORT);
    if port == admin_port && port != 0 {
        wrong.say("adminPort", format!("is {port} like port: give the two different numbers"));
    }
    if let Some(file) = &admin_token_file {
        wrong.read("adminTokenFile", file);
    }
    let config = Config {
        instance_id: wrong.instance_id(instance_id),
        host,
        port,
        path: wrong.path(path),
        admin: Admin { host: admin_host, port: admin_port, token_file: admin_token_file },
        max_connections: wrong.number(
            "maxConnections",
            max_connections.map(u64::from),
            u64::from(contract::DEFAULT_MAX_CONNECTIONS),
            1..=10_000_000,
        ) as u32,
        when_full: when_full.unwrap_or(WhenFullName::Refuse),
        max_queued_bytes: wrong.number("maxQueuedBytes", max_queued_bytes, 4 << 20, 65_536..=1 << 30)
            as usize,
        shutdown_drain: Duration::from_secs(wrong.number(
            "shutdownDrainSeconds",
            shutdown_drain_seconds,
            25,
            0..=LONGEST_DRAIN_SECONDS,
        )),
        ping_interval: wrong.millis("pingInterval", ping_interval, 25_000, 1),
        ping_timeout: wrong.millis("pingTimeout", ping_timeout, 20_000, 1),
        connect_timeout: wrong.millis("connectTimeout", connect_timeout, 45_000, 1),
        upgrade_timeout: wrong.millis("upgradeTimeout", upgrade_timeout, 10_000, 1),
        max_http_buffer_size: wrong.number("maxHttpBufferSize", max_http_buffer_size, 1_000_000, 1..=1 << 30)
            as usize,
        transports: wrong.transports(transports),
        allow_upgrades: allow_upgrades.unwrap_or(true),
        per_message_deflate: wrong.deflate(per_message_deflate, per_message_deflate_threshold),
        parser: parser.unwrap_or(ParserName::Json),
        cors: wrong.cors(cors_origin, cors_credentials),
        cookie: wrong.cookie(cookie_name),
        connection_state_recovery: Recovery {
            max_disconnection_duration: wrong.millis(
                "connectionStateRecovery.maxDisconnectionDuration",
                recovery,
                // Recovery puts an offset behind the arguments of events, and an echo is to be what was sent.
                if app == Some(AppName::Echo) { 0 } else { 120_000 },
                0,
            ),
        },
        redis: wrong.redis(redis),
        app: app.unwrap_or(AppName::Rooms),
        namespaces: wrong.namespaces(namespaces),
        shard: wrong.shard(shard_index, shard_count),
        api: wrong.api(api_token_file),
        jwt: wrong.jwt(tokens),
        limit: wrong.limits(limits),
        webhook: wrong.webhook(webhook),
        log: wrong.log(logs),
    };
    if wrong.0.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(wrong.0)) }
}

/// What is wrong, so that all of it is said at once.
#[derive(Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn say(&mut self, key: &str, what: impl AsRef<str>) {
        self.0.push(format!("{key} {}", what.as_ref()));
    }

    pub(super) fn number(
        &mut self,
        key: &str,
        given: Option<u64>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let value = given.unwrap_or(default);
        if !range.contains(&value) {
            self.say(key, format!("is {value}: give a number from {} to {}", range.start(), range.end()));
        }
        value
    }

    pub(super) fn millis(&mut self, key: &str, given: Option<u64>, default: u64, least: u64) -> Duration {
        let value = given.unwrap_or(default);
        if !(least..=LONGEST_MILLIS).contains(&value) {
            self.say(key, format!("is {value}: give milliseconds from {least} to {LONGEST_MILLIS}"));
        }
        Duration::from_millis(value)
    }

    /// The content of a secret's file, without the newline that editors put at its end.
    pub(super) fn read(&mut self, key: &str, file: &Path) -> Option<String> {
        let shown = file.display();
        match std::fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => {
                self.say(key, format!("names {shown}, which is empty: write the secret into it"));
                None
            }
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) => {
                self.say(key, format!("names {shown}, which cannot be read ({error}): mount or create it"));
                None
            }
        }
    }

    fn instance_id(&mut self, given: Option<String>) -> String {
        let id = given.unwrap_or_else(|| {
            format!("instance-{:08x}", getrandom::u32().unwrap_or_else(|_| std::process::id()))
        });
        let plain = id.chars().all(|c| c.is_ascii_graphic());
        if !plain || id.len() > 253 {
            self.say("instanceId", "must be 1 to 253 printable ASCII characters without spaces");
        }
        id
    }

    fn path(&mut self, given: Option<String>) -> String {
        let path = given.unwrap_or_else(|| contract::DEFAULT_SOCKET_PATH.into());
        if !path.starts_with('/') || path.chars().any(|c| !c.is_ascii_graphic() || c == '?' || c == '#') {
            self.say("path", format!("is `{path}`: it must begin with a slash, such as /socket.io/"));
        }
        format!("{}/", path.trim_end_matches('/'))
    }

    fn transports(&mut self, given: Option<Vec<TransportName>>) -> Vec<TransportName> {
        let mut transports = given.unwrap_or_else(|| vec![TransportName::Polling, TransportName::Websocket]);
        transports.sort_unstable_by_key(|transport| *transport as u8);
        transports.dedup();
        if transports.is_empty() {
            self.say("transports", "is empty: name polling, websocket or both");
        }
        transports
    }

    /// As in Node, whoever says how wants it.
    fn deflate(&mut self, on: Option<bool>, threshold: Option<u64>) -> Option<PerMessageDeflate> {
        if on == Some(false) && threshold.is_some() {
            self.say("perMessageDeflate", "is false besides a threshold: keep one of them");
        }
        let on = on.unwrap_or(threshold.is_some());
        let threshold = self.number("perMessageDeflate.threshold", threshold, 1024, 0..=1 << 30) as usize;
        on.then_some(PerMessageDeflate { threshold })
    }

    fn cors(&mut self, origin: Option<Vec<String>>, credentials: Option<bool>) -> Option<Cors> {
        let Some(origin) = origin else {
            if credentials == Some(true) {
                self.say("cors.credentials", "has no effect without cors.origin: name the origins");
            }
            return None;
        };
        let credentials = credentials.unwrap_or(false);
        let any = origin.iter().any(|o| o == "*");
        if origin.is_empty() || (any && origin.len() > 1) {
            self.say("cors.origin", "must be `*` alone or a list of origins such as https://example.com");
        } else if any && credentials {
            self.say("cors.origin", "is `*`, which browsers refuse with cors.credentials: name the origins");
        }
        for wrong in origin.iter().filter(|o| *o != "*" && !is_origin(o)) {
            self.say(
                "cors.origin",
                format!("has `{wrong}`: write an origin as https://example.com, no path"),
            );
        }
        Some(Cors { origin, credentials })
    }

    fn cookie(&mut self, given: Option<String>) -> Option<Cookie> {
        let name = given?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            self.say("cookie.name", format!("is `{name}`: use letters, digits, `-`, `_` and `.`"));
        }
        Some(Cookie { name })
    }

    fn redis(&mut self, options: RedisOptions) -> Option<Redis> {
        let RedisOptions {
            redis_url,
            redis_url_file,
            redis_prefix,
            redis_adapter,
            redis_max_len,
            redis_read_count,
        } = options;
        let stream = Stream {
            max_len: self.number("redis.maxLen", redis_max_len, 10_000, 1..=1_000_000_000),
            read_count: self.number("redis.readCount", redis_read_count, 100, 1..=100_000),
        };
        let url = match (redis_url, redis_url_file) {
            (Some(_), Some(_)) => {
                self.say("redis.urlFile", "is given besides redis.url: keep one of them");
                None
            }
            (Some(url), None) => Some(url),
            (None, Some(file)) => self.read("redis.urlFile", &file),
            (None, None) => {
                if redis_adapter.is_some() {
                    self.say("redis.adapter", "needs a Redis server: give redis.url or redis.urlFile");
                }
                None
            }
        }?;
        const SCHEMES: [&str; 6] =
            ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];
        if !url.split_once("://").is_some_and(|(scheme, rest)| SCHEMES.contains(&scheme) && !rest.is_empty())
        {
            // The URL itself may hold a password: it is not repeated.
            self.say(
                "redis.url",
                format!("must be SCHEME://HOST:PORT with a scheme of {}", SCHEMES.join(", ")),
            );
        }
        let adapter = redis_adapter.unwrap_or(AdapterName::Streams);
        if adapter != AdapterName::Streams {
            for (key, given) in [("redis.maxLen", redis_max_len), ("redis.readCount", redis_read_count)] {
                if given.is_some() {
                    self.say(key, "is of the adapter streams alone: leave it out, or take that adapter");
                }
            }
        }
        let stream = (adapter == AdapterName::Streams).then_some(stream);
        Some(Redis { url: Secret::new(url), prefix: redis_prefix, adapter, stream })
    }

    fn log(&mut self, options: Logs) -> Log {
        let Logs { log_format, log_level } = options;
        let format = log_format.unwrap_or_else(|| {
            if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
        });
        let level = log_level.unwrap_or_else(|| "info".into());
        if let Err(error) = EnvFilter::try_new(&level) {
            self.say("log.level", format!("is `{level}` ({error}): use error, warn, info, debug or trace"));
        }
        Log { format, level }
    }
}

/// `scheme://host[:port]` and nothing after it.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', ' '])
    })
}

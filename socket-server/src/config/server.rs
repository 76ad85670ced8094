//! The part of the configuration that the engine and Socket.IO are built with.

use super::{Config, Cors, ParserName, TransportName, WhenFullName};
use crate::options::{self, Cookie, EngineOptions, Parser, ServerOptions, WhenFull};

impl Config {
    /// The server's options.
    pub fn server_options(&self) -> ServerOptions {
        ServerOptions {
            engine: EngineOptions {
                path: self.path.clone(),
                polling: self.transports.contains(&TransportName::Polling),
                websocket: self.transports.contains(&TransportName::Websocket),
                allow_upgrades: self.allow_upgrades,
                ping_interval: self.ping_interval,
                ping_timeout: self.ping_timeout,
                upgrade_timeout: self.upgrade_timeout,
                max_http_buffer_size: self.max_http_buffer_size,
                max_connections: self.max_connections as usize,
                when_full: match self.when_full {
                    WhenFullName::Refuse => WhenFull::Refuse,
                    WhenFullName::ConnectError => WhenFull::ConnectError,
                },
                max_queued_bytes: self.max_queued_bytes,
                per_message_deflate: self
                    .per_message_deflate
                    .map(|own| options::PerMessageDeflate { threshold: own.threshold }),
                cors: self.cors.as_ref().map_or(options::Cors::SameOrigin, cors),
                cookie: self
                    .cookie
                    .as_ref()
                    .map(|own| Cookie { name: own.name.clone(), ..Cookie::default() }),
                ..EngineOptions::default()
            },
            connect_timeout: self.connect_timeout,
            parser: match self.parser {
                ParserName::Json => Parser::Json,
                ParserName::MsgPack => Parser::MsgPack,
            },
            ..ServerOptions::default()
        }
    }
}

fn cors(own: &Cors) -> options::Cors {
    if own.origin.iter().any(|origin| origin == "*") {
        options::Cors::Any
    } else {
        options::Cors::Origins { origins: own.origin.clone(), credentials: own.credentials }
    }
}

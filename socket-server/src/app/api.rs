//! The HTTP API of backends: what `@socket.io/redis-emitter` and `io` offer to Node code, for any language.
//!
//! | call | body or query | answer |
//! |---|---|---|
//! | `POST /api/emit` | a [`Target`], `event`, `args`, `volatile` | `{ok}` |
//! | `POST /api/join`, `/api/leave` | a [`Target`] and `into`, `from`: rooms | `{ok}` |
//! | `POST /api/disconnect` | a [`Target`] and `close` | `{ok}` |
//! | `GET /api/sockets` | `namespace`, `room`, `user` | `{sockets: [{id, rooms, data}]}` |
//! | `GET /api/rooms` | `namespace` | `{rooms: {name: members}}` |
//! | `GET /api/users/ID` | `namespace` | `{online, sockets}` |
//!
//! All of it concerns the whole fleet. Calls carry the token of `api.tokenFile`.

mod calls;
mod target;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use target::Target;

use crate::admin::auth::Access;
use crate::answers::{self, Answer, authorization, denied, not_allowed, refused};
use crate::io::Io;

/// Longest body of a call.
const BODY_LIMIT: usize = 1 << 20;

/// The API over a server's namespaces.
pub struct Api {
    io: Io,
    access: Access,
}

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    #[error("{0}")]
    Body(#[from] serde_json::Error),
    #[error("{0}")]
    Call(&'static str),
    #[error("namespace `{0}` is not served here")]
    Namespace(String),
    #[error("{0}")]
    Payload(#[from] crate::packet::PayloadError),
    #[error("{0}")]
    Fleet(#[from] crate::adapter::AdapterError),
}

impl Wrong {
    fn status(&self) -> StatusCode {
        match self {
            Self::Body(_) | Self::Call(_) | Self::Payload(_) => StatusCode::BAD_REQUEST,
            Self::Namespace(_) => StatusCode::NOT_FOUND,
            Self::Fleet(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Api {
    /// Begin of the API's paths.
    pub const PREFIX: &str = "/api/";

    /// The API for holders of the token in a file.
    pub fn new(io: Io, token_file: PathBuf) -> Self {
        Self { io, access: Access::Token(token_file) }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        // The token alone counts: behind a load balancer the peer says nothing.
        let anyone = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if let Err(reason) = self.access.check(anyone, authorization(request.headers())) {
            return denied(reason);
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let path = uri.path().strip_prefix(Self::PREFIX).unwrap_or_default();
        let query = calls::Query::parse(uri.query().unwrap_or_default());
        let done = match (method, path) {
            (Method::POST, "emit" | "join" | "leave" | "disconnect") => {
                let body = match answers::body(request, BODY_LIMIT).await {
                    Ok(body) => body,
                    Err(answer) => return answer,
                };
                self.change(path, &body).await
            }
            (Method::GET, "sockets") => self.sockets(&query).await,
            (Method::GET, "rooms") => self.rooms(&query).await,
            (Method::GET, path) if path.strip_prefix("users/").is_some_and(|user| !user.is_empty()) => {
                self.user(&path["users/".len()..], &query).await
            }
            (_, "emit" | "join" | "leave" | "disconnect") => return not_allowed("POST"),
            (_, "sockets" | "rooms") => return not_allowed("GET"),
            _ => return refused(StatusCode::NOT_FOUND, "no such call"),
        };
        match done {
            Ok(value) => answers::json(StatusCode::OK, &value),
            Err(wrong) => refused(wrong.status(), wrong),
        }
    }

    async fn change(&self, call: &str, body: &[u8]) -> Result<serde_json::Value, Wrong> {
        match call {
            "emit" => self.emit(parse(body)?).await?,
            "join" => self.join(parse(body)?)?,
            "leave" => self.leave(parse(body)?)?,
            _ => self.disconnect(parse(body)?)?,
        }
        Ok(json!({ "ok": true }))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Wrong> {
    Ok(serde_json::from_slice(body)?)
}

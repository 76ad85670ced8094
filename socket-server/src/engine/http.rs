//! The HTTP side: which requests are the engine's, which are refused and how, and what an upgrade becomes.

mod cors;
mod error;
mod stream;
mod websocket_key;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;

use self::error::EngineError;
use self::stream::Stream;
use super::handshake::parse_query;
use super::outbox::{PollingState, Transport};
use super::packet::ParseError;
use super::polling::{Refused, Upgrading};
use super::websocket::WebSocket;
use super::{Conn, Engine, Handshake, Seat, deflate, upgrade};
use crate::adapter::BoxFuture;
use crate::options::Cookie;

/// Answers what is not under the engine's path.
pub type Fallback = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync>;

type Answer = Response<Full<Bytes>>;

/// Largest head of a request: Node's limit.
const MAX_HEAD: usize = 16 * 1024;

/// What a stream becomes after a `101`.
enum Upgrade {
    /// A new connection, and whether its messages may be compressed.
    Open(Seat, Handshake, bool),
    /// The WebSocket of one that polls, likewise.
    Probe(Upgrading, bool),
}

/// Serves requests on a stream; after an upgrade, the WebSocket runs in a task of its own, so that nothing of HTTP
/// is kept for it.
pub(super) async fn serve(engine: Arc<Engine>, stream: TcpStream, peer: SocketAddr, fallback: Fallback) {
    let upgrade = Arc::new(Mutex::new(None));
    let service = {
        let upgrade = Arc::clone(&upgrade);
        let engine = Arc::clone(&engine);
        service_fn(move |request: Request<Incoming>| {
            let (engine, upgrade, fallback) =
                (Arc::clone(&engine), Arc::clone(&upgrade), Arc::clone(&fallback));
            async move {
                let answer = match request.uri().path().starts_with(&engine.options.path) {
                    true => engine.answer(request, peer, &upgrade).await,
                    false => fallback(request).await,
                };
                Ok::<_, std::convert::Infallible>(answer)
            }
        })
    };
    // Whoever needs longer than a heartbeat for one answer could not keep a connection anyway.
    let stream = Stream::new(stream, engine.options.ping_interval + engine.options.ping_timeout);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(engine.options.request_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown()
        .await;
    let Some(upgrade) = upgrade.lock().take() else { return };
    let Ok(parts) = served else { return };
    // Copied: the buffer itself is as large as a request may be, and would live as long as the connection.
    let (stream, read) = (parts.io.into_inner().into_inner(), parts.read_buf.to_vec());
    match upgrade {
        Upgrade::Open(seat, handshake, deflates) => {
            let (reader, writer) = stream.into_split();
            if let Some(conn) = Conn::open(seat, handshake, Transport::WebSocket(writer), deflates) {
                tokio::spawn(WebSocket::new(conn, reader, read));
            }
        }
        Upgrade::Probe(upgrading, deflates) => {
            tokio::spawn(upgrade::run(upgrading, stream, read, deflates));
        }
    }
}

/// The query parameters that the engine reads.
#[derive(Default)]
struct Query<'a> {
    eio: Option<Cow<'a, str>>,
    transport: Option<Cow<'a, str>>,
    sid: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in parse_query(query) {
            match &*name {
                "EIO" => parsed.eio = Some(value),
                "transport" => parsed.transport = Some(value),
                "sid" if !value.is_empty() => parsed.sid = Some(value),
                _ => {}
            }
        }
        parsed
    }
}

impl Engine {
    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        upgrade: &Mutex<Option<Upgrade>>,
    ) -> Answer {
        let cors = cors::headers(&self.options.cors, request.headers());
        let mut answer = if request.method() == Method::OPTIONS {
            cors::preflight(request.headers())
        } else {
            match self.request(request, peer, upgrade).await {
                Ok(answer) => answer,
                Err(error) => {
                    match error {
                        EngineError::Refused(_) => self.stats.refused.inc(),
                        _ => self.stats.bad_requests.inc(),
                    }
                    error.answer()
                }
            }
        };
        answer.headers_mut().extend(cors);
        answer
    }

    /// The checks are Node's, in Node's order: a client that gets one of two errors gets the same one.
    async fn request(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        upgrade: &Mutex<Option<Upgrade>>,
    ) -> Result<Answer, EngineError> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let is_upgrade = request.headers().contains_key(header::UPGRADE);
        let websocket = match query.transport.as_deref() {
            Some("polling") if self.options.polling => false,
            Some("websocket") if self.options.websocket => true,
            _ => return Err(EngineError::UnknownTransport { upgrade: is_upgrade }),
        };
        let revision_4 = query.eio.as_deref() == Some("4");
        let bad_request = EngineError::BadRequest { upgrade: is_upgrade };
        let deflates = self.options.per_message_deflate.is_some() && deflate::is_offered(request.headers());
        if let Some(sid) = &query.sid {
            let conn = self.registry.find(sid).ok_or(EngineError::UnknownSid { upgrade: is_upgrade })?;
            if !revision_4 || (!is_upgrade && websocket) {
                return Err(bad_request);
            }
            return match (websocket && is_upgrade, request.method()) {
                (true, _) => {
                    let answer = websocket_key::accept(request.headers(), deflates).ok_or(bad_request)?;
                    let upgrading = self.options.allow_upgrades.then(|| conn.begin_upgrade()).flatten();
                    *upgrade.lock() = Some(Upgrade::Probe(
                        upgrading.ok_or(EngineError::BadRequest { upgrade: true })?,
                        deflates,
                    ));
                    Ok(answer)
                }
                (false, &Method::GET) => poll(&conn).await,
                (false, &Method::POST) => self.post(&conn, request).await,
                (false, _) => Err(bad_request),
            };
        }
        if request.method() != Method::GET {
            return Err(EngineError::BadHandshakeMethod);
        }
        if websocket != is_upgrade {
            return Err(bad_request);
        }
        if !revision_4 {
            return Err(EngineError::UnsupportedProtocolVersion { upgrade: is_upgrade });
        }
        let accept = match websocket {
            true => Some(websocket_key::accept(request.headers(), deflates).ok_or(bad_request)?),
            false => None,
        };
        let seat = self.seat().map_err(EngineError::Refused)?;
        let handshake = Handshake::new(&request, peer);
        if let Some(answer) = accept {
            *upgrade.lock() = Some(Upgrade::Open(seat, handshake, deflates));
            return Ok(answer);
        }
        let transport = Transport::Polling(PollingState::default());
        let conn = Conn::open(seat, handshake, transport, false).ok_or(EngineError::BadHandshakeMethod)?;
        let mut answer = poll(&conn).await?;
        if let Some(cookie) = &self.options.cookie {
            set_cookie(answer.headers_mut(), cookie, conn.sid());
        }
        Ok(answer)
    }

    async fn post(&self, conn: &Arc<Conn>, request: Request<Incoming>) -> Result<Answer, EngineError> {
        let binary =
            request.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == "application/octet-stream");
        let post = conn.begin_post()?;
        if binary {
            // Dropping the request's guard ends the connection, as in Node.
            return Err(EngineError::BadRequest { upgrade: false });
        }
        let max = self.options.max_http_buffer_size;
        if request.body().size_hint().lower() > max as u64 {
            return Err(EngineError::TooLarge);
        }
        let body = Limited::new(request.into_body(), max).collect();
        let body = match tokio::time::timeout(self.options.request_timeout, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(e)) if e.is::<LengthLimitError>() => return Err(EngineError::TooLarge),
            Ok(Err(_)) | Err(_) => return Err(EngineError::BadRequest { upgrade: false }),
        };
        let payload = ByteString::try_from(body).map_err(|_| EngineError::BadRequest { upgrade: false })?;
        match post.receive(payload) {
            Ok(()) => Ok(answer(StatusCode::OK, "text/html", "ok")),
            Err(ParseError) => Err(EngineError::BadRequest { upgrade: false }),
        }
    }
}

async fn poll(conn: &Arc<Conn>) -> Result<Answer, EngineError> {
    let payload = conn.poll_request().await?;
    Ok(answer(StatusCode::OK, "text/plain; charset=UTF-8", payload))
}

impl From<Refused> for EngineError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Mismatch | Refused::Overlap => Self::BadRequest { upgrade: false },
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn set_cookie(headers: &mut HeaderMap, cookie: &Cookie, sid: &str) {
    let Cookie { name, path, http_only, same_site, secure, max_age } = cookie;
    let mut value = format!("{name}={sid}");
    if let Some(seconds) = max_age {
        value.push_str(&format!("; Max-Age={seconds}"));
    }
    if !path.is_empty() {
        value.push_str(&format!("; Path={path}"));
    }
    if *http_only {
        value.push_str("; HttpOnly");
    }
    if *secure {
        value.push_str("; Secure");
    }
    if !same_site.is_empty() {
        value.push_str(&format!("; SameSite={same_site}"));
    }
    // Options with characters that a header cannot hold are refused where they are read.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(header::SET_COOKIE, value);
    }
}

/// `Retry-After` in whole seconds, at least one.
fn retry_after(after: Duration) -> HeaderValue {
    HeaderValue::from(after.as_secs().max(1))
}

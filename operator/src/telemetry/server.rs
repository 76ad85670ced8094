use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::logs::Level;
use super::metrics::Metrics;

/// Longest body of a request.
const MAX_BODY: usize = 4096;
/// Time within which a request's head must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The operator's own endpoint.
///
/// * `GET /metrics`: OpenMetrics.
/// * `GET /livez`: 200 while the process works.
/// * `GET /readyz`: 200 once the caches are filled, on an operator that stands by too.
/// * `GET /loglevel`, `PUT /loglevel`: what is logged. Only from the pod itself (as through `kubectl port-forward`),
///   because a changed level may say more than others should see, or fill a disk.
#[derive(Clone)]
pub struct Endpoint {
    /// What is to be said.
    pub metrics: Metrics,
    /// Whether the caches are filled.
    pub ready: watch::Receiver<bool>,
    /// What is logged.
    pub level: Level,
}

impl Endpoint {
    /// Serves until the task is aborted.
    pub async fn run(self, listener: TcpListener) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the metrics address");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let endpoint = self.clone();
            tokio::spawn(async move {
                let service =
                    service_fn(|request| async { Ok::<_, Infallible>(endpoint.answer(request, peer).await) });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(%error, %peer, "connection to the metrics address ended");
                }
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/loglevel" if !peer.ip().to_canonical().is_loopback() => {
                text(StatusCode::FORBIDDEN, "the log level is for the pod itself: use kubectl port-forward\n")
            }
            "/loglevel" if *request.method() == Method::PUT => self.set_level(request).await,
            "/loglevel" if !get => not_allowed("GET, PUT"),
            "/metrics" | "/livez" | "/readyz" if !get => not_allowed("GET"),
            "/loglevel" => text(StatusCode::OK, &format!("{}\n", self.level.get())),
            "/metrics" => {
                let mut response = text(StatusCode::OK, &self.metrics.text().await);
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
                response
            }
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" if *self.ready.borrow() => text(StatusCode::OK, "ok\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled\n"),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez, /readyz and /loglevel\n"),
        }
    }

    async fn set_level(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "log directives have at most 4096 bytes\n");
        };
        let directives = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        match self.level.set(&directives) {
            Ok(()) => {
                tracing::info!(level = directives.trim(), "log level changed");
                text(StatusCode::OK, &format!("{}\n", self.level.get()))
            }
            Err(error) => text(StatusCode::BAD_REQUEST, &format!("{error}: send a level such as debug\n")),
        }
    }
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("allowed: {methods}\n"));
    response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static(methods));
    response
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    response
}

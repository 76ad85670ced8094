use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes};
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
/// Any error of a request's body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
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

    async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<BoxError>>,
    {
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

    async fn set_level<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<BoxError>>,
    {
        let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "log directives have at most 4096 bytes\n");
        };
        let directives = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        match self.level.set(&directives) {
            Ok(()) => {
                tracing::info!(level = directives.trim(), "log level changed");
                text(StatusCode::OK, &format!("{}\n", self.level.get()))
            }
            Err(error) => text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs;

    const HERE: &str = "127.0.0.1:5000";
    const ELSEWHERE: &str = "10.0.0.7:5000";

    async fn ask(endpoint: &Endpoint, method: &str, path: &str, body: &str, peer: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let response = endpoint.answer(request, peer.parse().unwrap()).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_level_is_changed_from_the_pod_itself_and_by_nobody_else() {
        let (_filter, level) = logs::filter("info").unwrap();
        let (_ready, ready) = watch::channel(false);
        let endpoint = Endpoint { metrics: Metrics::default(), ready, level };
        let level = ("/loglevel", HERE);
        assert_eq!(ask(&endpoint, "PUT", level.0, "debug\n", level.1).await, (200, "debug\n".into()));
        assert_eq!(ask(&endpoint, "GET", level.0, "", level.1).await, (200, "debug\n".into()));
        let (status, message) = ask(&endpoint, "PUT", level.0, "loud", level.1).await;
        assert!(status == 400 && message.contains("\"loud\" is no level"), "{status} {message}");
        assert_eq!(ask(&endpoint, "PUT", level.0, &"a".repeat(MAX_BODY + 1), level.1).await.0, 413);
        assert_eq!(ask(&endpoint, "DELETE", level.0, "", level.1).await.0, 405);
        for method in ["GET", "PUT"] {
            assert_eq!(ask(&endpoint, method, level.0, "trace", ELSEWHERE).await.0, 403);
        }
        assert_eq!(ask(&endpoint, "GET", level.0, "", "[::ffff:127.0.0.1]:1").await, (200, "debug\n".into()));
    }

    #[tokio::test]
    async fn it_is_ready_once_the_caches_are_filled_and_alive_before() {
        let (_filter, level) = logs::filter("info").unwrap();
        let (filled, ready) = watch::channel(false);
        let endpoint = Endpoint { metrics: Metrics::default(), ready, level };
        let status = async |path: &str| ask(&endpoint, "GET", path, "", ELSEWHERE).await.0;
        assert_eq!((status("/livez").await, status("/readyz").await), (200, 503));
        filled.send_replace(true);
        assert_eq!((status("/readyz").await, status("/metrics").await, status("/").await), (200, 200, 404));
    }
}

//! One question to one server: `GET /health` on its admin port.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use socketfleet_api::contract::{Health, paths};

/// From the first byte sent to the last received.
const TIMEOUT: Duration = Duration::from_secs(1);
/// An answer is some hundred bytes; what is much longer is no answer of ours.
const ANSWER_MAX: usize = 64 << 10;
/// An unused connection is closed after this long: more than the regular interval between two questions to a pod that
/// answers. Thousands of pods are asked less often, and connecting anew is then cheaper than 19 KB for each.
const IDLE: Duration = Duration::from_secs(3);

/// Why a server's count is not known. Short: conditions and logs show it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No whole answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
    /// Neither 200 nor 503.
    #[error("{path} answered {0}", path = paths::HEALTH)]
    Status(StatusCode),
    /// Not the contract's JSON.
    #[error("{path} is not as the pod contract says: {0}", path = paths::HEALTH)]
    Malformed(String),
    /// Longer than any answer of the contract.
    #[error("{path} is longer than {} KiB", ANSWER_MAX >> 10, path = paths::HEALTH)]
    TooLong,
}

/// Asks servers for their health.
pub trait Fetch: Send + Sync + 'static {
    /// Asks the server with this admin endpoint.
    fn health(&self, admin: SocketAddr) -> impl Future<Output = Result<Health, Failure>> + Send;
}

/// Asks over HTTP, with one connection for each pod that is kept between questions while these are frequent.
pub struct HttpFetch {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Default for HttpFetch {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(16 << 10)
            .build(connector);
        Self { client }
    }
}

impl Fetch for HttpFetch {
    async fn health(&self, admin: SocketAddr) -> Result<Health, Failure> {
        tokio::time::timeout(TIMEOUT, self.ask(admin)).await.unwrap_or(Err(Failure::TimedOut))
    }
}

impl HttpFetch {
    async fn ask(&self, admin: SocketAddr) -> Result<Health, Failure> {
        let connection = |text: String| Failure::Connection(text);
        let uri = Uri::builder()
            .scheme("http")
            .authority(admin.to_string())
            .path_and_query(paths::HEALTH)
            .build()
            .map_err(|e| connection(e.to_string()))?;
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|e| connection(e.to_string()))?;
        let response = self.client.request(request).await.map_err(|e| connection(root_cause(&e)))?;
        // A server that drains answers 503, for load balancers.
        if !matches!(response.status(), StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) {
            return Err(Failure::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() { Failure::TooLong } else { connection(root_cause(&*e)) }
        })?;
        serde_json::from_slice(&body.to_bytes()).map_err(|e| Failure::Malformed(e.to_string()))
    }
}

/// The innermost error says what happened (`Connection refused`); those around it say only where.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    // "Connection refused (os error 111)": the number tells people nothing.
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

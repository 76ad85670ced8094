//! Calls to the admin port of a pod's server.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use socketfleet_api::contract::{DrainReport, DrainRequest, paths};

/// Time for a call, connection and answer included.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer at most; a report has a few hundred.
const LARGEST_ANSWER: usize = 16 * 1024;

/// A client of admin ports.
pub(super) struct AdminClient {
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection.
    #[error("cannot be reached: {0}")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// The connection broke before the answer was there.
    #[error("the connection broke: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// An answer that says no.
    #[error("answered {0}")]
    Refused(StatusCode),
    /// An answer that is not a report.
    #[error("answered something else than a drain report: {0}")]
    Unreadable(#[source] serde_json::Error),
}

impl CallError {
    /// Whether the server may have done what it was told.
    pub(super) fn may_have_arrived(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Refused(_) => false,
            Self::Broken(_) | Self::Timeout | Self::Unreadable(_) => true,
        }
    }
}

impl AdminClient {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        // A call to a pod is rare: idle connections would only be found closed.
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { http }
    }

    /// `POST /drain`.
    pub(super) async fn drain(
        &self,
        server: SocketAddr,
        token: &str,
        request: &DrainRequest,
    ) -> Result<DrainReport, CallError> {
        let body = serde_json::to_vec(request).map_err(CallError::Unreadable)?;
        self.call(Method::POST, server, token, body.into()).await
    }

    /// `DELETE /drain`.
    pub(super) async fn take_back(&self, server: SocketAddr, token: &str) -> Result<DrainReport, CallError> {
        self.call(Method::DELETE, server, token, Bytes::new()).await
    }

    async fn call(
        &self,
        method: Method,
        server: SocketAddr,
        token: &str,
        body: Bytes,
    ) -> Result<DrainReport, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{server}{}", paths::DRAIN))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| CallError::Broken(error.into()))?;
        let answer = async {
            let response = self.http.request(request).await.map_err(|error| {
                if error.is_connect() {
                    CallError::Unreachable(error)
                } else {
                    CallError::Broken(error.into())
                }
            })?;
            if !response.status().is_success() {
                return Err(CallError::Refused(response.status()));
            }
            let body = Limited::new(response.into_body(), LARGEST_ANSWER);
            let body = body.collect().await.map_err(CallError::Broken)?.to_bytes();
            serde_json::from_slice(&body).map_err(CallError::Unreadable)
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(CallError::Timeout))
    }
}

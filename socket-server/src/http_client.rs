//! HTTP to other services: webhooks and key sets.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longest answer that is read.
const ANSWER_LIMIT: usize = 1 << 20;
/// For a whole GET.
const GET_TIMEOUT: Duration = Duration::from_secs(10);

/// Shares its connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The trusted certificates cannot be read.
    #[error("no certificates of authorities were found: {0}")]
    Certificates(std::io::Error),
    /// Not a request that can be sent.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(#[from] hyper_util::client::legacy::Error),
    /// The answer was too long or broke off.
    #[error("{0}")]
    Body(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// Not in time.
    #[error("no answer in time")]
    Timeout,
    /// Another status than 2xx.
    #[error("the answer was {0}")]
    Status(StatusCode),
}

impl HttpClient {
    /// One that trusts the system's authorities.
    ///
    /// # Errors
    /// [`HttpError::Certificates`].
    pub fn new() -> Result<Self, HttpError> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(HttpError::Certificates)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// The body behind a URL.
    ///
    /// # Errors
    /// [`HttpError`], also for any status but 2xx.
    pub async fn get(&self, url: &str) -> Result<Bytes, HttpError> {
        let request = Request::builder().method(Method::GET).uri(url).body(Full::default())?;
        self.send(request, GET_TIMEOUT).await
    }

    /// Sends a request and reads the answer, all within `timeout`.
    ///
    /// # Errors
    /// [`HttpError`], also for any status but 2xx.
    pub async fn send(&self, request: Request<Full<Bytes>>, timeout: Duration) -> Result<Bytes, HttpError> {
        let answer = async {
            let answer = self.0.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await?.to_bytes();
            if status.is_success() { Ok(body) } else { Err(HttpError::Status(status)) }
        };
        tokio::time::timeout(timeout, answer).await.map_err(|_| HttpError::Timeout)?
    }
}

/// Whether a text is an `http` or `https` URL that can be asked.
pub fn is_url(text: &str) -> bool {
    text.parse::<Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some())
}

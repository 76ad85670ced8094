//! What the admin port answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use serde::Serialize;
use socketfleet_api::contract::{DrainRequest, HealthStatus, paths};

use super::auth::{Access, Denied};
use crate::adapter::BoxFuture;
use crate::drain::Refusal;
use crate::pod::Pod;

/// More than any drain request needs.
const BODY_LIMIT: usize = 16 * 1024;
/// For the body of a request to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// The admin port's routes over one server.
pub struct Routes {
    /// The server.
    pub pod: Arc<Pod>,
    /// Who may change things.
    pub access: Access,
    /// What `/metrics` tells.
    pub metrics: Registry,
}

#[derive(Serialize)]
struct Refused {
    error: String,
}

impl Routes {
    /// Answers one request from `peer`.
    pub async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path());
        match (method, path) {
            (Method::GET | Method::HEAD, paths::LIVEZ) => text(StatusCode::OK, "ok\n"),
            (Method::GET | Method::HEAD, paths::READYZ) => self.ready(),
            (Method::GET | Method::HEAD, paths::HEALTH) => health(&self.pod),
            (Method::GET | Method::HEAD, paths::METRICS) => self.metrics(),
            (Method::GET | Method::HEAD, paths::DRAIN) => json(StatusCode::OK, &self.pod.drain_report()),
            (Method::POST, paths::DRAIN) => self.changing(request, peer, Self::drain).await,
            (Method::DELETE, paths::DRAIN) => self.changing(request, peer, Self::undrain).await,
            (_, paths::DRAIN) => not_allowed("GET, HEAD, POST, DELETE"),
            (_, paths::LIVEZ | paths::READYZ | paths::HEALTH | paths::METRICS) => not_allowed("GET, HEAD"),
            _ => refused(StatusCode::NOT_FOUND, "no such path"),
        }
    }

    fn ready(&self) -> Answer {
        if self.pod.is_ready() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "drained\n")
        }
    }

    fn metrics(&self) -> Answer {
        let mut body = String::new();
        match prometheus_client::encoding::text::encode(&mut body, &self.metrics) {
            Ok(()) => answer(StatusCode::OK, OPEN_METRICS, body),
            Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }

    /// Carries out a call that changes something, if its caller may.
    async fn changing(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        call: fn(&Self, &[u8]) -> Answer,
    ) -> Answer {
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Err(denied) = self.access.check(peer, authorization) {
            tracing::warn!(%peer, %denied, "a changing call to the admin port was refused");
            return match denied {
                Denied::Token => {
                    let mut answer = refused(StatusCode::UNAUTHORIZED, denied);
                    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                    answer
                }
                Denied::Remote => refused(StatusCode::FORBIDDEN, denied),
                Denied::Unreadable => refused(StatusCode::SERVICE_UNAVAILABLE, denied),
            };
        }
        let body = Limited::new(request.into_body(), BODY_LIMIT).collect();
        match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => call(self, &body.to_bytes()),
            Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, error),
            Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        }
    }

    fn drain(&self, body: &[u8]) -> Answer {
        let request: DrainRequest = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => {
                let form = r#"send {"deadline": UNIX_MILLISECONDS, "reconnectsPerSecond": NUMBER, "reason": REASON}"#;
                return refused(StatusCode::BAD_REQUEST, format!("{error}: {form}"));
            }
        };
        match self.pod.drain(&request) {
            Ok(report) => json(StatusCode::OK, &report),
            Err(error @ Refusal::Rate(_)) => refused(StatusCode::BAD_REQUEST, error),
            Err(error @ Refusal::Ending(_)) => refused(StatusCode::CONFLICT, error),
        }
    }

    fn undrain(&self, _body: &[u8]) -> Answer {
        match self.pod.cancel_drain() {
            Ok(report) => json(StatusCode::OK, &report),
            Err(error) => refused(StatusCode::CONFLICT, error),
        }
    }
}

/// What the socket port answers outside of Socket.IO's path: load balancers look for `/health` there. There is no
/// pod yet for the moment before the server is put together.
pub fn socket_port(pod: Option<Arc<Pod>>, request: Request<Incoming>) -> BoxFuture<'static, Answer> {
    let answer = match (pod, request.method(), request.uri().path()) {
        (Some(pod), &Method::GET | &Method::HEAD, paths::HEALTH) => health(&pod),
        (_, _, paths::HEALTH) => not_allowed("GET, HEAD"),
        _ => refused(StatusCode::NOT_FOUND, "no such path"),
    };
    Box::pin(std::future::ready(answer))
}

fn health(pod: &Pod) -> Answer {
    let health = pod.health();
    let status = match health.status {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &health)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => answer(status, "application/json", body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn refused(status: StatusCode, error: impl ToString) -> Answer {
    json(status, &Refused { error: error.to_string() })
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

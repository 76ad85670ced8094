//! What the admin port answers.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use socketfleet_api::contract::{DrainRequest, HealthStatus, paths};

use super::auth::Access;
use crate::answers::{Answer, answer, authorization, body, denied, json, not_allowed, refused, text};
use crate::drain::Refusal;
use crate::pod::Pod;

/// More than any drain request needs.
const BODY_LIMIT: usize = 16 * 1024;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin port's routes over one server.
pub struct Routes {
    /// The server.
    pub pod: Arc<Pod>,
    /// Who may change things.
    pub access: Access,
    /// What `/metrics` tells.
    pub metrics: Registry,
}

impl Routes {
    /// Answers one request from `peer`.
    pub(super) async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
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
        if let Err(reason) = self.access.check(peer, authorization(request.headers())) {
            tracing::warn!(%peer, %reason, "a changing call to the admin port was refused");
            return denied(reason);
        }
        match body(request, BODY_LIMIT).await {
            Ok(body) => call(self, &body),
            Err(answer) => answer,
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

/// `/health`: 503 while draining, so that load balancers look elsewhere.
pub(crate) fn health(pod: &Pod) -> Answer {
    let health = pod.health();
    let status = match health.status {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &health)
}

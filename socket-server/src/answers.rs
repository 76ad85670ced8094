//! Answers over HTTP, as the admin port and the API of backends give them.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use crate::admin::auth::Denied;

/// For the body of a request to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(crate) fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => answer(status, "application/json", body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// `{error}`.
pub(crate) fn refused(status: StatusCode, error: impl ToString) -> Answer {
    #[derive(Serialize)]
    struct Refused {
        error: String,
    }
    json(status, &Refused { error: error.to_string() })
}

pub(crate) fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

pub(crate) fn denied(denied: Denied) -> Answer {
    match denied {
        Denied::Token => {
            let mut answer = refused(StatusCode::UNAUTHORIZED, denied);
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Denied::Remote => refused(StatusCode::FORBIDDEN, denied),
        Denied::Unreadable => refused(StatusCode::SERVICE_UNAVAILABLE, denied),
    }
}

/// The value of the `Authorization` header.
pub(crate) fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

/// The body of a request, whole, in time and not longer than `limit`.
pub(crate) async fn body(request: Request<Incoming>, limit: usize) -> Result<Bytes, Answer> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(refused(StatusCode::BAD_REQUEST, error)),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

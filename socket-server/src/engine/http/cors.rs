//! CORS as the `cors` package answers it for Node's servers.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::Answer;
use crate::options::Cors;

/// The headers that each answer to this request carries.
pub(super) fn headers(cors: &Cors, request: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match cors {
        Cors::SameOrigin => {}
        Cors::Any => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Cors::Origins { origins, credentials } => {
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) = request.get(header::ORIGIN).filter(|o| origins.iter().any(|own| *o == own))
            {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if *credentials {
                    headers
                        .insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
        }
    }
    headers
}

/// The answer to a preflight; the origin's headers are added to it as to any other.
pub(super) fn preflight(request: &HeaderMap) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
    if let Some(asked) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    answer
}

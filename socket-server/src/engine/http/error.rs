//! The engine's errors as Node words them: the code is a number, a refused upgrade is told in plain text.

use http::{StatusCode, header};

use super::super::Refusal;
use super::{Answer, answer, retry_after};

/// Why a request is not served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EngineError {
    UnknownTransport {
        upgrade: bool,
    },
    UnknownSid {
        upgrade: bool,
    },
    BadHandshakeMethod,
    BadRequest {
        upgrade: bool,
    },
    UnsupportedProtocolVersion {
        upgrade: bool,
    },
    /// No place, or none now.
    Refused(Refusal),
    /// The request is larger than a message may be.
    TooLarge,
}

impl EngineError {
    pub fn answer(&self) -> Answer {
        let (code, message, upgrade) = match self {
            Self::UnknownTransport { upgrade } => (0, "Transport unknown", *upgrade),
            Self::UnknownSid { upgrade } => (1, "Session ID unknown", *upgrade),
            Self::BadHandshakeMethod => (2, "Bad handshake method", false),
            Self::BadRequest { upgrade } => (3, "Bad request", *upgrade),
            Self::UnsupportedProtocolVersion { upgrade } => (5, "Unsupported protocol version", *upgrade),
            Self::Refused(refusal) => return refused(refusal),
            Self::TooLarge => return close(answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "")),
        };
        match upgrade {
            true => close(answer(StatusCode::BAD_REQUEST, "text/html", message)),
            false => json(StatusCode::BAD_REQUEST, code, message),
        }
    }
}

fn json(status: StatusCode, code: u8, message: &str) -> Answer {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    answer(status, "application/json", body)
}

fn close(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    answer
}

/// 4 is Node's code for what a server does not allow.
fn refused(refusal: &Refusal) -> Answer {
    let mut answer = close(json(StatusCode::SERVICE_UNAVAILABLE, 4, refusal.message));
    answer.headers_mut().insert(header::RETRY_AFTER, retry_after(refusal.retry_after));
    answer
}

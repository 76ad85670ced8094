//! What the socket port answers outside of Socket.IO's path: `/health` for load balancers, and the API of backends.

use std::sync::{Arc, OnceLock};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use socketfleet_api::contract::paths;

use crate::admin::health;
use crate::answers::{Answer, not_allowed, refused};
use crate::app::Api;
use crate::pod::Pod;
use crate::server::Fallback;

/// The answers of a server that is still being put together: it needs them before it is there itself.
#[derive(Clone, Default)]
pub struct SocketPort(Arc<OnceLock<(Arc<Pod>, Option<Api>)>>);

impl SocketPort {
    /// For the server's builder.
    pub fn fallback(&self) -> Fallback {
        let port = self.clone();
        Arc::new(move |request| {
            let port = port.clone();
            Box::pin(async move { port.answer(request).await })
        })
    }

    /// Says what there is to ask. The first call counts.
    pub fn open(&self, pod: Arc<Pod>, api: Option<Api>) {
        let _ = self.0.set((pod, api));
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let Some((pod, api)) = self.0.get() else {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "not yet");
        };
        match (request.uri().path(), api) {
            (paths::HEALTH, _) => match *request.method() {
                Method::GET | Method::HEAD => health(pod),
                _ => not_allowed("GET, HEAD"),
            },
            (path, Some(api)) if path.starts_with(Api::PREFIX) => api.answer(request).await,
            _ => refused(StatusCode::NOT_FOUND, "no such path"),
        }
    }
}

//! Posts, and posts again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::Full;
use ring::hmac;
use tokio::sync::{Semaphore, mpsc};

use crate::config::Webhook as Config;
use crate::http_client::{HttpClient, HttpError};

/// Posts that are under way at once.
const AT_ONCE: usize = 16;
/// Before the second attempt; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Posts to one URL.
pub(super) struct Poster {
    client: HttpClient,
    url: String,
    key: Option<hmac::Key>,
    timeout: Duration,
    retries: u32,
}

impl Poster {
    pub(super) fn new(config: &Config, client: HttpClient) -> Self {
        let Config { url, events: _, secret_file: _, secret, timeout, retries } = config;
        let key = secret.as_ref().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()));
        Self { client, url: url.clone(), key, timeout: *timeout, retries: *retries }
    }

    /// Posts what comes until nobody sends any more.
    pub(super) async fn run(self, mut posts: mpsc::Receiver<Vec<u8>>) {
        let (poster, places) = (Arc::new(self), Arc::new(Semaphore::new(AT_ONCE)));
        while let Some(body) = posts.recv().await {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let poster = poster.clone();
            tokio::spawn(async move {
                poster.deliver(body.into()).await;
                drop(place);
            });
        }
    }

    async fn deliver(&self, body: Bytes) {
        let mut pause = FIRST_PAUSE;
        for attempt in 0..=self.retries {
            match self.post(body.clone()).await {
                Ok(()) => return,
                Err(error) if attempt == self.retries || !is_worth_another(&error) => {
                    tracing::warn!(%error, attempts = attempt + 1, "the webhook was not delivered");
                    return;
                }
                Err(error) => tracing::debug!(%error, "the webhook is tried again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), HttpError> {
        let mut request = Request::post(&self.url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            let tag = hmac::sign(key, &body);
            let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            request = request.header("x-socketfleet-signature", format!("sha256={digits}"));
        }
        self.client.send(request.body(Full::new(body))?, self.timeout).await.map(drop)
    }
}

/// Whether it may go better the next time: not when the other side has understood and refused.
fn is_worth_another(error: &HttpError) -> bool {
    match error {
        HttpError::Status(status) => {
            status.is_server_error()
                || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        }
        HttpError::Connection(_) | HttpError::Body(_) | HttpError::Timeout => true,
        HttpError::Certificates(_) | HttpError::Request(_) => false,
    }
}

//! Reads the keys, and reads them again where they may change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::keys::{KeySet, Keys};
use crate::config::Secret;
use crate::http_client::HttpClient;

/// Between two reads of a JWKS that could be read …
const REFRESH: Duration = Duration::from_secs(300);
/// … and of one that could not.
const RETRY: Duration = Duration::from_secs(5);

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// HS256 with this shared secret.
    Secret(Secret),
    /// RS256 with this public key, PEM.
    PublicKey(String),
    /// A JWKS that may change.
    Set(SetSource),
}

/// Where a JWKS is.
#[derive(Clone, Debug)]
pub enum SetSource {
    /// In a file.
    File(PathBuf),
    /// Behind an `http` or `https` URL.
    Url(String),
}

impl SetSource {
    async fn read(&self, client: &HttpClient) -> Result<Bytes, String> {
        match self {
            Self::File(file) => std::fs::read(file).map(Bytes::from).map_err(|error| error.to_string()),
            Self::Url(url) => client.get(url).await.map_err(|error| error.to_string()),
        }
    }
}

/// The keys of a source. A JWKS is kept fresh by a task of the runtime; until it was read first, no token is
/// accepted.
///
/// # Errors
/// When the public key is none.
pub fn open(source: &KeySource, client: &HttpClient) -> Result<Keys, jsonwebtoken::errors::Error> {
    match source {
        KeySource::Secret(secret) => {
            let key = DecodingKey::from_secret(secret.reveal().as_bytes());
            Ok(Keys::One(Box::new(key), Algorithm::HS256))
        }
        KeySource::PublicKey(pem) => {
            Ok(Keys::One(Box::new(DecodingKey::from_rsa_pem(pem.as_bytes())?), Algorithm::RS256))
        }
        KeySource::Set(source) => {
            let set = Arc::new(KeySet::default());
            tokio::spawn(keep_fresh(source.clone(), client.clone(), set.clone()));
            Ok(Keys::Set(set))
        }
    }
}

async fn keep_fresh(source: SetSource, client: HttpClient, set: Arc<KeySet>) {
    loop {
        let document = source.read(&client).await;
        let read = document.and_then(|text| set.replace(&text).map_err(|error| error.to_string()));
        let pause = match read {
            Ok(keys) => {
                tracing::debug!(keys, "the JWKS was read");
                REFRESH
            }
            Err(error) => {
                tracing::warn!(error, ?source, "the JWKS cannot be read: the keys stay as they were");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

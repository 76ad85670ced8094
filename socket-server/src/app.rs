//! What the program serves without code of yours.

mod api;
mod auth;
mod echo;
mod limits;
mod presence;
mod reply;
mod room_name;
mod rooms;
mod shard;
mod webhook;

use std::sync::Arc;

pub use api::{Api, Target};
pub use auth::{Claims, Grants, Permission};
use auth::{KeySource, SetSource};
use room_name::USER_PREFIX;
pub use shard::Shard;

use crate::adapter::redis::{Redis, RedisError, RedisObserver};
use crate::config::{AppName, Config, Jwt, KeyFiles, Secret};
use crate::http_client::{HttpClient, HttpError};
use crate::io::{Io, Namespace};

/// Why the application cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The client of webhooks and key sets.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The URL is none.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The file has changed since the configuration was checked, or is no key.
    #[error("jwt: the key cannot be used: {0}")]
    Key(String),
}

/// Sets the configured application up. Must be called inside of a tokio runtime.
///
/// # Errors
/// [`AppError`].
pub fn start(
    io: &Io,
    config: &Config,
    observer: Option<Arc<dyn RedisObserver>>,
) -> Result<Option<Api>, AppError> {
    let namespaces: Vec<Namespace> = match config.app {
        AppName::Rooms => config.namespaces.iter().map(|name| io.of(name)).collect(),
        AppName::Echo => echo::NAMESPACES.iter().map(|name| io.of(name)).collect(),
    };
    let client = match (&config.jwt, &config.webhook) {
        (None, None) => None,
        _ => Some(HttpClient::new()?),
    };
    let verifier = match (&config.jwt, &client) {
        (Some(jwt), Some(client)) => Some(Arc::new(verifier(jwt, client)?)),
        _ => None,
    };
    let webhook = match (&config.webhook, client) {
        (Some(webhook), Some(client)) => Some(webhook::Webhook::start(webhook, &config.instance_id, client)),
        _ => None,
    };
    // Without tokens nobody is known by name.
    let presence = match (&config.redis, &verifier, observer) {
        (Some(redis), Some(_), Some(observer)) => {
            let redis = Redis::connect(redis.url.reveal(), observer)?;
            Some(presence::Presence::start(redis, &config.instance_id))
        }
        _ => None,
    };
    for namespace in &namespaces {
        // In this order: a client learns first that it may not, then that it is elsewhere, then that it is early.
        if let Some(verifier) = &verifier {
            auth::require(namespace, verifier.clone());
        }
        if let Some(shard) = config.shard {
            shard::require(namespace, shard);
        }
        limits::enforce(namespace, config.limit);
        if let Some(webhook) = &webhook {
            webhook.attach(namespace);
        }
        if let Some(presence) = &presence {
            presence.attach(namespace);
        }
        match config.app {
            AppName::Rooms => rooms::rooms(namespace),
            AppName::Echo => echo::echo(namespace),
        }
    }
    Ok(config.api.as_ref().map(|api| Api::new(io.clone(), api.token_file.clone())))
}

fn verifier(jwt: &Jwt, client: &HttpClient) -> Result<auth::Verifier, AppError> {
    let Jwt { keys, issuer, audience } = jwt;
    let read = |file| std::fs::read_to_string(file).map_err(|error| AppError::Key(error.to_string()));
    let source = match keys {
        KeyFiles::SecretFile(file) => KeySource::Secret(Secret::new(read(file)?.trim())),
        KeyFiles::PublicKeyFile(file) => KeySource::PublicKey(read(file)?),
        KeyFiles::JwksFile(file) => KeySource::Set(SetSource::File(file.clone())),
        KeyFiles::JwksUrl(url) => KeySource::Set(SetSource::Url(url.clone())),
    };
    let keys = auth::open(&source, client).map_err(|error| AppError::Key(error.to_string()))?;
    Ok(auth::Verifier::new(keys, issuer.clone(), audience.clone()))
}

//! The part of the configuration that concerns the application.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::check::Problems;
use super::options::{Limits as LimitOptions, Tokens, Webhook as WebhookOptions};
use super::{Secret, millis};
use crate::app::Shard;
use crate::http_client::is_url;

/// The HTTP API of backends.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// File with the bearer token.
    pub token_file: PathBuf,
}

/// Whose tokens are accepted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Where the keys are.
    #[serde(flatten)]
    pub keys: KeyFiles,
    /// Issuer that tokens must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Audience that tokens must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Where the keys of tokens are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyFiles {
    /// HS256: a file with the shared secret.
    SecretFile(PathBuf),
    /// RS256: a file with the public key.
    PublicKeyFile(PathBuf),
    /// A file with a JWKS.
    JwksFile(PathBuf),
    /// A JWKS to fetch.
    JwksUrl(String),
}

/// What clients may ask for; `None` is anything.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Events a second of one socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// Rooms a minute that one socket joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins_per_minute: Option<f64>,
    /// Sockets a second of all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connects_per_second: Option<f64>,
}

/// Who is told what happens.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where it is posted to.
    pub url: String,
    /// What is posted.
    pub events: Vec<String>,
    /// File with the secret that posts are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// That secret.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// For the answer.
    #[serde(serialize_with = "millis")]
    pub timeout: Duration,
    /// Further attempts.
    pub retries: u32,
}

impl Problems {
    pub(super) fn namespaces(&mut self, given: Option<Vec<String>>) -> Vec<String> {
        let names = given.unwrap_or_else(|| vec!["/".into()]);
        if names.is_empty() {
            self.say("namespaces", "is empty: name at least one, such as /");
        }
        for name in names.iter().filter(|name| !name.starts_with('/')) {
            self.say("namespaces", format!("has `{name}`: a namespace begins with a slash"));
        }
        names
    }

    pub(super) fn shard(&mut self, index: Option<u32>, count: Option<u32>) -> Option<Shard> {
        match (index, count) {
            (None, None) => None,
            (Some(index), Some(count)) if index < count => Some(Shard { index, count }),
            (Some(index), Some(count)) => {
                self.say(
                    "shard.index",
                    format!("is {index} of {count} shards: count from 0 to shard.count - 1"),
                );
                None
            }
            (Some(_), None) => {
                self.say("shard.index", "needs shard.count: say how many shards there are");
                None
            }
            (None, Some(_)) => {
                self.say("shard.count", "needs shard.index: say which shard this is, from 0");
                None
            }
        }
    }

    pub(super) fn api(&mut self, token_file: Option<PathBuf>) -> Option<Api> {
        let token_file = token_file?;
        self.read("api.tokenFile", &token_file);
        Some(Api { token_file })
    }

    pub(super) fn jwt(&mut self, options: Tokens) -> Option<Jwt> {
        let Tokens {
            jwt_secret_file,
            jwt_public_key_file,
            jwt_jwks_file,
            jwt_jwks_url,
            jwt_issuer: issuer,
            jwt_audience: audience,
        } = options;
        for (key, file) in [
            ("jwt.secretFile", &jwt_secret_file),
            ("jwt.publicKeyFile", &jwt_public_key_file),
            ("jwt.jwksFile", &jwt_jwks_file),
        ] {
            if let Some(file) = file {
                self.read(key, file);
            }
        }
        if jwt_jwks_url.as_deref().is_some_and(|url| !is_url(url)) {
            self.say("jwt.jwksUrl", "must be an http or https URL");
        }
        let mut given = [
            jwt_secret_file.map(KeyFiles::SecretFile),
            jwt_public_key_file.map(KeyFiles::PublicKeyFile),
            jwt_jwks_file.map(KeyFiles::JwksFile),
            jwt_jwks_url.map(KeyFiles::JwksUrl),
        ]
        .into_iter()
        .flatten();
        let keys = given.next();
        if given.next().is_some() {
            self.say(
                "jwt",
                "has keys from several places: keep one of secretFile, publicKeyFile, jwksFile and jwksUrl",
            );
        }
        if keys.is_none() && (issuer.is_some() || audience.is_some()) {
            self.say(
                "jwt.issuer and jwt.audience",
                "need keys: give jwt.secretFile, publicKeyFile, jwksFile or jwksUrl",
            );
        }
        keys.map(|keys| Jwt { keys, issuer, audience })
    }

    pub(super) fn limits(&mut self, options: LimitOptions) -> Limits {
        let LimitOptions { limit_events_per_second, limit_joins_per_minute, limit_connects_per_second } =
            options;
        for (key, rate) in [
            ("limit.eventsPerSecond", limit_events_per_second),
            ("limit.joinsPerMinute", limit_joins_per_minute),
            ("limit.connectsPerSecond", limit_connects_per_second),
        ] {
            if rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e9)) {
                self.say(key, "must be a number above 0; leave it out for no limit");
            }
        }
        Limits {
            events_per_second: limit_events_per_second,
            joins_per_minute: limit_joins_per_minute,
            connects_per_second: limit_connects_per_second,
        }
    }

    pub(super) fn webhook(&mut self, options: WebhookOptions) -> Option<Webhook> {
        let WebhookOptions {
            webhook_url,
            webhook_events,
            webhook_secret_file,
            webhook_timeout,
            webhook_retries,
        } = options;
        let Some(url) = webhook_url else {
            if webhook_events.is_some() || webhook_secret_file.is_some() {
                self.say("webhook.url", "is missing: say where the events are to be posted");
            }
            return None;
        };
        if !is_url(&url) {
            self.say("webhook.url", "must be an http or https URL");
        }
        let secret = webhook_secret_file.as_ref().and_then(|file| self.read("webhook.secretFile", file));
        Some(Webhook {
            url,
            events: webhook_events.unwrap_or_else(|| vec!["connect".into(), "disconnect".into()]),
            secret_file: webhook_secret_file,
            secret: secret.map(Secret::new),
            timeout: self.millis("webhook.timeout", webhook_timeout, 5_000, 1),
            retries: self.number("webhook.retries", webhook_retries.map(u64::from), 3, 0..=20) as u32,
        })
    }
}

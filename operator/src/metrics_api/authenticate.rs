//! Who asks.
//!
//! The API server's front proxy shows its client certificate and names the user in headers. Everybody else
//! shows a bearer token, which the API server reviews. Headers of those who are not the front proxy count
//! for nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::front_proxy::FrontProxy;
use super::status::Refusal;

/// How long the review of a token holds, as in Kubernetes' own servers.
const REVIEW_HOLDS: Duration = Duration::from_secs(10);
/// Reviews that are remembered.
const REVIEWS_MAX: usize = 1_024;
/// Longer is no token.
const TOKEN_MAX: usize = 16 << 10;

/// The client's certificate chain, empty where it has shown none.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates(pub Arc<[CertificateDer<'static>]>);

/// A user, as authorization wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name.
    pub name: String,
    /// UID, where there is one.
    pub uid: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Further facts.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a request says about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The front proxy vouches for this user.
    Vouched(User),
    /// A token, yet to be reviewed.
    Token(String),
}

/// Reads the claim of a request.
pub fn claim(
    headers: &HeaderMap,
    peer: &PeerCertificates,
    front_proxy: Option<&FrontProxy>,
) -> Result<Claim, Refusal> {
    if let Some(proxy) = front_proxy.filter(|proxy| proxy.is(&peer.0)) {
        return vouched(headers, proxy).map(Claim::Vouched).ok_or_else(|| {
            Refusal::Unauthorized("the front proxy's request names no user in its headers".into())
        });
    }
    let token = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
        let (scheme, token) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() && token.len() <= TOKEN_MAX => Ok(Claim::Token(token.to_owned())),
        _ => Err(Refusal::Unauthorized(
            "ask through the Kubernetes API server (kubectl get --raw), or send a bearer token".into(),
        )),
    }
}

fn vouched(headers: &HeaderMap, proxy: &FrontProxy) -> Option<User> {
    let texts = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values.filter_map(|v| v.to_str().ok()).filter(|v| !v.is_empty()).map(str::to_owned).collect()
    };
    let first = |names: &[String]| names.iter().find_map(|name| texts(name).into_iter().next());
    let name = first(&proxy.username_headers)?;
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in headers.keys().map(HeaderName::as_str) {
        if let Some(fact) = proxy.extra_prefixes.iter().find_map(|prefix| key.strip_prefix(prefix.as_str())) {
            let fact = percent_encoding::percent_decode_str(fact).decode_utf8_lossy().into_owned();
            extra.entry(fact).or_default().extend(texts(key));
        }
    }
    Some(User {
        name,
        uid: first(&proxy.uid_headers),
        groups: proxy.group_headers.iter().flat_map(|name| texts(name)).collect(),
        extra,
    })
}

/// Has tokens reviewed by the API server.
pub struct Tokens {
    client: Client,
    /// By hash: tokens themselves are not kept.
    reviewed: Mutex<HashMap<[u8; 32], Review>>,
}

/// What became of a token: its user, or none for a bad one, and when that was said.
type Review = (Option<User>, Instant);

impl Tokens {
    /// Asks this API server.
    pub fn new(client: Client) -> Self {
        Self { client, reviewed: Mutex::default() }
    }

    /// The token's user.
    pub async fn user(&self, token: String) -> Result<User, Refusal> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.reviewed.lock().get(&hash).cloned();
        let user = match known {
            Some((user, at)) if at.elapsed() < REVIEW_HOLDS => user,
            _ => {
                let user = self.review(token).await?;
                let mut reviewed = self.reviewed.lock();
                if reviewed.len() >= REVIEWS_MAX {
                    reviewed.clear();
                }
                reviewed.insert(hash, (user.clone(), Instant::now()));
                user
            }
        };
        user.ok_or_else(|| Refusal::Unauthorized("the API server does not accept this token".into()))
    }

    async fn review(&self, token: String) -> Result<Option<User>, Refusal> {
        let spec = TokenReviewSpec { token: Some(token), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = Api::<TokenReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|e| Refusal::Unavailable(format!("cannot have the token reviewed: {e}")))?;
        let status = answer.status.filter(|s| s.authenticated == Some(true));
        Ok(status.and_then(|s| s.user).map(|user| User {
            name: user.username.unwrap_or_default(),
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }))
    }
}

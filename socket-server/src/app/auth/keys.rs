//! The keys that tokens are signed with.

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::RwLock;

use super::claims::Claims;

/// Clocks may differ so much.
const LEEWAY_SECONDS: u64 = 10;

/// Checks tokens.
pub struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
}

/// Where keys come from.
pub enum Keys {
    /// One key and the one algorithm that goes with it, whatever a token's header says.
    One(Box<DecodingKey>, Algorithm),
    /// A set of public keys that may change.
    Set(Arc<KeySet>),
}

/// A JWKS, as it was last read.
#[derive(Default)]
pub struct KeySet(RwLock<Option<Arc<JwkSet>>>);

/// Why a token is not accepted, as its holder is told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// None was sent.
    #[error("a token is required: connect with auth {{token}}")]
    Missing,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Anything else; details would help those who guess.
    #[error("the token is not valid")]
    Other,
    /// Not the token's fault.
    #[error("the keys to check tokens with are not there yet")]
    NoKeys,
}

impl KeySet {
    /// Replaces the keys with those of a JWKS document.
    ///
    /// # Errors
    /// When it is none; the keys stay as they were.
    pub fn replace(&self, document: &[u8]) -> Result<usize, serde_json::Error> {
        let set: JwkSet = serde_json::from_slice(document)?;
        let count = set.keys.len();
        *self.0.write() = Some(Arc::new(set));
        Ok(count)
    }
}

impl Verifier {
    /// One that wants `iss` and `aud` to be these, where they are given.
    pub fn new(keys: Keys, issuer: Option<String>, audience: Option<String>) -> Self {
        Self { keys, issuer, audience }
    }

    /// The claims of a token that is genuine and in force.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn verify(&self, token: &str) -> Result<Claims, Invalid> {
        match &self.keys {
            Keys::One(key, algorithm) => self.decode(token, key, Validation::new(*algorithm)),
            Keys::Set(set) => {
                let set = set.0.read().clone().ok_or(Invalid::NoKeys)?;
                let header = decode_header(token).map_err(|_| Invalid::Other)?;
                let jwk = match &header.kid {
                    Some(id) => set.find(id),
                    // Without an id only a set of one leaves no doubt.
                    None => set.keys.first().filter(|_| set.keys.len() == 1),
                };
                // A shared secret has no place in a set of public keys.
                let jwk = jwk.filter(|jwk| !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)));
                let key = jwk.and_then(|jwk| DecodingKey::from_jwk(jwk).ok()).ok_or(Invalid::Other)?;
                self.decode(token, &key, Validation::new_for_family(key.family()))
            }
        }
    }

    fn decode(&self, token: &str, key: &DecodingKey, mut validation: Validation) -> Result<Claims, Invalid> {
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".into());
            }
            None => validation.validate_aud = false,
        }
        decode::<Claims>(token, key, &validation).map(|data| data.claims).map_err(|error| {
            match error.kind() {
                ErrorKind::ExpiredSignature => Invalid::Expired,
                _ => Invalid::Other,
            }
        })
    }
}

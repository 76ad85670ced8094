//! Credentials that the operator makes once for each fleet and keeps in Secrets.

use k8s_openapi::api::core::v1::Secret;

use super::names::Names;

/// Keys of the Secrets.
pub mod keys {
    /// Of the admin Secret: the bearer token.
    pub const ADMIN_TOKEN: &str = "token";
    /// Of the Redis Secret: the password.
    pub const REDIS_PASSWORD: &str = "password";
    /// Of the Redis Secret: the URL with the password.
    pub const REDIS_URL: &str = "url";
    /// Of the Redis Secret: configuration that sets the password.
    pub const REDIS_AUTH_CONF: &str = "auth.conf";
}

/// A fleet's generated credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Bearer token of the admin port.
    pub admin_token: String,
    /// Password of the managed Redis.
    pub redis_password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl Credentials {
    /// What `plan` prints in their stead.
    pub fn placeholder() -> Self {
        Self {
            admin_token: "GENERATED-ADMIN-TOKEN".into(),
            redis_password: "GENERATED-REDIS-PASSWORD".into(),
        }
    }

    /// Those of the Secrets that exist, and new ones for the others.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn keep_or_generate(
        admin: Option<&Secret>,
        redis: Option<&Secret>,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self {
            admin_token: value(admin, keys::ADMIN_TOKEN).map_or_else(random, Ok)?,
            redis_password: value(redis, keys::REDIS_PASSWORD).map_or_else(random, Ok)?,
        })
    }

    /// Names of the Secrets that hold them.
    pub fn secrets(fleet: &str) -> [String; 2] {
        [Names(fleet).admin_secret(), Names(fleet).redis_secret()]
    }
}

/// A Secret's value, when it is there, is text and is not empty.
fn value(secret: Option<&Secret>, key: &str) -> Option<String> {
    let bytes = secret?.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
}

/// 256 random bits in hexadecimal: safe in a URL, in a header and in Redis' configuration.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_kept_and_the_rest_is_made() {
        let secret = Secret {
            data: Some([(keys::ADMIN_TOKEN.to_owned(), k8s_openapi::ByteString(b"old".to_vec()))].into()),
            ..Secret::default()
        };
        let made = Credentials::keep_or_generate(Some(&secret), Some(&Secret::default())).unwrap();
        assert_eq!(made.admin_token, "old");
        assert_eq!(made.redis_password.len(), 64);
        assert_ne!(made.redis_password, Credentials::keep_or_generate(None, None).unwrap().redis_password);
    }

    #[test]
    fn credentials_stay_out_of_logs() {
        assert!(!format!("{:?}", Credentials::placeholder()).contains("GENERATED"));
    }
}

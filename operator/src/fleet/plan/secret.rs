use k8s_openapi::api::core::v1::Secret;

use super::object::{Owned, metadata, secret};
use super::redis_owned;
use crate::fleet::credentials::{Credentials, keys};
use crate::fleet::names::{Names, REDIS, SERVER};
use crate::fleet::validate::{ManagedRedis, ValidatedFleet};

/// Token of the admin port.
pub(super) fn admin_token(fleet: &ValidatedFleet, credentials: &Credentials) -> Secret {
    secret(
        metadata(fleet, Names(&fleet.name).admin_secret(), SERVER, Owned::Yes),
        &[(keys::ADMIN_TOKEN, &credentials.admin_token)],
    )
}

/// Redis' password: alone, in the URL that servers use, and in the file that Redis includes.
pub(super) fn redis_auth(fleet: &ValidatedFleet, redis: &ManagedRedis, credentials: &Credentials) -> Secret {
    let names = Names(&fleet.name);
    let password = &credentials.redis_password;
    let url = format!("redis://:{password}@{}.{}.svc:6379/0", names.redis(), fleet.namespace);
    let conf = format!("requirepass {password}\n");
    secret(
        metadata(fleet, names.redis_secret(), REDIS, redis_owned(redis)),
        &[
            (keys::REDIS_PASSWORD, password.as_str()),
            (keys::REDIS_URL, url.as_str()),
            (keys::REDIS_AUTH_CONF, conf.as_str()),
        ],
    )
}

use k8s_openapi::api::core::v1::ServiceAccount;

use super::object::{Owned, metadata};
use crate::fleet::names::{Names, SERVER};
use crate::fleet::validate::ValidatedFleet;

/// Identity of the server pods: no rights, no token. `None` where the user names one.
pub(super) fn service_account(fleet: &ValidatedFleet) -> Option<ServiceAccount> {
    fleet.spec.pod.service_account_name.is_none().then(|| ServiceAccount {
        metadata: metadata(fleet, Names(&fleet.name).fleet(), SERVER, Owned::Yes),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

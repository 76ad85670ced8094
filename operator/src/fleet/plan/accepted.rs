use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DynamicObject;
use socketfleet_api::SocketFleetSpec;
use socketfleet_api::fleet::{HISTORY_KEY, RevisionRecord};

use super::object::{Owned, metadata};
use crate::fleet::names::{Names, SERVER};
use crate::fleet::validate::ValidatedFleet;

const KEY: &str = "spec.json";

/// The spec that was last carried out, kept so that a bad one does not stop the fleet from being repaired, not even
/// after the operator was restarted; and the revisions before it. Applied when all else is.
pub(super) fn config_map(fleet: &ValidatedFleet, history: &[RevisionRecord]) -> ConfigMap {
    let mut spec = fleet.spec.clone();
    // Written by the HPA at every step, and always taken from the fleet itself.
    spec.replicas = SocketFleetSpec::default().replicas;
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let mut data = BTreeMap::from([(KEY.to_owned(), json(serde_json::to_string(&spec)))]);
    if !history.is_empty() {
        data.insert(HISTORY_KEY.to_owned(), json(serde_json::to_string(history)));
    }
    ConfigMap {
        metadata: metadata(fleet, Names(&fleet.name).accepted(), SERVER, Owned::Yes),
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// Reads it back; `None` when there is none, or when it was written by an operator whose spec this one cannot read.
pub fn last_accepted(config_map: &DynamicObject) -> Option<SocketFleetSpec> {
    serde_json::from_str(config_map.data.get("data")?.get(KEY)?.as_str()?).ok()
}

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};

use super::object::{Owned, metadata};
use crate::fleet::names::{self, Names, SERVER};
use crate::fleet::validate::ValidatedFleet;

/// How many server pods evictions may take at once, over all revisions. A pod that is not Ready has no socket to
/// lose: it never holds up a node drain.
pub(super) fn pod_disruption_budget(fleet: &ValidatedFleet) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(fleet, Names(&fleet.name).fleet(), SERVER, Owned::Yes),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(names::label_selector(&fleet.name, SERVER)),
            max_unavailable: Some(fleet.spec.max_unavailable.clone()),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            min_available: None,
        }),
        status: None,
    }
}

//! The finalizer that keeps a fleet until its pods are empty, and never for ever.
//!
//! Rights: `patch` on SocketFleets and `update` on `socketfleets/finalizers`, the latter where the cluster checks
//! `blockOwnerDeletion`.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::DeletionPolicy;

use super::names::FINALIZER;
use super::observe::Observed;
use super::validate::ValidatedFleet;
use crate::context::Context;

/// Time beyond the drain's deadline and the pods' grace after which a deleted fleet goes whatever its pods do.
const PATIENCE: SignedDuration = SignedDuration::from_secs(120);

/// Puts the finalizer on a fleet that drains when it is deleted, and takes it off one that does not.
///
/// # Errors
/// The API server did not take the change; a conflict means that the fleet has changed, and is looked at again.
pub async fn keep(ctx: &Context, observed: &Observed, policy: DeletionPolicy) -> Result<(), kube::Error> {
    let has = observed.fleet.finalizers().iter().any(|f| f == FINALIZER);
    match policy {
        DeletionPolicy::Drain if !has => set(ctx, observed, true).await,
        DeletionPolicy::Immediate if has => set(ctx, observed, false).await,
        DeletionPolicy::Drain | DeletionPolicy::Immediate => Ok(()),
    }
}

/// Lets a deleted fleet go.
///
/// # Errors
/// As [`keep`].
pub async fn release(ctx: &Context, observed: &Observed) -> Result<(), kube::Error> {
    match observed.fleet.finalizers().iter().any(|f| f == FINALIZER) {
        true => set(ctx, observed, false).await,
        false => Ok(()),
    }
}

/// When a fleet that is being deleted goes at the latest.
pub fn at_the_latest(fleet: &ValidatedFleet, deleted: Timestamp) -> Timestamp {
    let seconds = fleet.spec.drain.deadline_seconds + fleet.grace_seconds;
    deleted.saturating_add(SignedDuration::from_secs(seconds.into()) + PATIENCE).unwrap_or(Timestamp::MAX)
}

async fn set(ctx: &Context, observed: &Observed, present: bool) -> Result<(), kube::Error> {
    let mut finalizers = observed.fleet.finalizers().to_vec();
    finalizers.retain(|f| f != FINALIZER);
    if present {
        finalizers.push(FINALIZER.into());
    }
    // On the version that was looked at: others' finalizers may have come or gone since.
    let patch = json!({
        "metadata": { "resourceVersion": observed.fleet.resource_version(), "finalizers": finalizers },
    });
    let api = Api::<SocketFleet>::namespaced(ctx.client.clone(), &observed.namespace);
    api.patch_metadata(&observed.name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
}

//! I/O: brings the cluster to the plan. Server-side apply in stages, then what is no longer planned is deleted; what is as
//! planned is not written.
//!
//! Rights: on all [kinds](crate::kinds) `get`, `create`, `patch` and `delete`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use futures::future::try_join_all;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::Value;
use socketfleet_api::contract::labels;

use super::diff;
use super::memory::Scaled;
use super::names::{FIELD_MANAGER, Names, OPERATOR};
use super::observe::Observed;
use super::plan::{Object, Plan};
use crate::context::Context;
use crate::kinds::Kind;

/// Why the plan is not in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not take an object: the spec is to blame.
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// An object of this name belongs to somebody else.
    #[error(
        "{kind} {name} exists and is not the fleet's: delete or rename it, or make a fleet of another name"
    )]
    NotOurs {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A call failed.
    #[error("cannot {verb} {kind} {name}: {source}")]
    Call {
        /// What was tried.
        verb: &'static str,
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
}

/// Applies a plan. `replicas` are those of the old revisions' Deployments.
///
/// # Errors
/// The first object that could not be written; those of earlier stages are.
pub async fn apply(
    ctx: &Context,
    observed: &Observed,
    plan: &Plan,
    replicas: &BTreeMap<String, u32>,
) -> Result<(), Error> {
    let Plan { revision, objects, accepted } = plan;
    for stage in objects.chunk_by(|a, b| a.kind.stage() == b.kind.stage()) {
        try_join_all(stage.iter().map(|object| put(ctx, observed, object))).await?;
    }
    let old = replicas.iter().filter(|(old, _)| *old != revision);
    try_join_all(old.map(|(revision, replicas)| scale(ctx, observed, revision, *replicas))).await?;
    prune(ctx, observed, plan, replicas).await?;
    put(ctx, observed, accepted).await
}

/// Sets the replicas of Deployments alone, for a fleet that is being deleted.
///
/// # Errors
/// A Deployment could not be written.
pub async fn scale_only(
    ctx: &Context,
    observed: &Observed,
    replicas: &BTreeMap<String, u32>,
) -> Result<(), Error> {
    try_join_all(replicas.iter().map(|(revision, replicas)| scale(ctx, observed, revision, *replicas)))
        .await?;
    Ok(())
}

/// Applies one object, unless it is as planned.
async fn put(ctx: &Context, observed: &Observed, object: &Object) -> Result<(), Error> {
    let api = api(ctx, observed, object.kind);
    let call = |verb, source: kube::Error| match source {
        kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
            Error::Refused { kind: object.kind.name(), name: object.name.clone(), message: status.message }
        }
        source => Error::Call { verb, kind: object.kind.name(), name: object.name.clone(), source },
    };
    let live = match observed.live.get(&(object.kind, object.name.clone())) {
        Some(live) => Some(Cow::Borrowed(live)),
        // Perhaps not seen yet, perhaps somebody else's.
        None => api.get_opt(&object.name).await.map_err(|source| call("get", source))?.map(Cow::Owned),
    };
    let mut params = PatchParams::apply(FIELD_MANAGER);
    match &live {
        Some(live) if !is_ours(observed, live) => {
            return Err(Error::NotOurs { kind: object.kind.name(), name: object.name.clone() });
        }
        Some(live) if diff::is_as_planned(object, live) => return Ok(()),
        // What others have written into our fields is overwritten.
        Some(_) => params = params.force(),
        // Nobody's: without force, so that one who made it meanwhile is not run over.
        None => {}
    }
    tracing::info!(kind = object.kind.name(), name = object.name, "applying");
    let mut body = Cow::Borrowed(&object.body);
    if let Some(version) = version_to_shrink(object, live.as_deref()) {
        body.to_mut()["metadata"]["resourceVersion"] = version.into();
    }
    let written = api.patch(&object.name, &params, &Patch::Apply(&*body)).await;
    let written = written.map_err(|source| call("apply", source))?;
    ctx.metrics.wrote(object.kind, "apply");
    if object.kind == Kind::Deployment {
        remember(ctx, observed, &written);
    }
    Ok(())
}

/// A Deployment shrinks only as it was when its victims were chosen: then the write names that version.
fn version_to_shrink(object: &Object, live: Option<&DynamicObject>) -> Option<String> {
    let live = live.filter(|_| object.kind == Kind::Deployment)?;
    let planned = object.body.pointer("/spec/replicas").and_then(Value::as_u64);
    (planned < live.data.pointer("/spec/replicas").and_then(Value::as_u64))
        .then(|| live.resource_version())?
}

/// Until the cache shows a write to a Deployment, its size is the one that was written.
fn remember(ctx: &Context, observed: &Observed, written: &DynamicObject) {
    let replicas = written.data.pointer("/spec/replicas").and_then(Value::as_u64);
    if let (Some(generation), Some(replicas)) = (written.metadata.generation, replicas) {
        let scaled = Scaled { generation, replicas: u32::try_from(replicas).unwrap_or(u32::MAX) };
        ctx.memory.scaled(&observed.id, &written.name_any(), scaled);
    }
}

/// Sets the replicas of an old revision's Deployment; its template is what it was.
async fn scale(ctx: &Context, observed: &Observed, revision: &str, replicas: u32) -> Result<(), Error> {
    let name = Names(&observed.name).deployment(revision);
    let Some(live) = observed.live.get(&(Kind::Deployment, name.clone())) else { return Ok(()) };
    if live.data.pointer("/spec/replicas").and_then(Value::as_u64) == Some(replicas.into()) {
        return Ok(());
    }
    tracing::info!(name, replicas, "scaling");
    // On the very version that the decision was made from.
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": live.resource_version() },
        "spec": { "replicas": replicas },
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api(ctx, observed, Kind::Deployment).patch(&name, &params, &Patch::Merge(&patch)).await {
        Ok(written) => {
            ctx.metrics.wrote(Kind::Deployment, "scale");
            remember(ctx, observed, &written);
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(source) => {
            return Err(Error::Call { verb: "scale", kind: Kind::Deployment.name(), name, source });
        }
    }
    Ok(())
}

/// Deletes what is the fleet's and no longer planned. An old revision's Deployment goes with its last pod.
async fn prune(
    ctx: &Context,
    observed: &Observed,
    plan: &Plan,
    replicas: &BTreeMap<String, u32>,
) -> Result<(), Error> {
    let planned = |kind: Kind, name: &str| {
        plan.objects.iter().chain([&plan.accepted]).any(|object| object.kind == kind && object.name == name)
    };
    let superfluous = observed.live.iter().filter(|((kind, name), live)| {
        !planned(*kind, name)
            && is_ours(observed, live)
            && live.metadata.deletion_timestamp.is_none()
            && !(*kind == Kind::Deployment && is_needed(observed, live, replicas))
    });
    try_join_all(superfluous.map(|((kind, name), live)| delete(ctx, observed, *kind, name, live))).await?;
    Ok(())
}

/// Whether an old revision's Deployment has pods, or shall have some.
fn is_needed(observed: &Observed, live: &DynamicObject, replicas: &BTreeMap<String, u32>) -> bool {
    let Some(revision) = live.labels().get(labels::REVISION) else { return false };
    let number = |path| live.data.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    replicas.get(revision).is_some_and(|wanted| *wanted > 0)
        || number("/spec/replicas") > 0
        || number("/status/replicas") > 0
        || observed.pods.iter().any(|pod| pod.labels().get(labels::REVISION) == Some(revision))
}

async fn delete(
    ctx: &Context,
    observed: &Observed,
    kind: Kind,
    name: &str,
    live: &DynamicObject,
) -> Result<(), Error> {
    tracing::info!(kind = kind.name(), name, "deleting what is no longer planned");
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: live.uid(), resource_version: live.resource_version() }),
        ..DeleteParams::background()
    };
    match api(ctx, observed, kind).delete(name, &params).await {
        Ok(_) => ctx.metrics.wrote(kind, "delete"),
        // Gone, or changed since: the next look decides.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(source) => {
            return Err(Error::Call { verb: "delete", kind: kind.name(), name: name.to_owned(), source });
        }
    }
    Ok(())
}

/// Whether an object is this fleet's: owned by it, or left by an earlier fleet of its name for it to take over.
fn is_ours(observed: &Observed, live: &DynamicObject) -> bool {
    let controller = live.owner_references().iter().find(|owner| owner.controller == Some(true));
    match controller {
        Some(owner) => Some(&owner.uid) == observed.fleet.metadata.uid.as_ref(),
        None => {
            let label = |key: &str| live.labels().get(key).map(String::as_str);
            label(labels::FLEET) == Some(&observed.name)
                && label("app.kubernetes.io/managed-by") == Some(OPERATOR)
        }
    }
}

fn api(ctx: &Context, observed: &Observed, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(ctx.client.clone(), &observed.namespace, kind.resource())
}

//! I/O: one write of the status, only when it has changed, and Events.
//!
//! Rights: `patch` on `socketfleets/status`; `create` and `patch` on Events of `events.k8s.io`.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource};
use socketfleet_api::fleet::{RolloutFailure, condition};
use socketfleet_api::{SocketFleet, SocketFleetStatus};

use super::conditions::ACCEPTED_WITH_WARNING;
use super::names::FIELD_MANAGER;
use super::observe::Observed;
use super::status::differs_in_counts_only;
use crate::context::Context;

/// Time between two writes that change nothing but counts.
const BETWEEN_COUNTS: Duration = Duration::from_secs(2);
/// Reasons of DrainBlocked that somebody has to do something about; the others come with the work and pass.
const BLOCKED_FOR_LONG: [&str; 2] = ["NoRoom", "Full"];
/// Reasons of Progressing when a rollout has failed.
const FAILED_ROLLOUT: [&str; 2] =
    [RolloutFailure::ProgressDeadlineExceeded.as_str(), RolloutFailure::ConnectErrors.as_str()];
/// Longest note of an Event that the API server takes.
const MAX_NOTE: usize = 1024;

/// Writes the status. Returns how long a change that was held back has to wait.
///
/// # Errors
/// The API server did not take it.
pub async fn report(
    ctx: &Context,
    observed: &Observed,
    status: &SocketFleetStatus,
) -> Result<Option<Duration>, kube::Error> {
    let before = observed.fleet.status.clone().unwrap_or_default();
    if before == *status {
        return Ok(None);
    }
    if differs_in_counts_only(&before, status)
        && let Some(wait) = ctx.memory.wait(&observed.id, BETWEEN_COUNTS)
    {
        return Ok(Some(wait));
    }
    let api = Api::<SocketFleet>::namespaced(ctx.client.clone(), &observed.namespace);
    // Server-side apply removes fields that are no longer set.
    let patch = serde_json::json!({
        "apiVersion": SocketFleet::api_version(&()),
        "kind": SocketFleet::kind(&()),
        "metadata": { "name": observed.name },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&observed.name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => ctx.memory.wrote(&observed.id),
        // The fleet has gone meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => return Err(error),
    }
    ctx.metrics.wrote_status();
    for (kind, reason, message) in news(&before, status) {
        event(ctx, observed, kind, reason, message).await;
    }
    Ok(None)
}

/// What people should hear of, once.
fn news(before: &SocketFleetStatus, after: &SocketFleetStatus) -> Vec<(EventType, String, String)> {
    let find =
        |status: &SocketFleetStatus, kind: &str| status.conditions.iter().find(|c| c.type_ == kind).cloned();
    let mut news = Vec::new();
    // What is wrong is said again when something else is wrong.
    for (kind, bad) in [(condition::ACCEPTED, "False"), (condition::DRAIN_BLOCKED, "True")] {
        let (old, new) = (find(before, kind), find(after, kind));
        if let Some(new) = new
            && new.status == bad
            && (kind != condition::DRAIN_BLOCKED || BLOCKED_FOR_LONG.contains(&new.reason.as_str()))
            && old.is_none_or(|old| (old.status, old.reason) != (new.status.clone(), new.reason.clone()))
        {
            news.push((EventType::Warning, new.reason, new.message));
        }
    }
    if let Some(new) = find(after, condition::ACCEPTED)
        && new.reason == ACCEPTED_WITH_WARNING
        && find(before, condition::ACCEPTED).is_none_or(|old| old.reason != new.reason)
    {
        news.push((EventType::Warning, new.reason, new.message));
    }
    if let Some(new) = find(after, condition::PROGRESSING)
        && FAILED_ROLLOUT.contains(&new.reason.as_str())
        && find(before, condition::PROGRESSING).is_none_or(|old| old.reason != new.reason)
    {
        news.push((EventType::Warning, new.reason, new.message));
    }
    if let (Some(old), Some(new)) = (&before.current_revision, &after.current_revision)
        && old != new
    {
        news.push((
            EventType::Normal,
            "RolloutStarted".into(),
            format!("revision {new} takes over from {old}"),
        ));
    }
    if before.revisions.len() > 1
        && after.revisions.len() == 1
        && after.current_revision == before.current_revision
    {
        let left = &after.revisions[0].name;
        let reason =
            if after.current_revision.as_ref() == Some(left) { "RolloutComplete" } else { "RolledBack" };
        news.push((EventType::Normal, reason.into(), format!("all pods are of revision {left}")));
    }
    news
}

/// Tells people. An Event that cannot be written is no reason to stop.
pub async fn event(ctx: &Context, observed: &Observed, type_: EventType, reason: String, mut note: String) {
    if note.len() > MAX_NOTE {
        note.truncate(note.floor_char_boundary(MAX_NOTE));
    }
    let event = Event { type_, reason, note: Some(note), action: "Reconcile".into(), secondary: None };
    if let Err(error) = ctx.recorder.publish(&event, &observed.fleet.object_ref(&())).await {
        tracing::warn!(%error, reason = event.reason, "cannot write an Event");
    }
}

//! What people ask of the operator: an annotation on a pod, a field of the fleet.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;

/// Field manager of what this command writes.
pub const MANAGER: &str = "kubectl-socketfleet";

/// Asks for a pod's drain, or takes it back.
pub async fn drain(client: &Client, namespace: &str, pod: &str, wanted: bool) -> Result<String> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let found = api.get(pod).await.with_context(|| format!("pod {pod} in namespace {namespace}"))?;
    let Some(fleet) = found.labels().get(labels::FLEET) else {
        bail!("pod {pod} belongs to no SocketFleet: it has no label {}", labels::FLEET);
    };
    let value = if wanted { json!("true") } else { Value::Null };
    let patch = json!({"metadata": {"annotations": {labels::DRAIN_REQUESTED: value}}});
    api.patch(
        pod,
        &PatchParams { field_manager: Some(MANAGER.into()), ..Default::default() },
        &Patch::Merge(patch),
    )
    .await?;
    Ok(if wanted {
        format!("pod {pod}: drain requested; follow it with: kubectl socketfleet explain {fleet} {pod}")
    } else {
        format!("pod {pod}: drain taken back")
    })
}

/// Holds a fleet or its rollout, or lets it go on.
pub async fn pause(
    client: &Client,
    namespace: &str,
    fleet: &str,
    rollout: bool,
    held: bool,
) -> Result<String> {
    let spec = if rollout { json!({"rollout": {"paused": held}}) } else { json!({"paused": held}) };
    Api::<SocketFleet>::namespaced(client.clone(), namespace)
        .patch(
            fleet,
            &PatchParams { field_manager: Some(MANAGER.into()), ..Default::default() },
            &Patch::Merge(json!({"spec": spec})),
        )
        .await
        .with_context(|| format!("socketfleet {fleet} in namespace {namespace}"))?;
    let what = if rollout { "rollout of socketfleet" } else { "socketfleet" };
    Ok(format!("{what} {fleet} {}", if held { "paused" } else { "resumed" }))
}

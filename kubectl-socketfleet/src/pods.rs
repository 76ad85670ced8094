//! The pods of a fleet with what their servers say of themselves.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::client::Body;
use kube::{Client, ResourceExt};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::{Health, labels, paths};

/// Requests to pods at once.
const PARALLEL: usize = 16;
/// How long a pod may take to answer: one that does not is shown without its sockets.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// A pod, and its server's answer where it gave one.
pub struct PodView {
    pub pod: Pod,
    pub health: Option<Health>,
}

impl PodView {
    pub fn label(&self, key: &str) -> String {
        self.pod.labels().get(key).cloned().unwrap_or_default()
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.pod.annotations().get(key).map(String::as_str)
    }

    pub fn node(&self) -> String {
        self.pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_else(|| "<none>".into())
    }

    pub fn ready(&self) -> bool {
        let conditions = self.pod.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    }

    /// One word for people: what the pod is doing.
    pub fn state(&self) -> String {
        if self.pod.metadata.deletion_timestamp.is_some() {
            return "Terminating".into();
        }
        match self.annotation(labels::DRAIN_PHASE) {
            Some(phase) => phase.to_owned(),
            None if self.ready() => "Serving".into(),
            None => {
                self.pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_else(|| "Unknown".into())
            }
        }
    }

    pub fn sockets(&self) -> String {
        self.health.as_ref().map_or_else(|| "?".into(), |h| h.connections.to_string())
    }

    pub fn utilization(&self) -> String {
        match &self.health {
            Some(h) if h.capacity > 0 => format!("{}%", h.connections * 100 / h.capacity),
            _ => "?".into(),
        }
    }
}

/// All pods of the fleet, asked through the API server's pod proxy so that it works from anywhere.
pub async fn of(client: &Client, namespace: &str, fleet: &SocketFleet) -> Result<Vec<PodView>> {
    let selector = format!("{}={},{}=server", labels::FLEET, fleet.name_any(), labels::COMPONENT);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace)
        .list(&ListParams::default().labels(&selector))
        .await?;
    // Not the admin port, which the fleet's NetworkPolicy closes to the API server.
    let port = fleet.spec.server.port;
    let mut views: Vec<_> = stream::iter(pods.items)
        .map(|pod| async move {
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods/{}:{port}/proxy{}",
                pod.name_any(),
                paths::HEALTH
            );
            let health = tokio::time::timeout(ANSWER_WITHIN, health(client, &path)).await.ok().flatten();
            PodView { pod, health }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    views.sort_by_key(|v| (std::cmp::Reverse(v.health.as_ref().map(|h| h.connections)), v.pod.name_any()));
    Ok(views)
}

/// What a server says of itself. Not by [`Client::request`]: one that drains answers 503 with the same body.
async fn health(client: &Client, path: &str) -> Option<Health> {
    let answer = client.send(http::Request::get(path).body(Body::empty()).ok()?).await.ok()?;
    serde_json::from_slice(&answer.into_body().collect_bytes().await.ok()?).ok()
}

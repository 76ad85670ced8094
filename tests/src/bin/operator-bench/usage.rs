//! What the operator uses, as the kubelet says, and what is written, as the API server says.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use socketfleet_tests::{OPERATOR_NAMESPACE, OPERATOR_PODS};

/// What others write all the time: heartbeats, simulated pods, Events.
const NOT_OURS: [&str; 6] = ["leases", "nodes", "pods", "events", "endpointslices", "apiservices"];

/// The operator's port for metrics.
const METRICS: u16 = 8080;
const LOOKS: &str = "socketfleet_operator_reconcile_duration_seconds_count";

/// CPU seconds used since the operator's start, and resident bytes.
pub struct Usage {
    pub cpu_seconds: f64,
    pub rss_bytes: f64,
}

/// Of all operator pods together.
pub async fn of_operator(client: &Client) -> Result<Usage> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let pods = pods.list(&ListParams::default().labels(OPERATOR_PODS)).await?;
    let mut usage = Usage { cpu_seconds: 0.0, rss_bytes: 0.0 };
    for pod in &pods {
        let node =
            pod.spec.as_ref().and_then(|s| s.node_name.clone()).context("the operator is not running")?;
        let summary = get(client, &format!("/api/v1/nodes/{node}/proxy/stats/summary")).await?;
        let summary: Value = serde_json::from_str(&summary)?;
        let name = pod.name_any();
        let mut stats = summary["pods"].as_array().into_iter().flatten();
        let stats = stats
            .find(|p| p["podRef"]["name"] == name.as_str())
            .context("the kubelet does not know the operator")?;
        for container in stats["containers"].as_array().into_iter().flatten() {
            usage.cpu_seconds += container["cpu"]["usageCoreNanoSeconds"].as_f64().unwrap_or(0.0) / 1e9;
            usage.rss_bytes += container["memory"]["rssBytes"].as_f64().unwrap_or(0.0);
        }
    }
    Ok(usage)
}

/// Writes that the API server has served so far, of objects that the operator writes.
pub async fn writes(client: &Client) -> Result<u64> {
    let metrics = get(client, "/metrics").await?;
    let ours = |line: &&str| {
        let label =
            |name: &str| line.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        line.starts_with("apiserver_request_total{")
            && label("verb").is_some_and(|verb| ["POST", "PUT", "PATCH", "APPLY", "DELETE"].contains(&verb))
            && label("dry_run") == Some("")
            && label("resource").is_some_and(|resource| !resource.is_empty() && !NOT_OURS.contains(&resource))
            && !["tokenreviews", "subjectaccessreviews", "serviceaccounts"]
                .contains(&label("resource").unwrap_or(""))
    };
    let counts = metrics.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum::<f64>() as u64)
}

/// Looks at fleets that have ended since the operator's start.
pub async fn looks(client: &Client) -> Result<u64> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let pods = pods.list(&ListParams::default().labels(OPERATOR_PODS)).await?;
    let mut looks = 0;
    for pod in pods.iter().map(ResourceExt::name_any) {
        let metrics = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:{METRICS}/proxy/metrics");
        let metrics = get(client, &metrics).await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(LOOKS)).context(LOOKS)?;
        looks += count.trim().parse::<u64>()?;
    }
    Ok(looks)
}

async fn get(client: &Client, path: &str) -> Result<String> {
    Ok(client.request_text(http::Request::get(path).body(Vec::new())?).await?)
}

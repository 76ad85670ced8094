//! Latencies, with real pods on an idle cluster.

use std::time::Instant;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::condition;
use socketfleet_tests::{Until, condition_is, small_fleet};

use super::{Figure, quantile};

const FLEETS: usize = 7;
const CHANGES: i32 = 200;

pub async fn measure(client: &Client) -> Result<Vec<Figure>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "generateName": "bench-" } }))?;
    let namespace = namespaces.create(&PostParams::default(), &namespace).await?.name_any();
    let fleets: Api<SocketFleet> = Api::namespaced(client.clone(), &namespace);

    let mut ready = Vec::new();
    for n in 0..FLEETS {
        let name = format!("fleet-{n}");
        let begun = Instant::now();
        fleets.create(&PostParams::default(), &small_fleet(&name, "replicas: 2")).await?;
        let is_ready = |f: &SocketFleet| {
            f.status.as_ref().is_some_and(|s| condition_is(&s.conditions, condition::READY, "True"))
        };
        fleets.until(&name, "Ready", is_ready).await;
        ready.push(begun.elapsed().as_secs_f64());
        if n > 0 {
            fleets.delete(&name, &DeleteParams::default()).await?;
        }
    }
    let mut applied = changes(client, &namespace, "fleet-0", CHANGES).await?;
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    // What comes next is measured without the end of these fleets.
    namespaces.until_gone(&namespace).await;
    Ok(vec![
        Figure {
            name: "apply to Ready, 2 pods and Redis, median / longest of 7",
            target: "10 s",
            measured: format!("{:.1} / {:.1} s", quantile(&mut ready, 0.5), quantile(&mut ready, 1.0)),
        },
        Figure {
            name: "spec change to object applied, p50 / p99 of 200",
            target: "p99 250 ms",
            measured: format!("{:.0} / {:.0} ms", quantile(&mut applied, 0.5), quantile(&mut applied, 0.99)),
        },
    ])
}

/// Milliseconds from each change of a fleet's `maxUnavailable` to that of its PodDisruptionBudget.
pub async fn changes(client: &Client, namespace: &str, fleet: &str, count: i32) -> Result<Vec<f64>> {
    let fleets: Api<SocketFleet> = Api::namespaced(client.clone(), namespace);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    let mut waits = Vec::new();
    for n in 2..count + 2 {
        let wanted = json!(n);
        let begun = Instant::now();
        let change = Patch::Merge(json!({ "spec": { "maxUnavailable": n } }));
        // Watched from before the change, so that the wait has no list in it.
        let applied = budgets.until(fleet, "the new budget", |b| {
            let budget = b.spec.as_ref().and_then(|s| s.max_unavailable.as_ref());
            budget.is_some_and(|b| serde_json::to_value(b).is_ok_and(|b| b == wanted))
        });
        let params = PatchParams::default();
        let (_, changed) = tokio::join!(applied, fleets.patch(fleet, &params, &change));
        changed?;
        waits.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(waits)
}

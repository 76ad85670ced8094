//! 500 fleets of 10 pods each, on simulated nodes.

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::condition;
use socketfleet_tests::{Cluster, OPERATOR_NAMESPACE, OPERATOR_PODS, condition_is, fleet};
use tokio::time::timeout;

use super::{Figure, latency, pods, quantile, usage};

const FLEETS: usize = 500;
const PODS_PER_FLEET: usize = 10;
const NODES: &str = "60";
const NAMESPACE: &str = "scale";
/// How long the operator is watched at rest.
const REST: Duration = Duration::from_secs(60);
const CHANGES: i32 = 100;
/// No fleet changes for this long: they never will.
const STALLED: Duration = Duration::from_secs(240);

pub async fn measure(cluster: &Cluster, client: &Client) -> Result<Vec<Figure>> {
    cluster.script(&["fake-nodes", NODES])?;
    let _answers = pods::start(cluster)?;
    let operator = ["scale", "deployment", "-n", OPERATOR_NAMESPACE, "-l", OPERATOR_PODS];
    cluster.kubectl(&[&operator[..], &["--replicas=0"]].concat())?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    namespaces.create(&PostParams::default(), &namespace).await?;
    let fleets: Api<SocketFleet> = Api::namespaced(client.clone(), NAMESPACE);
    let params = PostParams::default();
    stream::iter(0..FLEETS)
        .map(|n| {
            let (fleets, params) = (fleets.clone(), params.clone());
            async move { fleets.create(&params, &simulated(&fleet_name(n))).await }
        })
        .buffer_unordered(8)
        .try_for_each(|_| async { Ok(()) })
        .await?;

    eprintln!("bench: {FLEETS} fleets wait for the operator");
    let begun = Instant::now();
    cluster.kubectl(&[&operator[..], &["--replicas=1"]].concat())?;
    until_each(&fleets, reconciled).await?;
    let reconciled = begun.elapsed().as_secs_f64();
    eprintln!("bench: all reconciled after {reconciled:.0} s; their pods come up");
    until_each(&fleets, ready).await?;
    let all_ready = begun.elapsed().as_secs_f64();

    eprintln!("bench: at rest for {} s", REST.as_secs());
    tokio::time::sleep(REST).await; // what is measured: nothing happens
    let (before, written, looked, rested) = (
        usage::of_operator(client).await?,
        usage::writes(client).await?,
        usage::looks(client).await?,
        Instant::now(),
    );
    tokio::time::sleep(REST).await;
    let (after, written_after) = (usage::of_operator(client).await?, usage::writes(client).await?);
    let cpu = (after.cpu_seconds - before.cpu_seconds) / rested.elapsed().as_secs_f64();
    let looked_at_rest = usage::looks(client).await? - looked;

    let mut applied = latency::changes(client, NAMESPACE, &fleet_name(7), CHANGES).await?;

    eprintln!("bench: the operator starts anew");
    cluster.kubectl(&[&operator[..], &["--replicas=0"]].concat())?;
    cluster.kubectl(&["wait", "pods", "-n", OPERATOR_NAMESPACE, "-l", OPERATOR_PODS, "--for=delete"])?;
    let begun = Instant::now();
    cluster.kubectl(&[&operator[..], &["--replicas=1"]].concat())?;
    let again = || async { usage::looks(client).await.is_ok_and(|looks| looks >= FLEETS as u64) };
    while !again().await {
        ensure!(begun.elapsed() < STALLED, "the operator does not look at all fleets again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let restarted = begun.elapsed().as_secs_f64();
    Ok(vec![
        Figure {
            name: "500 fleets, 5,000 pods: an operator that starts has looked at all",
            target: "60 s",
            measured: format!("{restarted:.0} s"),
        },
        Figure {
            name: "… 500 new fleets: the objects of all are made, while pods come up",
            target: "60 s",
            measured: format!("{reconciled:.0} s"),
        },
        Figure {
            name: "… all Ready (paced by Kubernetes)",
            target: "",
            measured: format!("{all_ready:.0} s"),
        },
        Figure {
            name: "… operator's resident memory",
            target: "150 MB",
            measured: format!("{:.0} MB", after.rss_bytes / 1e6),
        },
        Figure {
            name: "… operator's CPU at rest",
            target: "2 % of a core",
            measured: format!("{:.1} %", cpu * 100.0),
        },
        Figure {
            name: "… writes at rest, in 60 s",
            target: "0",
            measured: (written_after - written).to_string(),
        },
        Figure { name: "… looks at rest, in 60 s", target: "", measured: looked_at_rest.to_string() },
        Figure {
            name: "… spec change to object applied, p50 / p99 of 100",
            target: "p99 250 ms",
            measured: format!("{:.0} / {:.0} ms", quantile(&mut applied, 0.5), quantile(&mut applied, 0.99)),
        },
    ])
}

/// Waits until each fleet satisfies a condition, for as long as there is progress.
async fn until_each(fleets: &Api<SocketFleet>, condition: fn(&SocketFleet) -> bool) -> Result<()> {
    let mut events = pin!(watcher(fleets.clone(), watcher::Config::default()));
    let mut missing: HashSet<String> = (0..FLEETS).map(fleet_name).collect();
    while !missing.is_empty() {
        let event = timeout(STALLED, events.next()).await;
        let event = event.with_context(|| format!("no progress; {} fleets are missing", missing.len()))?;
        match event.context("the watch never ends")? {
            Ok(Event::Apply(fleet) | Event::InitApply(fleet)) if condition(&fleet) => {
                missing.remove(&fleet.name_any());
            }
            Ok(_) => {}
            Err(error) => eprintln!("bench: watching fleets: {error}"),
        }
    }
    Ok(())
}

fn fleet_name(n: usize) -> String {
    format!("fleet-{n}")
}

/// A fleet whose pods run on simulated nodes.
fn simulated(name: &str) -> SocketFleet {
    let pods = "{nodeSelector: {type: kwok}, tolerations: [{key: kwok.x-k8s.io/node, operator: Exists}]}";
    let requests = "{requests: {cpu: 10m, memory: 16Mi}}";
    fleet(
        name,
        &format!(
            "{{replicas: {PODS_PER_FLEET}, redis: {{type: None}}, pod: {pods}, server: {{resources: {requests}}}, networkPolicy: {{enabled: false}}}}"
        ),
    )
}

fn reconciled(fleet: &SocketFleet) -> bool {
    fleet
        .status
        .as_ref()
        .is_some_and(|s| s.observed_generation == fleet.metadata.generation && s.current_revision.is_some())
}

fn ready(fleet: &SocketFleet) -> bool {
    let ready = |status: &socketfleet_api::SocketFleetStatus| {
        status.ready_replicas == PODS_PER_FLEET as i32
            && condition_is(&status.conditions, condition::READY, "True")
    };
    fleet.status.as_ref().is_some_and(ready)
}

//! What the read-only commands print.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use socketfleet_api::fleet::{DrainStatus, SocketFleetStatus, condition};

use crate::pods::{self, PodView};
use crate::table::{Table, age};

fn fleets(client: &Client, namespace: &str) -> Api<SocketFleet> {
    Api::namespaced(client.clone(), namespace)
}

async fn fleet(client: &Client, namespace: &str, name: &str) -> Result<SocketFleet> {
    fleets(client, namespace)
        .get(name)
        .await
        .with_context(|| format!("socketfleet {name} in namespace {namespace}"))
}

/// `status`: everything about one fleet, or about each of the namespace.
pub async fn status(client: &Client, namespace: &str, name: Option<&str>) -> Result<String> {
    let wanted = match name {
        Some(name) => vec![fleet(client, namespace, name).await?],
        None => fleets(client, namespace).list(&ListParams::default()).await?.items,
    };
    if wanted.is_empty() {
        return Ok(format!("no SocketFleet in namespace {namespace}"));
    }
    let mut text = String::new();
    for fleet in wanted {
        let views = pods::of(client, namespace, &fleet).await?;
        text += &describe(&fleet, &views, Timestamp::now());
        text.push('\n');
    }
    Ok(text)
}

/// `top`: the pods by their sockets.
pub async fn top(client: &Client, namespace: &str, name: &str) -> Result<String> {
    let fleet = fleet(client, namespace, name).await?;
    Ok(pod_table(&pods::of(client, namespace, &fleet).await?, ""))
}

/// `explain`: the drains, their reasons, and what is held back.
pub async fn explain(client: &Client, namespace: &str, name: &str, pod: Option<&str>) -> Result<String> {
    let fleet = fleet(client, namespace, name).await?;
    let views = pods::of(client, namespace, &fleet).await?;
    let views: Vec<_> = match pod {
        Some(pod) => views.into_iter().filter(|v| v.pod.name_any() == pod).collect(),
        None => views,
    };
    if let (Some(pod), []) = (pod, views.as_slice()) {
        bail!("socketfleet {name} has no pod {pod}: see kubectl socketfleet top {name}");
    }
    let status = fleet.status.clone().unwrap_or_default();
    let mut text = conditions(&status, "");
    for view in &views {
        let drain = status.drains.iter().find(|d| d.pod == view.pod.name_any());
        text += &format!("\n{}: {}\n", view.pod.name_any(), view.state());
        text += &match drain {
            Some(drain) => drain_lines(drain, view, blocked(&status), Timestamp::now()),
            None => {
                waits(&status, view)
                    + &format!(
                        "  takes new sockets: {}\n",
                        if view.label(labels::TRAFFIC) == "accept" { "yes" } else { "no" }
                    )
            }
        };
    }
    Ok(text)
}

/// What drains wait for.
fn blocked(status: &SocketFleetStatus) -> Option<&str> {
    let condition = status.conditions.iter().find(|c| c.type_ == condition::DRAIN_BLOCKED)?;
    (condition.status == "True").then_some(condition.message.as_str())
}

/// Why a pod that has to go does not drain yet.
fn waits(status: &SocketFleetStatus, view: &PodView) -> String {
    let requested = view.annotation(labels::DRAIN_REQUESTED) == Some("true");
    let named = |text: &&str| text.contains(&view.pod.name_any());
    match blocked(status).filter(|text| requested || named(text)) {
        Some(text) => format!("  should drain, and waits: {text}\n"),
        None if requested => "  should drain: it was asked for\n".into(),
        None => String::new(),
    }
}

fn last_drains(status: &SocketFleetStatus, now: Timestamp) -> String {
    let mut table =
        Table::new(["DRAINED", "REASON", "AGO", "TOOK", "MOVED", "RECOVERED", "CUT", "AWAY P50", "P99"]);
    let seconds = |ms: Option<i64>| ms.map_or_else(|| "?".into(), |ms| format!("{:.1}s", ms as f64 / 1e3));
    for record in &status.last_drains {
        table.row([
            record.pod.clone(),
            record.reason.as_str().into(),
            age(now.as_second() - record.ended_at.0.as_second()),
            age(record.ended_at.0.as_second() - record.started_at.0.as_second()),
            record.moved.to_string(),
            record.recovered.to_string(),
            record.cut.to_string(),
            seconds(record.reconnect_p50_ms),
            seconds(record.reconnect_p99_ms),
        ]);
    }
    if status.last_drains.is_empty() { String::new() } else { table.render("  ") }
}

fn describe(fleet: &SocketFleet, views: &[PodView], now: Timestamp) -> String {
    let status = fleet.status.clone().unwrap_or_default();
    let phase = status.phase.map_or_else(|| "Unknown".into(), |p| format!("{p:?}"));
    let mut text = format!(
        "{}: {phase}, {} of {} pods Ready, {} draining, {} open sockets of {}\n",
        fleet.name_any(),
        status.ready_replicas,
        fleet.spec.replicas,
        status.draining_replicas,
        status.open_sockets,
        status.capacity,
    );
    if status.observed_generation != fleet.metadata.generation {
        text += "  the operator has not yet seen the latest spec\n";
    }
    text += &conditions(&status, "  ");
    if !status.drains.is_empty() {
        let mut table = Table::new(["DRAIN", "PHASE", "REASON", "LEFT", "FOR", "EMPTY IN", "DEADLINE IN"]);
        for drain in &status.drains {
            table.row([
                drain.pod.clone(),
                drain.phase.as_str().into(),
                drain.reason.as_str().into(),
                drain.remaining.map_or_else(|| "?".into(), |n| n.to_string()),
                age(now.as_second() - drain.started_at.0.as_second()),
                drain
                    .empty_at
                    .as_ref()
                    .map_or_else(|| "?".into(), |at| age(at.0.as_second() - now.as_second())),
                age(drain.deadline.0.as_second() - now.as_second()),
            ]);
        }
        text += &table.render("  ");
    }
    text += &last_drains(&status, now);
    text + &pod_table(views, "  ")
}

fn conditions(status: &SocketFleetStatus, indent: &str) -> String {
    let mut table = Table::new(["CONDITION", "STATUS", "REASON", "MESSAGE"]);
    for c in &status.conditions {
        table.row([c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()]);
    }
    table.render(indent)
}

fn pod_table(views: &[PodView], indent: &str) -> String {
    let mut table = Table::new(["POD", "SOCKETS", "USED", "STATE", "TRAFFIC", "REVISION", "NODE"]);
    for view in views {
        table.row([
            view.pod.name_any(),
            view.sockets(),
            view.utilization(),
            view.state(),
            view.label(labels::TRAFFIC),
            view.label(labels::REVISION),
            view.node(),
        ]);
    }
    table.render(indent)
}

fn drain_lines(drain: &DrainStatus, view: &PodView, blocked: Option<&str>, now: Timestamp) -> String {
    let left = drain.deadline.0.as_second() - now.as_second();
    let moved = view.health.as_ref().map(|h| &h.drain);
    let mut text = format!("  why: {}: {}\n", drain.reason.as_str(), drain.message);
    if let Some(report) = moved {
        text += &format!(
            "  sockets: {} left, {} moved, {} closed at the deadline\n",
            report.remaining, report.moved, report.forced
        );
    }
    text += &match (&drain.empty_at, blocked) {
        (Some(at), _) => {
            format!("  empty in about {} at this pace\n", age(at.0.as_second() - now.as_second()))
        }
        (None, Some(blocked)) => format!("  held: {blocked}\n"),
        (None, None) => String::new(),
    };
    text + &format!("  deadline in {}\n", age(left))
}

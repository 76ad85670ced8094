//! The end of the demo: a summary for the terminal, and one page of HTML that needs nothing beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use socketfleet_api::contract::DrainReason;
use socketfleet_plot::{Axis, Chart, Look, Page, Series, thousands};

use crate::record::{Change, PodSample, Record, Sample};
use crate::story::Outcome;

/// `spec.drain.reconnectsPerSecond` of the sample.
const BUDGET: f64 = 200.0;
const REVISION_COLORS: [&str; 3] = ["--blue", "--green", "--orange"];

/// A drain as the samples show it.
struct Drain {
    pod: String,
    reason: DrainReason,
    began: f64,
    ended: f64,
    sockets: u64,
}

/// The figures that matter, each with its name.
fn figures(record: &Record, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let Outcome { clients, reconnects_per_rollout, seconds_to_ready } = outcome;
    let most = |of: fn(&Sample) -> u64| record.samples.iter().map(of).max().unwrap_or(0);
    let fastest = record.changes().map(|(_, c)| c.reconnects_per_second).fold(0.0, f64::max);
    vec![
        ("messages lost", thousands(clients.lost + clients.outstanding.undelivered)),
        ("messages doubled", thousands(clients.doubled)),
        ("messages sent", thousands(clients.sent)),
        ("deliveries", thousands(clients.received)),
        ("sockets at most", thousands(most(|s| s.clients.connected))),
        ("pods at most", most(|s| s.pods.len() as u64).to_string()),
        (
            "sessions recovered",
            format!("{} of {}", thousands(clients.recovered), thousands(clients.reconnects)),
        ),
        ("reconnects per client in the rollout", format!("{reconnects_per_rollout:.2}")),
        ("reconnects per second at most", format!("{fastest:.0}")),
        (
            "delivery p50 / p99",
            format!(
                "{:.0} / {:.0} ms",
                clients.delivery_ms.quantile(0.5),
                clients.delivery_ms.quantile(0.99)
            ),
        ),
        (
            "reconnect p50 / p99",
            format!(
                "{:.1} / {:.1} s",
                clients.reconnect_ms.quantile(0.5) / 1e3,
                clients.reconnect_ms.quantile(0.99) / 1e3
            ),
        ),
        ("from apply to Ready", format!("{seconds_to_ready:.0} s")),
    ]
}

/// The summary for the terminal.
pub fn text(record: &Record, outcome: &Outcome) -> String {
    let mut out = String::from("\n");
    for (name, value) in figures(record, outcome) {
        let _ = writeln!(out, "  {name:<38} {value:>16}");
    }
    for Drain { pod, reason, began, ended, sockets } in drains(record) {
        let _ = writeln!(
            out,
            "  drained {pod} ({}): {sockets} sockets in {:.0} s",
            reason.as_str(),
            ended - began
        );
    }
    for (error, n) in &outcome.clients.errors {
        let _ = writeln!(out, "  clients saw {n} x {error}");
    }
    out
}

/// The page.
pub fn html(record: &Record, outcome: &Outcome) -> String {
    let axis = Axis { times: record.samples.iter().map(|s| s.at).collect(), steps: record.steps.clone() };
    let charts = [sockets(record), pods(record), reconnects(record), latency(record), messages(record)];
    let rows: String = drains(record)
        .iter()
        .map(|Drain { pod, reason, began, ended, sockets }| {
            format!(
                "<tr><td>{pod}<td>{}<td>{began:.0} s<td>{sockets}<td>{:.0} s</tr>",
                reason.as_str(),
                ended - began
            )
        })
        .collect();
    let verdict = if outcome.is_clean() {
        "No message was lost or doubled."
    } else {
        "Messages or sessions were lost: see the figures."
    };
    socketfleet_plot::html(&Page {
        title: "SocketFleet demo",
        intro: &format!(
            "One fleet on a real cluster: stock Socket.IO clients arrive, a new image is rolled out under them, most of them \
             leave. {verdict}"
        ),
        cards: &figures(record, outcome),
        axis: &axis,
        charts: &charts,
        after: &format!(
            "<h2>Drains</h2>\n<table><thead><tr><th>Pod<th>Reason<th>Began<th>Sockets<th>Took</tr></thead>\
             <tbody>{rows}</tbody></table>"
        ),
    })
}

/// Each pod is a layer; the colors tell the revisions.
fn sockets(record: &Record) -> Chart {
    let mut revisions: Vec<String> = Vec::new();
    let mut pods: Vec<PodSample> = Vec::new();
    for pod in record.samples.iter().flat_map(|s| &s.pods) {
        if !revisions.contains(&pod.revision) {
            revisions.push(pod.revision.clone());
        }
        if !pods.iter().any(|p| p.name == pod.name) {
            pods.push(pod.clone());
        }
    }
    let color = |revision: &str| {
        let n = revisions.iter().position(|r| r == revision).unwrap_or(0);
        REVISION_COLORS[n % REVISION_COLORS.len()]
    };
    let series = pods.iter().enumerate().map(|(n, pod)| {
        let mut last = None;
        let values = record.samples.iter().map(|sample| {
            let there = sample.pods.iter().find(|p| p.name == pod.name);
            // A pod that does not answer for a moment has not lost its sockets.
            last = there.and_then(|p| p.sockets.or(last));
            last.map(|n| n as f64)
        });
        let values = values.collect();
        Series {
            name: pod.name.clone(),
            color: color(&pod.revision),
            values,
            look: Look::Layer { pale: n % 2 == 1 },
        }
    });
    Chart {
        title: "Sockets on each pod",
        unit: "sockets",
        series: series.collect(),
        legend: revisions.iter().map(|r| (format!("revision {r}"), color(r))).collect(),
        limit: None,
    }
}

fn pods(record: &Record) -> Chart {
    let of = |name: &str, color, look, value: fn(&Sample) -> i32| Series {
        name: name.into(),
        color,
        look,
        values: record.samples.iter().map(|s| Some(f64::from(value(s)))).collect(),
    };
    Chart::lines(
        "Pods",
        "pods",
        vec![
            of("desired", "--ink", Look::Wanted, |s| s.desired),
            of("ready", "--green", Look::Steps, |s| s.ready),
            of("draining", "--orange", Look::Steps, |s| s.draining),
        ],
        None,
    )
}

fn reconnects(record: &Record) -> Chart {
    let series = vec![changing(record, "reconnects", "--orange", |c| c.reconnects_per_second)];
    Chart::lines("Reconnects", "per second", series, Some((BUDGET, "budget")))
}

fn latency(record: &Record) -> Chart {
    let series = vec![
        changing(record, "p50", "--blue", |c| c.delivery_p50_ms),
        changing(record, "p99", "--orange", |c| c.delivery_p99_ms),
    ];
    Chart::lines("From sending a message to its delivery", "ms", series, None)
}

fn messages(record: &Record) -> Chart {
    let series = vec![
        changing(record, "sent", "--blue", |c| c.sent_per_second),
        changing(record, "delivered", "--green", |c| c.received_per_second),
    ];
    Chart::lines("Messages", "per second", series, None)
}

fn changing(record: &Record, name: &str, color: &'static str, value: fn(&Change) -> f64) -> Series {
    let values = std::iter::once(None).chain(record.changes().map(|(_, change)| Some(value(&change))));
    Series { name: name.into(), color, look: Look::Line, values: values.take(record.samples.len()).collect() }
}

fn drains(record: &Record) -> Vec<Drain> {
    let mut drains: BTreeMap<String, Drain> = BTreeMap::new();
    for sample in &record.samples {
        for status in &sample.drains {
            let of_pod = || sample.pods.iter().find(|p| p.name == status.pod).and_then(|p| p.sockets);
            let sockets = status.remaining.map(|n| n.max(0) as u64).or_else(of_pod).unwrap_or(0);
            let drain = drains.entry(status.uid.clone()).or_insert_with(|| Drain {
                pod: status.pod.clone(),
                reason: status.reason,
                began: sample.at,
                ended: sample.at,
                sockets,
            });
            drain.ended = sample.at;
            drain.sockets = drain.sockets.max(sockets);
        }
    }
    let mut drains: Vec<Drain> = drains.into_values().collect();
    drains.sort_by(|a, b| a.began.total_cmp(&b.began));
    drains
}

#[cfg(test)]
mod tests {
    use socketfleet_tests::Stats;

    use super::*;

    /// 3 pods that fill up; then a new revision takes their sockets.
    fn record() -> Record {
        let mut record = Record::new();
        record.steps = vec![(0.0, "Scale out".into()), (60.0, "Roll out".into())];
        record.samples = (0..120u32).map(|second| sample(second.into())).collect();
        record
    }

    fn sample(at: f64) -> Sample {
        let moved = ((at - 60.0) * 15.0).clamp(0.0, 600.0);
        let pod = |name: &str, revision: &str, sockets: f64| PodSample {
            name: format!("chat-{revision}-{name}"),
            node: "n1".into(),
            revision: revision.into(),
            traffic: "accept".into(),
            state: "Serving".into(),
            sockets: Some(sockets as u64),
        };
        let filled = (at * 10.0).min(600.0) - moved;
        let mut pods: Vec<PodSample> = ["a", "b", "c"].map(|n| pod(n, "6f9c", filled / 3.0)).into();
        if at > 60.0 {
            pods.extend(["d", "e"].map(|n| pod(n, "77b0", moved / 2.0)));
        }
        let clients = Stats {
            connected: 600,
            sent: (at * 100.0) as u64,
            received: (at * 800.0) as u64,
            reconnects: moved as u64,
            recovered: moved as u64,
            ..Stats::default()
        };
        let (phase, revision) = ("Running".into(), "6f9c".into());
        Sample { at, phase, revision, desired: 3, ready: 3, draining: 0, pods, drains: Vec::new(), clients }
    }

    fn outcome() -> Outcome {
        Outcome { clients: Stats::default(), reconnects_per_rollout: 1.0, seconds_to_ready: 6.2 }
    }

    #[test]
    fn the_page_needs_nothing_beside_it() {
        let page = html(&record(), &outcome());
        for outside in ["http:", "https:", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), 5);
        assert_eq!(page.matches("<polygon").count(), 5, "a layer for each pod");
        assert!(page.contains("No message was lost or doubled."));
    }

    #[test]
    fn what_is_outstanding_at_the_end_is_lost() {
        let mut outcome = outcome();
        outcome.clients.outstanding.undelivered = 2;
        assert!(!outcome.is_clean());
        assert!(figures(&record(), &outcome).contains(&("messages lost", "2".into())));
    }
}

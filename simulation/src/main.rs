//! `make simulate`: a day of 2,000 pods and ten million sockets in a few minutes. Prints what matters and draws it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socketfleet_plot::{Axis, Chart, Look, Page, Series, thousands};
use socketfleet_simulation::day::{self, Outcome, Sample, Size};

const SIZE: Size = Size {
    pods: 2_000,
    target: 5_000,
    capacity: 6_250,
    budget: 20_000.0,
    nodes: 300,
    day: 24 * 3_600_000,
    step: 2_000,
};
/// How often the wanted number may turn: down at night, up by day, over and back at the zone's loss, down at night.
const TURNS: u32 = 5;

fn main() -> Result<ExitCode> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "build/simulation.html".into());
    println!("A day of {} pods and {} sockets …", thousands(SIZE.pods.into()), thousands(10_000_000));
    let begun = Instant::now();
    let outcome = day::run(SIZE);
    let figures = figures(&outcome);
    for (name, value) in &figures {
        println!("  {name:<52} {value:>18}");
    }
    let faults = faults(&outcome);
    std::fs::create_dir_all(std::path::Path::new(&file).parent().unwrap_or(std::path::Path::new(".")))?;
    std::fs::write(&file, page(&outcome, &figures, &faults)).with_context(|| file.clone())?;
    println!("{file}, after {:.0} s", begun.elapsed().as_secs_f64());
    faults.iter().for_each(|fault| println!("FAILED: {fault}"));
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn figures(o: &Outcome) -> Vec<(&'static str, String)> {
    let most = |of: fn(&Sample) -> f64| o.samples.iter().map(of).fold(0.0, f64::max);
    let seconds = |s: Option<f64>| s.map_or_else(|| "never".into(), |s| format!("{s:.0} s"));
    let millis =
        |d: Option<&Duration>| d.map_or_else(String::new, |d| format!("{:.1} ms", d.as_secs_f64() * 1e3));
    vec![
        ("sockets at most", thousands(most(|s| s.open as f64) as u64)),
        ("pods at most", thousands(most(|s| f64::from(s.pods)) as u64)),
        ("drains, of these taken back", format!("{}, {}", thousands(o.drains.into()), o.taken_back)),
        ("sockets moved, of these cut at a deadline", format!("{}, {}", thousands(o.moved), o.forced)),
        ("reconnects per second by drains at most", thousands(most(|s| s.moved_per_second) as u64)),
        ("budget of reconnects per second", thousands(SIZE.budget as u64)),
        ("pace in force at most, of the budget", format!("{:.1} %", o.pace_of_budget * 100.0)),
        ("rollout: from the new revision to the last old pod", seconds(o.rollout_took)),
        ("rollout: moves per client", format!("{:.2}", o.moves_per_client)),
        ("zone lost: sockets cut", thousands(o.lost)),
        ("zone lost: until all clients were back", seconds(o.back_after)),
        (
            "connects per second at most, the lost zone's included",
            thousands(most(|s| s.accepted_per_second) as u64),
        ),
        ("longest drain, from its begin until the pod was gone", format!("{:.0} s", o.longest_drain)),
        ("pods held longer than their deadline", o.late_drains.to_string()),
        ("pod hours", thousands(o.pod_hours as u64)),
        (
            "pod hours beyond the load's need and a tenth",
            format!("{:.1} %", o.held_hours / o.pod_hours * 100.0),
        ),
        ("turns of the wanted number", format!("{} (at most {TURNS})", o.turns)),
        ("a look, its writes included: median", millis(o.decisions.get(o.decisions.len() / 2))),
        ("a look, its writes included: p99", millis(o.decisions.get(o.decisions.len() * 99 / 100))),
    ]
}

/// What must not be.
fn faults(o: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| faults.extend((!holds).then(|| what.to_owned()));
    must(o.pace_of_budget <= 1.001, "the budget was exceeded");
    must(o.robbed == 0, "a pod was deleted while it held sockets");
    must(o.forced == 0, "sockets were cut at a deadline");
    must(o.late_drains == 0, "a pod was held longer than its deadline");
    must(o.turns <= TURNS, "the wanted number oscillates");
    must(o.rollout_took.is_some(), "the rollout did not end");
    must(o.back_after.is_some(), "clients of the lost zone did not come back");
    faults
}

fn page(o: &Outcome, figures: &[(&'static str, String)], faults: &[String]) -> String {
    let axis = Axis { times: o.samples.iter().map(|s| s.at).collect(), steps: o.steps.clone() };
    let series = |name: &str, color, look, of: fn(&Sample) -> f64| Series {
        name: name.into(),
        color,
        look,
        values: o.samples.iter().map(|s| Some(of(s))).collect(),
    };
    let charts = [
        Chart::lines(
            "Sockets",
            "sockets",
            vec![
                series("clients", "--ink", Look::Wanted, |s| s.clients as f64),
                series("open", "--blue", Look::Line, |s| s.open as f64),
            ],
            None,
        ),
        Chart::lines(
            "Pods",
            "pods",
            vec![
                series("needed by the load", "--ink", Look::Wanted, |s| f64::from(s.needed)),
                series("wanted by the autoscaler", "--blue", Look::Steps, |s| f64::from(s.desired)),
                series("there", "--green", Look::Steps, |s| f64::from(s.pods)),
                series("draining", "--orange", Look::Steps, |s| f64::from(s.draining)),
            ],
            None,
        ),
        Chart::lines(
            "Reconnects by drains",
            "per second",
            vec![series("reconnects", "--orange", Look::Line, |s| s.moved_per_second)],
            Some((SIZE.budget, "budget")),
        ),
        Chart::lines(
            "Connects for whatever reason",
            "per second",
            vec![series("connects", "--green", Look::Line, |s| s.accepted_per_second)],
            None,
        ),
    ];
    let verdict = if faults.is_empty() {
        "The budget held, no pod was held too long, and nothing oscillated.".to_owned()
    } else {
        format!("It failed: {}.", faults.join("; "))
    };
    socketfleet_plot::html(&Page {
        title: "SocketFleet: a simulated day",
        intro: &format!(
            "2,000 pods and 10 million sockets in virtual time: the operator's own drain machine, and the arithmetic of the \
             HorizontalPodAutoscaler. A rollout on the way up, a zone lost at the peak. {verdict}"
        ),
        cards: figures,
        axis: &axis,
        charts: &charts,
        after: "",
    })
}

//! The operator's figures, printed as a table: `make bench`, or `cargo run -p socketfleet-tests --bin operator-bench`.
//!
//! Latencies are of real pods; scale is of simulated ones (kwok), whose admin endpoints a small program of
//! this bench answers, so that the operator asks for counts as it would in earnest.

mod latency;
mod pods;
mod scale;
mod usage;

use anyhow::{Result, ensure};
use socketfleet_tests::{Cluster, TAG};

/// Kept apart from the cluster of the tests. Its control plane has the limits that it has by default: one that made pods
/// faster would leave the operator nothing of a small machine.
const CLUSTER: [(&str, &str); 2] = [("CLUSTER_NAME", "bench"), ("CLUSTER_NODES", "1")];
/// What the operator and the fleets that are waited for need.
const IMAGES: [&str; 3] = ["socketfleet-operator", "socket-server", "redis"];

/// A figure of the table.
struct Figure {
    name: &'static str,
    target: &'static str,
    measured: String,
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(pods::ANSWER) {
        return pods::answer();
    }
    ensure!(
        std::env::var("CLUSTER").is_ok_and(|c| c != "current") || std::env::var("CLUSTER").is_err(),
        CURRENT
    );
    let cluster = Cluster::up_with(&CLUSTER)?;
    cluster.load_images(TAG, &IMAGES)?;
    cluster.install_operator(&[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        let client = cluster.client().await?;
        let mut figures = latency::measure(&client).await?;
        figures.extend(scale::measure(&cluster, &client).await?);
        anyhow::Ok(figures)
    });
    let ended = cluster.script(&["down"]);
    print(&figures?);
    ended.map(drop)
}

const CURRENT: &str =
    "CLUSTER=current: the bench needs simulated nodes, and a cluster that may be filled; unset CLUSTER";

fn print(figures: &[Figure]) {
    println!("\n| figure | target | measured |\n|---|---:|---:|");
    for Figure { name, target, measured } in figures {
        println!("| {name} | {target} | {measured} |");
    }
}

/// The quantile `q` of some values, which are sorted here.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (q * values.len() as f64).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

//! Long tests, with figures: `make soak`, or `cargo run -p socketfleet-tests --bin soak [scale-ins|kills]`.
//!
//! What `make test` shows once is repeated here until chance has had its turn: a hundred scale-ins of one pod in a row
//! while other pods break, and an acting operator that is killed five times at each step of a drain.
#![allow(clippy::unwrap_used)]

mod kills;
mod scale_ins;

use std::time::Duration;

use anyhow::{Result, bail};
use socketfleet_tests::{Clients, Stats, Weight, scenario};

/// A line of the summary.
struct Figure {
    what: String,
    times: usize,
    /// Pods that went and were not the ones to go, or had not been emptied.
    wrong: usize,
    took: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let only = std::env::args().nth(1);
    let (scale_ins, kills) = match only.as_deref() {
        None => (true, true),
        Some("scale-ins") => (true, false),
        Some("kills") => (false, true),
        Some(other) => bail!("{other}: scale-ins, kills, or nothing for both"),
    };
    let mut figures = Vec::new();
    let mut counts = Stats::default();
    if scale_ins {
        scenario("soak_scale_ins", Weight::Heavy, async |s| {
            let (figure, stats) = scale_ins::run(s).await;
            figures.extend(figure);
            counts = [std::mem::take(&mut counts), stats].into_iter().sum();
        })
        .await;
    }
    if kills {
        scenario("soak_kills", Weight::Alone, async |s| {
            let (figure, stats) = kills::run(s).await;
            figures.extend(figure);
            counts = [std::mem::take(&mut counts), stats].into_iter().sum();
        })
        .await;
    }
    print(&figures, &counts);
    let wrong = figures.iter().map(|figure| figure.wrong).sum::<usize>();
    let Stats { lost, doubled, failed, unrecovered, .. } = counts;
    if (wrong, lost, doubled, failed, unrecovered) != (0, 0, 0, 0, 0) {
        bail!("pods went that were to stay, or messages or sessions were lost");
    }
    Ok(())
}

fn print(figures: &[Figure], counts: &Stats) {
    println!("\n| what | times | wrong victims | median s | longest s |\n|---|---:|---:|---:|---:|");
    for Figure { what, times, wrong, took } in figures {
        let mut took: Vec<f64> = took.iter().map(Duration::as_secs_f64).collect();
        took.sort_by(f64::total_cmp);
        let [median, longest] =
            [took.len() / 2, took.len().saturating_sub(1)].map(|i| took.get(i).unwrap_or(&0.0));
        println!("| {what} | {times} | {wrong} | {median:.1} | {longest:.1} |");
    }
    let Stats { sent, received, lost, doubled, resent, failed, reconnects, recovered, unrecovered, .. } =
        counts;
    println!(
        "\n{sent} messages sent, {received} deliveries: {lost} lost, {doubled} doubled, {failed} given up, {resent} sent again"
    );
    println!("{reconnects} reconnects: {recovered} with the session, {unrecovered} without");
}

/// Lets all clients leave and come again, so that pods that are new get their share.
async fn spread(clients: &Clients, sockets: u64) {
    clients.want_sockets(0).await;
    clients.until("everybody to leave", |c| c.sockets == 0).await;
    clients.want_sockets(sockets).await;
    clients.until_joined(sockets).await;
}

//! The demo: a real fleet on a real cluster under a real load. It scales out, takes a new image, drains and
//! scales in, while every message is counted; it ends with a report, `build/demo.html`.

mod record;
mod report;
mod screen;
mod story;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use socketfleet_tests::{Cluster, IMAGES, TAG, repository};
use tokio::sync::Mutex;

use record::Record;
use screen::Screen;
use story::Story;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let screen = Arc::new(Mutex::new(Screen::new()));
    let cluster = prepare(&screen).await?;
    let client = cluster.client().await?;
    let record = Arc::new(Mutex::new(Record::new()));

    let outcome = Story { cluster, client, screen: screen.clone(), record: record.clone() }.tell().await?;

    let file = repository().join("build/demo.html");
    let record = record.lock().await;
    std::fs::write(&file, report::html(&record, &outcome)).with_context(|| format!("{}", file.display()))?;
    screen.lock().await.say(&report::text(&record, &outcome));
    screen
        .lock()
        .await
        .say(&format!("\nReport: {}\nThe fleet still runs; `make demo-down` ends it.", file.display()));
    Ok(if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Cluster, images and operator; these are blocking programs.
async fn prepare(screen: &Arc<Mutex<Screen>>) -> Result<Arc<Cluster>> {
    let step = async |text: &str| screen.lock().await.step(text);
    step("A Kubernetes cluster: two nodes on this machine (20 s; 10 minutes the first time)").await;
    let cluster = Arc::new(blocking(Cluster::up).await?);
    step("Images: operator, server, Redis and clients (10 s; 10 minutes the first time)").await;
    blocking({
        let cluster = cluster.clone();
        move || {
            cluster
                .load_images(TAG, &IMAGES)
                .and_then(|()| cluster.load_images(story::NEW_TAG, &["socket-server"]))
        }
    })
    .await?;
    step("helm upgrade --install socketfleet charts/socketfleet (15 s)").await;
    blocking({
        let cluster = cluster.clone();
        move || cluster.install_operator(&[])
    })
    .await?;
    Ok(cluster)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a step was aborted")?
}

//! Scale-ins of one pod in a row. In every third another pod turns NotReady while its Deployment shrinks: by turns
//! because its process is killed, and because it stands still.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{
    Blow, ClientOptions, History, Scenario, Stats, Until, has_machines, is_ready, servers, small_fleet,
};

use super::{Figure, spread};

const TIMES: usize = 100;
/// The fleet shrinks from so many pods…
const MOST: u32 = 13;
/// …to so many, and grows again.
const FEWEST: u32 = 3;
const SOCKETS: u64 = 96;

pub async fn run(s: &Scenario) -> (Vec<Figure>, Stats) {
    s.run_fleet(&small_fleet("chat", &format!("replicas: {FEWEST}"))).await;
    let options = ClientOptions { sockets: SOCKETS, rate: 0.5, ..Default::default() };
    let clients = s.clients("chat", &options).await;
    clients.until_joined(SOCKETS).await;
    let history = History::of(s.pods(), &servers("chat"));
    let figure = |what: &str| Figure { what: what.into(), times: 0, wrong: 0, took: Vec::new() };
    let mut figures = ["all others Ready", "another one killed", "another one frozen"].map(figure);

    let mut replicas = FEWEST;
    for n in 0..TIMES {
        if replicas == FEWEST {
            replicas = MOST;
            s.scale("chat", replicas).await;
            s.until_running("chat").await;
            spread(&clients, SOCKETS).await;
            s.until_counted("chat", SOCKETS).await;
        }
        replicas -= 1;
        let before = history.gone().len();
        let started = Instant::now();
        s.scale("chat", replicas).await;
        let victim = s.until_drain("chat").await.pod;
        let trouble = if n % 3 != 2 || !has_machines() { 0 } else { 1 + n / 3 % 2 };
        match trouble {
            1 => kill_another(s, &history, &victim, n).await,
            2 => freeze_another(s, &victim, n).await,
            _ => {}
        }
        history.until_deleted(&victim).await;
        let took = started.elapsed();
        s.until_running("chat").await;
        let gone = history.gone()[before..].to_vec();
        let emptied = history.phases(&victim).last() == Some(&PodDrainPhase::Empty);
        let wrong = gone.iter().filter(|pod| **pod != victim).count() + usize::from(!emptied);
        let figure = &mut figures[trouble];
        figure.times += 1;
        figure.wrong += wrong;
        figure.took.push(took);
        let what = &figure.what;
        println!(
            "{:3}/{TIMES}  {victim} went after {:4.1} s, {what}; wrong {wrong}",
            n + 1,
            took.as_secs_f64()
        );
    }
    clients.until_joined(SOCKETS).await;
    (figures.into(), clients.settle().await)
}

async fn another(s: &Scenario, victim: &str, n: usize) -> Pod {
    let mut others = s.servers("chat").await;
    others.retain(|pod| is_ready(pod) && pod.name_any() != victim);
    others.swap_remove(n % others.len())
}

/// Kills the process of another pod about when the Deployment shrinks.
async fn kill_another(s: &Scenario, history: &History, victim: &str, n: usize) {
    let other = another(s, victim, n).await;
    history.until_phase(victim, PodDrainPhase::Empty).await;
    // The shrink comes two seconds after the phase at the earliest.
    tokio::time::sleep(Duration::from_millis(1_000 + n as u64 * 370 % 2_000)).await;
    s.cluster.strike(&other, Blow::Kill).unwrap();
}

/// Freezes another pod from the beginning of the drain until it is seen not to be Ready.
async fn freeze_another(s: &Scenario, victim: &str, n: usize) {
    let other = another(s, victim, n).await;
    s.cluster.strike(&other, Blow::Pause).unwrap();
    s.pods().until(&other.name_any(), "not Ready", |pod| !is_ready(pod)).await;
    s.cluster.strike(&other, Blow::Resume).unwrap();
}

//! The acting operator is killed at each step of a drain, several times; one that stands by goes on.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{
    ClientOptions, Clients, History, Scenario, Stats, Until, kill_operator, leader, servers, small_fleet,
};

use super::{Figure, spread};

/// Kills at each step.
const TIMES: usize = 5;
const SOCKETS: u64 = 60;

/// Drains that end in time, and such that come to their deadline.
const QUICK: &str = "{replicas: 1, drain: {deadlineSeconds: 120, reconnectsPerSecond: 5}}";
const CUT: &str = "{replicas: 1, drain: {deadlineSeconds: 5, reconnectsPerSecond: 1}}";

pub async fn run(s: &Scenario) -> (Vec<Figure>, Stats) {
    s.cluster.install_operator(&["replicas=2"]).unwrap();
    let mut figures = Vec::new();
    let mut counts = Vec::new();
    for (fleet, spec, steps) in [
        (
            "quick",
            QUICK,
            &[Some(PodDrainPhase::Notified), Some(PodDrainPhase::Draining), Some(PodDrainPhase::Empty), None]
                [..],
        ),
        ("cut", CUT, &[Some(PodDrainPhase::Forced)]),
    ] {
        s.run_fleet(&small_fleet(fleet, spec)).await;
        let clients = s.clients(fleet, &ClientOptions { sockets: SOCKETS, ..Default::default() }).await;
        clients.until_joined(SOCKETS).await;
        let history = History::of(s.pods(), &servers(fleet));
        for step in steps {
            figures.push(kill_at(s, fleet, &clients, &history, *step).await);
        }
        clients.until_joined(SOCKETS).await;
        counts.push(clients.settle().await);
        clients.want_sockets(0).await;
    }
    (figures, counts.into_iter().sum())
}

/// Kills at a step of a drain; `None` is the moment in which the emptied pod is being deleted.
async fn kill_at(
    s: &Scenario,
    fleet: &str,
    clients: &Clients,
    history: &History,
    step: Option<PodDrainPhase>,
) -> Figure {
    let name = step.map_or("pod being deleted", PodDrainPhase::as_str);
    let mut figure =
        Figure { what: format!("operator killed: {name}"), times: 0, wrong: 0, took: Vec::new() };
    for n in 1..=TIMES {
        s.scale(fleet, 2).await;
        s.until_running(fleet).await;
        spread(clients, SOCKETS).await;
        s.until_counted(fleet, SOCKETS).await;
        let acting = leader(&s.client, None).await;
        let before = history.gone().len();
        let started = Instant::now();
        s.scale(fleet, 1).await;
        let victim = s.until_drain(fleet).await.pod;
        match step {
            Some(phase) => history.until_phase(&victim, phase).await,
            None => {
                let deleted = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
                s.pods().until(&victim, "deleted", deleted).await;
            }
        }
        kill_operator(s.cluster, &s.client, &acting).await;
        let at = history.phases(&victim).last().map_or("", |phase| phase.as_str());
        leader(&s.client, Some(&acting.name_any())).await;
        history.until_deleted(&victim).await;
        let took = started.elapsed();
        s.until_running(fleet).await;
        let gone = history.gone()[before..].to_vec();
        let emptied = history.phases(&victim).last() == Some(&PodDrainPhase::Empty);
        let wrong = gone.iter().filter(|pod| **pod != victim).count() + usize::from(!emptied);
        figure.times += 1;
        figure.wrong += wrong;
        figure.took.push(took);
        println!(
            "{name} {n}/{TIMES}: killed at {at}; {victim} went after {:.1} s; wrong {wrong}",
            took.as_secs_f64()
        );
    }
    figure
}

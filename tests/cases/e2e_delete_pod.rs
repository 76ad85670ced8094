//! Pods that others take away: deleted, evicted, killed, or their node drained.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::DeleteParams;
use socketfleet_tests::{
    Blow, ClientOptions, Clients, Scenario, Stats, Until, Weight, has_machines, scenario, small_fleet,
    sockets_on,
};

/// A fleet of 3 with 90 clients, and the name of one of its pods.
async fn fleet_with_clients(s: &Scenario) -> (Clients, String) {
    s.run_fleet(&small_fleet("chat", "replicas: 3")).await;
    let clients = s.clients("chat", &ClientOptions { sockets: 90, ..Default::default() }).await;
    clients.until_joined(90).await;
    let pods = s.servers("chat").await;
    (clients, pods[0].name_any())
}

/// Waits until the fleet is whole again and all clients are in their rooms, then counts.
async fn outcome(s: &Scenario, clients: &Clients, gone: &str) -> Stats {
    s.pods().until_gone(gone).await;
    s.until_running("chat").await;
    clients.until_joined(90).await;
    clients.settle().await
}

#[tokio::test]
async fn kubectl_delete_pod_drains_it_first() {
    scenario("e2e_delete_pod", Weight::Heavy, async |s| {
        let (clients, pod) = fleet_with_clients(s).await;
        let sockets = sockets_on(&s.client, &s.servers("chat").await).await[&pod];
        s.kubectl(&["delete", "pod", &pod, "--wait=false"]);
        let stats = outcome(s, &clients, &pod).await;
        stats.assert_no_loss();
        assert_eq!(
            (stats.reconnects, stats.maintenance),
            (sockets, sockets),
            "its clients move, told so: {stats:#?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_evicted_pod_drains_first() {
    scenario("e2e_evict_pod", Weight::Heavy, async |s| {
        let (clients, pod) = fleet_with_clients(s).await;
        let allows =
            |pdb: &PodDisruptionBudget| pdb.status.as_ref().is_some_and(|s| s.disruptions_allowed > 0);
        s.api().until("chat", "a disruption to be allowed", allows).await;
        s.pods().evict(&pod, &Default::default()).await.unwrap();
        outcome(s, &clients, &pod).await.assert_no_loss();
    })
    .await;
}

#[tokio::test]
async fn clients_of_a_killed_pod_recover() {
    scenario("e2e_kill_pod", Weight::Heavy, async |s| {
        let (clients, pod) = fleet_with_clients(s).await;
        let sockets = sockets_on(&s.client, &s.servers("chat").await).await[&pod];
        if has_machines() {
            // Its process alone, by SIGKILL: the kubelet starts another one in the same pod.
            let killed = s.pods().get(&pod).await.unwrap();
            s.cluster.strike(&killed, Blow::Kill).unwrap();
        } else {
            s.pods().delete(&pod, &DeleteParams::default().grace_period(0)).await.unwrap();
        }
        clients.until("its clients moved", |c| c.reconnects >= sockets).await;
        s.until_running("chat").await;
        clients.until_joined(90).await;
        let stats = clients.settle().await;
        // What a client had sent and got no answer for it sends again: that is not a loss.
        stats.assert_no_loss();
        assert_eq!(stats.reconnects, sockets, "{stats:#?}");
    })
    .await;
}

//! The control plane loses its power in the middle of a drain: clients do not notice, and the drain goes on.

use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{ClientOptions, History, Weight, has_machines, scenario, servers, small_fleet};

#[tokio::test]
async fn a_drain_goes_on_without_and_after_the_api_server() {
    if !has_machines() {
        return; // Somebody else's control plane.
    }
    scenario("e2e_api_server", Weight::Alone, async |s| {
        let slow = "{replicas: 2, drain: {deadlineSeconds: 300, reconnectsPerSecond: 2}}";
        s.run_fleet(&small_fleet("chat", slow)).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 80, ..Default::default() }).await;
        clients.until_joined(80).await;
        let history = History::of(s.pods(), &servers("chat"));

        s.scale("chat", 1).await;
        let victim = s.until_drain("chat").await.pod;
        let moved = clients.until("the first client moved", |c| c.reconnects > 0).await.reconnects;
        s.cluster.script(&["stop", "cp"]).unwrap();
        s.cluster.script(&["start", "cp"]).unwrap();
        // The server goes on by itself, at its pace.
        clients.until("more clients moved", |c| c.reconnects > moved).await;
        history.until_deleted(&victim).await;
        s.until_running("chat").await;
        clients.until_joined(80).await;
        clients.settle().await.assert_no_loss();
        assert_eq!(history.phases(&victim).last(), Some(&PodDrainPhase::Empty));
        assert_eq!(history.gone(), [victim]);
    })
    .await;
}

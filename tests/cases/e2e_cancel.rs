//! A drain is taken back in its first and in its last phase; e2e_scale_in has the one between.

use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{ClientOptions, History, Weight, scenario, servers, small_fleet};

#[tokio::test]
async fn a_pod_that_was_told_or_emptied_serves_again() {
    scenario("e2e_cancel", Weight::Heavy, async |s| {
        s.run_fleet(&small_fleet("chat", "replicas: 2")).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 60, ..Default::default() }).await;
        clients.until_joined(60).await;
        let history = History::of(s.pods(), &servers("chat"));

        for phase in [PodDrainPhase::Notified, PodDrainPhase::Empty] {
            s.scale("chat", 1).await;
            let victim = s.until_drain("chat").await.pod;
            history.until_phase(&victim, phase).await;
            s.scale("chat", 2).await;
            s.until_running("chat").await;
            clients.until_joined(60).await;
            // One whose Deployment shrinks already cannot stay, and has been emptied before.
            if history.gone().contains(&victim) {
                assert_eq!(history.phases(&victim).last(), Some(&PodDrainPhase::Empty));
            } else {
                s.until_serves(&victim).await;
            }
        }
        clients.settle().await.assert_no_loss();
    })
    .await;
}

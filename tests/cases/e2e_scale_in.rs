//! Fewer pods are wanted: exactly one drained pod goes, and nobody misses a message.

use socketfleet_api::SocketFleet;
use socketfleet_api::contract::PodDrainPhase;
use socketfleet_api::fleet::DrainStatus;
use socketfleet_tests::{ClientOptions, History, Until, Weight, scenario, servers, small_fleet, sockets_on};

#[tokio::test]
async fn the_pod_with_the_fewest_sockets_drains_and_goes() {
    scenario("e2e_scale_in", Weight::Heavy, async |s| {
        s.run_fleet(&small_fleet("chat", "replicas: 3")).await;
        let clients = s.clients("chat", &ClientOptions::default()).await;
        clients.until_joined(100).await;
        s.until_counted("chat", 100).await;

        let before = sockets_on(&s.client, &s.servers("chat").await).await;
        assert_eq!(before.values().sum::<u64>(), 100, "{before:?}");
        let fewest = *before.values().min().unwrap();
        let history = History::of(s.pods(), &servers("chat"));
        clients.mark().await;
        s.scale("chat", 2).await;
        let DrainStatus { pod: victim, message, .. } = s.until_drain("chat").await;
        let moving = before[&victim];
        // Pods that have up to a tenth more are as good a choice.
        assert!(moving <= fewest + fewest / 10, "{victim} ({message}): {before:?}");
        history.until_deleted(&victim).await;
        s.until_running("chat").await;

        clients.until_joined(100).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert_eq!(stats.reconnects, moving, "only the victim's clients move: {stats:#?}");
        assert_eq!((stats.recovered, stats.maintenance), (moving, moving));
        // What the servers say that its clients came to.
        let of_victim = |f: &SocketFleet| {
            let mut records = f.status.iter().flat_map(|s| &s.last_drains).filter(|d| d.pod == victim);
            records.any(|d| (d.moved, d.recovered, d.cut) == (moving as i64, moving as i64, 0))
        };
        s.fleets().until("chat", "the evidence of the drain", of_victim).await;
        assert_eq!(history.gone(), [&*victim]);
        assert_eq!(history.phases(&victim).last(), Some(&PodDrainPhase::Empty));
    })
    .await;
}

#[tokio::test]
async fn a_drain_is_taken_back_when_the_pods_are_wanted_again() {
    scenario("e2e_scale_in_cancelled", Weight::Heavy, async |s| {
        // Slow enough to be in the middle of it.
        s.run_fleet(&small_fleet(
            "chat",
            "{replicas: 2, drain: {deadlineSeconds: 600, reconnectsPerSecond: 1}}",
        ))
        .await;
        let clients = s.clients("chat", &ClientOptions::default()).await;
        clients.until_joined(100).await;
        let history = History::of(s.pods(), &servers("chat"));

        s.scale("chat", 1).await;
        s.until_drain("chat").await;
        clients.until("the first client moved", |c| c.reconnects > 0).await;
        s.scale("chat", 2).await;
        s.until_running("chat").await;

        clients.until_joined(100).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert!(stats.reconnects < 40, "the drain went on: {stats:#?}");
        assert!(history.gone().is_empty());
    })
    .await;
}

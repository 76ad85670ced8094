//! Fewer pods are wanted: exactly one drained pod goes, and nobody misses a message.

use kube::ResourceExt;
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use socketfleet_tests::{
    ClientOptions, History, Scenario, Until, Weight, scenario, servers, small_fleet, sockets_on,
};

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
        scale(s, 2).await;
        let fleet = s.fleets().until("chat", "a drain", |f| !drained(f).is_empty()).await;
        let victim = drained(&fleet).remove(0);
        let moving = before[&victim];
        // Pods that have up to a tenth more are as good a choice.
        let why =
            || fleet.status.iter().flat_map(|s| &s.drains).map(|d| d.message.clone()).collect::<String>();
        assert!(moving <= fewest + fewest / 10, "{victim} ({}): {before:?}", why());
        s.pods().until_gone(&victim).await;
        s.until_running("chat").await;

        clients.until_joined(100).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert_eq!(stats.reconnects, moving, "only the victim's clients move: {stats:#?}");
        assert_eq!((stats.recovered, stats.maintenance), (moving, moving));
        let gone = history.deleted();
        assert_eq!(gone.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [victim]);
        assert_eq!(gone[0].annotations().get(labels::DRAIN_PHASE).map(String::as_str), Some("Empty"));
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

        scale(s, 1).await;
        s.fleets().until("chat", "a drain", |f| !drained(f).is_empty()).await;
        clients.until("the first client moved", |c| c.reconnects > 0).await;
        scale(s, 2).await;
        s.until_running("chat").await;

        clients.until_joined(100).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert!(stats.reconnects < 40, "the drain went on: {stats:#?}");
        assert_eq!(history.deleted().len(), 0);
    })
    .await;
}

async fn scale(s: &Scenario, replicas: i32) {
    s.patch_fleet("chat", json!({ "spec": { "replicas": replicas } })).await;
}

fn drained(fleet: &SocketFleet) -> Vec<String> {
    fleet.status.iter().flat_map(|s| &s.drains).map(|d| d.pod.clone()).collect()
}

//! Redis is killed in the middle of a drain.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{ClientOptions, History, Until, Weight, is_ready, scenario, servers, small_fleet};

#[tokio::test]
async fn the_drain_ends_and_everybody_comes_back() {
    scenario("e2e_redis_in_drain", Weight::Heavy, async |s| {
        s.run_fleet(&small_fleet(
            "chat",
            "{replicas: 2, drain: {deadlineSeconds: 120, reconnectsPerSecond: 3}}",
        ))
        .await;
        let clients = s.clients("chat", &ClientOptions { sockets: 80, ..Default::default() }).await;
        clients.until_joined(80).await;
        let history = History::of(s.pods(), &servers("chat"));

        s.scale("chat", 1).await;
        let victim = s.until_drain("chat").await.pod;
        clients.until("the first client moved", |c| c.reconnects > 0).await;
        let old = s.pods().get("chat-redis-0").await.unwrap().uid();
        s.pods().delete("chat-redis-0", &DeleteParams::default().grace_period(0)).await.unwrap();
        let again = |pod: &Pod| pod.uid() != old && is_ready(pod);
        s.pods().until("chat-redis-0", "a new Redis that is Ready", again).await;

        history.until_deleted(&victim).await;
        assert_eq!(history.phases(&victim).last(), Some(&PodDrainPhase::Empty));
        s.until_running("chat").await;
        clients.until_joined(80).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
    })
    .await;
}

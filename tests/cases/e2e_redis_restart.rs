//! Redis ends and comes back, empty: nobody is thrown out, and rooms work again over all pods.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use socketfleet_tests::{ClientOptions, Until, Weight, is_ready, scenario, small_fleet};

#[tokio::test]
async fn sockets_stay_open_and_rooms_come_back() {
    scenario("e2e_redis_restart", Weight::Heavy, async |s| {
        s.run_fleet(&small_fleet("chat", "replicas: 2")).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 60, ..Default::default() }).await;
        clients.until_joined(60).await;

        let old = s.pods().get("chat-redis-0").await.unwrap().uid();
        s.pods().delete("chat-redis-0", &DeleteParams::default().grace_period(0)).await.unwrap();
        let again = |pod: &Pod| pod.uid() != old && is_ready(pod);
        s.pods().until("chat-redis-0", "a new Redis that is Ready", again).await;
        s.until_running("chat").await;

        // Once more everybody hears everybody: what was said while Redis was away may be missing for good.
        let sent = clients.stats().await.sent;
        clients.until("messages after the restart", |c| c.sent > sent + 120 && c.acked > sent + 60).await;
        let stats = clients.settle().await;
        assert_eq!((stats.reconnects, stats.doubled, stats.failed), (0, 0, 0), "{stats:#?}");
        assert_eq!((stats.lost, stats.outstanding), (0, Default::default()), "{stats:#?}");
    })
    .await;
}

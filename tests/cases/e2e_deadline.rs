//! Drains that do not end by themselves, and drains of clients that leave for good.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{ClientOptions, History, Weight, scenario, servers, small_fleet, sockets_on};

#[tokio::test]
async fn what_is_left_at_the_deadline_is_cut_and_counted() {
    scenario("e2e_deadline", Weight::Heavy, async |s| {
        // Far too slow for its deadline.
        let slow = "{replicas: 2, drain: {deadlineSeconds: 8, reconnectsPerSecond: 1}}";
        s.run_fleet(&small_fleet("chat", slow)).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 80, ..Default::default() }).await;
        clients.until_joined(80).await;
        s.until_counted("chat", 80).await;
        let before = sockets_on(&s.client, &s.servers("chat").await).await;
        let history = History::of(s.pods(), &servers("chat"));

        s.scale("chat", 1).await;
        let victim = s.until_drain("chat").await.pod;
        history.until_deleted(&victim).await;
        s.until_running("chat").await;
        clients.until_joined(80).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert_eq!(stats.reconnects, before[&victim], "those who are cut come back like the others");
        assert_eq!(stats.recovered, stats.reconnects);

        let events: Api<Event> = s.api();
        let finished = ListParams::default().fields("reason=DrainFinished");
        let finished = events.list(&finished).await.unwrap().items;
        let [Event { type_, message: Some(message), .. }] = &finished[..] else { panic!("{finished:#?}") };
        let cut = message.split(", ").nth(1).and_then(|m| m.split(' ').next()?.parse::<u64>().ok());
        assert!(cut.is_some_and(|cut| 0 < cut && cut < before[&victim]), "{message}");
        assert_eq!(type_.as_deref(), Some("Warning"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn clients_that_never_come_back_do_not_hold_a_drain_up() {
    scenario("e2e_clients_gone", Weight::Heavy, async |s| {
        let slow = "{replicas: 2, drain: {deadlineSeconds: 3600, reconnectsPerSecond: 1}}";
        s.run_fleet(&small_fleet("chat", slow)).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 40, ..Default::default() }).await;
        clients.until_joined(40).await;
        let history = History::of(s.pods(), &servers("chat"));

        s.scale("chat", 1).await;
        let victim = s.until_drain("chat").await.pod;
        clients.until("the first client moved", |c| c.reconnects > 0).await;
        let pods: Api<Pod> = s.pods();
        let now = DeleteParams::default().grace_period(0);
        pods.delete_collection(&now, &ListParams::default().labels("app=chat-clients")).await.unwrap();
        // An hour before its deadline.
        history.until_deleted(&victim).await;
        assert_eq!(history.phases(&victim).last(), Some(&PodDrainPhase::Empty));
        s.until_running("chat").await;
    })
    .await;
}

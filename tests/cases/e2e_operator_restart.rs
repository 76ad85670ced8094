//! The operator ends in the middle of a drain: another one goes on where it stopped.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use socketfleet_api::contract::labels;
use socketfleet_tests::{
    ClientOptions, History, OPERATOR_NAMESPACE, OPERATOR_PODS, Until, Weight, scenario, servers, small_fleet,
};

#[tokio::test]
async fn a_drain_survives_the_operator_and_keeps_its_deadline() {
    scenario("e2e_operator_restart", Weight::Alone, async |s| {
        s.run_fleet(&small_fleet(
            "chat",
            "{replicas: 2, drain: {deadlineSeconds: 120, reconnectsPerSecond: 5}}",
        ))
        .await;
        let clients = s.clients("chat", &ClientOptions::default()).await;
        clients.until_joined(100).await;
        let history = History::of(s.pods(), &servers("chat"));

        s.scale("chat", 1).await;
        clients.until("the first client moved", |c| c.reconnects > 0).await;
        let drains = |pods: &[Pod]| pods.iter().any(|p| p.annotations().contains_key(labels::DRAIN_DEADLINE));
        let pods = s.pods().until_all(&servers("chat"), "a drain's marks", drains).await;
        let victim = pods.iter().find(|p| p.annotations().contains_key(labels::DRAIN_DEADLINE)).unwrap();

        let operators: Api<Pod> = Api::namespaced(s.client.clone(), OPERATOR_NAMESPACE);
        let killed = DeleteParams::default().grace_period(0);
        let killed = operators.delete_collection(&killed, &ListParams::default().labels(OPERATOR_PODS)).await;
        assert!(killed.unwrap().left().is_some_and(|pods| !pods.items.is_empty()), "no operator was running");

        let gone = history.until_deleted(&victim.name_any()).await;
        s.until_running("chat").await;
        clients.until_joined(100).await;
        clients.settle().await.assert_no_loss();
        assert_eq!(history.gone(), [victim.name_any()]);
        let deadline = |pod: &Pod| pod.annotations().get(labels::DRAIN_DEADLINE).cloned();
        assert_eq!(deadline(&gone), deadline(victim), "the deadline never moves");
    })
    .await;
}

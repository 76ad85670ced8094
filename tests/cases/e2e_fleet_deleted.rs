//! A fleet that is deleted with its clients on it.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use socketfleet_api::contract::PodDrainPhase;
use socketfleet_tests::{
    Blow, ClientOptions, History, Until, Weight, has_machines, is_ready, scenario, servers, small_fleet,
};

#[tokio::test]
async fn every_client_is_told_before_its_pod_goes() {
    scenario("e2e_fleet_deleted", Weight::Heavy, async |s| {
        let spec = "{replicas: 2, drain: {deadlineSeconds: 30, reconnectsPerSecond: 10}}";
        s.run_fleet(&small_fleet("chat", spec)).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 30, ..Default::default() }).await;
        clients.until_joined(30).await;
        let pods = s.servers("chat").await;
        let history = History::of(s.pods(), &servers("chat"));

        s.fleets().delete("chat", &DeleteParams::default()).await.unwrap();
        for pod in pods.iter().map(ResourceExt::name_any) {
            history.until_deleted(&pod).await;
            let phases = history.phases(&pod);
            assert!(phases.contains(&PodDrainPhase::Notified), "{pod}: {phases:?}");
            assert_eq!(phases.last(), Some(&PodDrainPhase::Empty), "{pod}: {phases:?}");
        }
        s.fleets().until_gone("chat").await;
        assert!(clients.stats().await.maintenance >= 30);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_hangs_does_not_hold_it() {
    scenario("e2e_fleet_deleted_hangs", Weight::Heavy, async |s| {
        if !has_machines() {
            return;
        }
        let spec = "{replicas: 2, drain: {deadlineSeconds: 5, reconnectsPerSecond: 10}}";
        s.run_fleet(&small_fleet("chat", spec)).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 20, ..Default::default() }).await;
        clients.until_joined(20).await;
        s.until_counted("chat", 20).await;
        let hangs = s.servers("chat").await.swap_remove(0);
        s.cluster.strike(&hangs, Blow::Pause).unwrap();
        s.pods().until(&hangs.name_any(), "not Ready", |pod: &Pod| !is_ready(pod)).await;

        s.fleets().delete("chat", &DeleteParams::default()).await.unwrap();
        s.fleets().until_gone("chat").await;
        s.pods().until_all(&servers("chat"), "nothing", <[_]>::is_empty).await;
    })
    .await;
}

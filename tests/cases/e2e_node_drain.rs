//! A node is emptied: its pods drain and move as soon as it is cordoned, and an eviction finds nobody or drains too.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use socketfleet_api::contract::labels;
use socketfleet_tests::{
    ClientOptions, History, Scenario, Until, Weight, is_ready, scenario, servers, small_fleet,
};

#[tokio::test]
async fn pods_move_at_the_cordon_and_evictions_go_through() {
    scenario("e2e_node_drain", Weight::Alone, async |s| {
        s.run_fleet(&small_fleet("chat", "replicas: 3")).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 90, ..Default::default() }).await;
        clients.until_joined(90).await;
        let history = History::of(s.pods(), &servers("chat"));

        let node = node_of(&s.servers("chat").await[0]);
        s.kubectl(&["cordon", &node]);
        until_elsewhere(s, &node).await;
        s.until_running("chat").await;
        let moved = history.deleted();
        assert!(!moved.is_empty());
        for pod in &moved {
            let annotation = |key: &str| pod.annotations().get(key).map(String::as_str);
            let [reason, phase] = [labels::DRAIN_REASON, labels::DRAIN_PHASE].map(annotation);
            assert_eq!((reason, phase), (Some("NodeDrain"), Some("Empty")), "{} was cut", pod.name_any());
        }
        s.kubectl(&["uncordon", &node]);
        clients.until_joined(90).await;

        // All pods are on the other node by now. Its evictions begin at once.
        let node = node_of(&s.servers("chat").await[0]);
        let (cluster, namespace, drained) = (s.cluster, s.namespace.clone(), node.clone());
        let evict = move || {
            let selector = format!("--pod-selector={}", servers("chat"));
            cluster.kubectl(&[
                "--namespace",
                &namespace,
                "drain",
                &drained,
                &selector,
                "--delete-emptydir-data",
                "--timeout=200s",
            ])
        };
        tokio::task::spawn_blocking(evict).await.unwrap().unwrap_or_else(|e| panic!("{e:#}"));
        until_elsewhere(s, &node).await;
        s.until_running("chat").await;
        clients.until_joined(90).await;
        clients.settle().await.assert_no_loss();
    })
    .await;
}

fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap()
}

/// Waits until three Ready pods serve, and none is on the node.
async fn until_elsewhere(s: &Scenario, node: &str) {
    let elsewhere = |pods: &[Pod]| pods.len() == 3 && pods.iter().all(|p| is_ready(p) && node_of(p) != node);
    s.pods().until_all(&servers("chat"), "three pods on other nodes", elsewhere).await;
}

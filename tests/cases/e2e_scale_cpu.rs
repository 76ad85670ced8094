//! The autoscaler and CPU: a fleet of few but busy sockets grows as well, and shrinks by the same drain.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use socketfleet_tests::{ClientOptions, Until, Weight, scenario, small_fleet};

// By its sockets alone it would stay at one pod.
const AUTOSCALED: &str = "
replicas: 1
server: {resources: {requests: {cpu: 20m}}}
autoscaling:
  minReplicas: 1
  maxReplicas: 2
  targetOpenSockets: 500
  targetCPUUtilizationPercentage: 100
  behavior:
    scaleDown: {stabilizationWindowSeconds: 0}
";

#[tokio::test]
async fn a_fleet_follows_its_cpu_use_too() {
    scenario("e2e_scale_cpu", Weight::Heavy, async |s| {
        s.apply(&small_fleet("chat", AUTOSCALED)).await;
        s.fleets()
            .until("chat", "one Ready pod", |f| f.status.as_ref().is_some_and(|s| s.ready_replicas > 0))
            .await;
        let busy = ClientOptions { sockets: 60, rate: 15.0, ..Default::default() };
        let clients = s.clients("chat", &busy).await;
        s.fleets().until("chat", "2 pods for busy sockets", |f| f.spec.replicas == 2).await;
        s.until_running("chat").await;
        let cpu_is_known = |hpa: &HorizontalPodAutoscaler| {
            let metrics = hpa.status.iter().flat_map(|s| s.current_metrics.iter().flatten());
            metrics.filter_map(|m| m.resource.as_ref()).any(|r| r.current.average_utilization.is_some())
        };
        s.api::<HorizontalPodAutoscaler>().until("chat", "CPU use of both pods", cpu_is_known).await;

        clients.speak(false).await;
        s.fleets().until("chat", "1 pod for silent sockets", |f| f.spec.replicas == 1).await;
        s.until_running("chat").await;
        clients.until_joined(60).await;
        clients.settle().await.assert_no_loss();
    })
    .await;
}

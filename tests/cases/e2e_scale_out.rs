//! The autoscaler and open sockets: the fleet grows with its clients, and shrinks when they leave.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use socketfleet_tests::{ClientOptions, Until, Weight, scenario, small_fleet};

const AUTOSCALED: &str = "
replicas: 1
autoscaling:
  minReplicas: 1
  maxReplicas: 5
  targetOpenSockets: 50
  behavior:
    scaleDown: {stabilizationWindowSeconds: 0}
";

#[tokio::test]
async fn a_fleet_follows_its_open_sockets() {
    scenario("e2e_scale_out", Weight::Heavy, async |s| {
        s.apply(&small_fleet("chat", AUTOSCALED)).await;
        s.fleets()
            .until("chat", "one Ready pod", |f| f.status.as_ref().is_some_and(|s| s.ready_replicas > 0))
            .await;
        let clients = s.clients("chat", &ClientOptions { sockets: 120, ..Default::default() }).await;
        // ceil(120 / 50)
        s.fleets().until("chat", "3 pods for 120 sockets", |f| f.spec.replicas == 3).await;
        s.until_running("chat").await;
        clients.until_joined(120).await;
        let hpas = s.api::<HorizontalPodAutoscaler>();
        let metric = |hpa: &HorizontalPodAutoscaler| {
            let metrics = hpa.status.iter().flat_map(|s| s.current_metrics.iter().flatten());
            metrics
                .filter_map(|m| m.object.as_ref()?.current.average_value.clone())
                .any(|average| average.0 == "40")
        };
        hpas.until("chat", "120 / 3 = 40 sockets for each pod", metric).await;

        clients.want_sockets(20).await;
        s.fleets().until("chat", "1 pod for 20 sockets", |f| f.spec.replicas == 1).await;
        s.until_running("chat").await;
        clients.until_joined(20).await;
        clients.settle().await.assert_no_loss();
    })
    .await;
}

//! The acting operator is killed at each step of a drain: the one that stands by goes on from the marks on the pod.

use kube::ResourceExt;
use socketfleet_api::contract::{PodDrainPhase, labels};
use socketfleet_tests::{
    ClientOptions, History, Weight, kill_operator, leader, scenario, servers, small_fleet,
};

const PHASES: [PodDrainPhase; 3] = [PodDrainPhase::Notified, PodDrainPhase::Draining, PodDrainPhase::Empty];

#[tokio::test]
async fn another_one_goes_on_at_each_step() {
    scenario("e2e_operator_killed", Weight::Alone, async |s| {
        s.cluster.install_operator(&["replicas=2"]).unwrap();
        s.run_fleet(&small_fleet(
            "chat",
            "{replicas: 2, drain: {deadlineSeconds: 300, reconnectsPerSecond: 5}}",
        ))
        .await;
        let clients = s.clients("chat", &ClientOptions { sockets: 60, ..Default::default() }).await;
        clients.until_joined(60).await;
        s.until_counted("chat", 60).await;
        let history = History::of(s.pods(), &servers("chat"));

        let mut acting = leader(&s.client, None).await;
        s.scale("chat", 1).await;
        let drain = s.until_drain("chat").await;
        for phase in PHASES {
            history.until_phase(&drain.pod, phase).await;
            kill_operator(s.cluster, &s.client, &acting).await;
            acting = leader(&s.client, Some(&acting.name_any())).await;
        }
        let gone = history.until_deleted(&drain.pod).await;
        s.until_running("chat").await;
        clients.until_joined(60).await;
        clients.settle().await.assert_no_loss();
        assert_eq!(history.gone(), [&*drain.pod]);
        assert_eq!(history.phases(&drain.pod), PHASES);
        let deadline = gone.annotations()[labels::DRAIN_DEADLINE].parse::<jiff::Timestamp>().unwrap();
        assert_eq!(deadline.as_second(), drain.deadline.0.as_second(), "the deadline never moves");
    })
    .await;
}

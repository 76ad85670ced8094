//! A pod runs short of memory under clients that do not read: it refuses new ones, then cuts off the slowest, whose
//! sessions go on later. The kernel does not have to kill it.

use socketfleet_tests::{ClientOptions, Weight, health_of, scenario, small_fleet, until_read};

/// A client that does not read makes its server keep up to 4 MiB for it, unless it is found dead before.
const SMALL_MEMORY: &str = "
replicas: 1
server:
  env: [{name: PING_TIMEOUT, value: '300000'}]
  resources: {limits: {memory: 128Mi}}
redis: {managed: {resources: {limits: {memory: 1Gi}}}}
";

#[tokio::test]
async fn a_pod_short_of_memory_gives_up_little_by_little_and_no_message() {
    scenario("e2e_memory", Weight::Heavy, async |s| {
        s.run_fleet(&small_fleet("chat", SMALL_MEMORY)).await;
        let servers = s.servers("chat").await;
        let options = ClientOptions {
            sockets: 80,
            room_size: 2,
            rate: 3.0,
            bytes: 32 << 10,
            small_windows: true,
            ..Default::default()
        };
        let clients = s.clients("chat", &options).await;
        clients.until_joined(80).await;
        clients.deafen(40).await;
        let problems = async || Some(health_of(&s.client, &servers[0]).await?.problems.concat());
        let closes =
            |p: &Option<String>| p.as_ref().is_some_and(|p| p.contains("slowest clients are closed"));
        until_read("the slowest to be closed", problems, closes).await;
        clients.want_sockets(84).await;
        clients.until("refused", |c| !c.errors.is_empty()).await;

        clients.deafen(0).await;
        clients.speak(false).await;
        let stats = clients.until_joined(84).await;
        assert!(stats.recovered > 0, "{stats:#?}");
        clients.settle().await.assert_no_loss();
        until_read("memory to suffice again", problems, |p| *p == Some(String::new())).await;
        let [server] = &s.servers("chat").await[..] else { panic!("one server") };
        assert_eq!(server.metadata.uid, servers[0].metadata.uid);
        let containers = server.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        assert_eq!(containers.map(|c| c.restart_count).sum::<i32>(), 0);
    })
    .await;
}

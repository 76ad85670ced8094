//! `kubectl socketfleet` on a cluster.

use socketfleet_api::fleet::Phase;
use socketfleet_tests::{ClientOptions, Scenario, Until, Weight, repository, scenario, small_fleet};

/// Runs the plugin as built from this workspace, in the test's namespace.
pub fn plugin(s: &Scenario, args: &[&str]) -> String {
    let program = repository().join("target/debug/kubectl-socketfleet");
    assert!(program.exists(), "build the plugin first: cargo build --package kubectl-socketfleet");
    s.cluster
        .run(&program.to_string_lossy(), &[args, &["--namespace", &s.namespace]].concat())
        .unwrap_or_else(|e| panic!("{e:#}"))
}

#[tokio::test]
async fn it_shows_and_steers() {
    scenario("plugin", Weight::Heavy, async |s| {
        // Slow: the pod that is taken back below must not be the emptiest by then, which goes when there is one too many.
        s.run_fleet(&small_fleet("chat", "{replicas: 2, drain: {reconnectsPerSecond: 1}}")).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 40, ..Default::default() }).await;
        clients.until_joined(40).await;
        s.until_counted("chat", 40).await;

        let status = plugin(s, &["status"]);
        assert!(status.contains("chat: Running, 2 of 2 pods Ready, 0 draining"), "{status}");
        let top = plugin(s, &["top", "chat"]);
        let sockets = top.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>());
        assert_eq!(sockets.sum::<Result<u64, _>>().unwrap(), 40, "{top}");

        // Held, it does not scale; let go, it does.
        plugin(s, &["pause", "chat"]);
        s.fleets()
            .until("chat", "paused", |f| f.status.as_ref().is_some_and(|s| s.phase == Some(Phase::Paused)))
            .await;
        s.scale("chat", 3).await;
        let seen = |f: &socketfleet_api::SocketFleet| {
            f.status.as_ref().is_some_and(|s| s.observed_generation == f.metadata.generation)
        };
        s.fleets().until("chat", "its spec seen", seen).await;
        assert_eq!(s.servers("chat").await.len(), 2);
        plugin(s, &["resume", "chat"]);
        s.until_running("chat").await;

        // A pod drains by hand, and comes back.
        let pod = top.lines().nth(1).and_then(|line| line.split_whitespace().next()).unwrap().to_owned();
        plugin(s, &["drain", &pod]);
        clients.until("the first client moved", |c| c.reconnects > 0).await;
        let explained = plugin(s, &["explain", "chat", &pod]);
        assert!(explained.contains("why: Manual: it was asked for"), "{explained}");
        plugin(s, &["undrain", &pod]);
        s.until_running("chat").await;
        s.until_serves(&pod).await;
        clients.until_joined(40).await;
        clients.settle().await.assert_no_loss();
    })
    .await;
}

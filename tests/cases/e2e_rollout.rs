//! A changed server: a new revision takes over, each client moves once.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::{RevisionStatus, SocketFleetStatus, condition};
use socketfleet_tests::{
    ClientOptions, Scenario, Until, Weight, condition_is, is_ready, scenario, servers, small_fleet,
};

use super::plugin::plugin;

#[tokio::test]
async fn every_client_moves_once() {
    scenario("e2e_rollout", Weight::Heavy, async |s| {
        let old = s.run_fleet(&small_fleet("chat", "replicas: 3")).await;
        let old = revision(&old.status);
        let clients = s.clients("chat", &ClientOptions { sockets: 150, ..Default::default() }).await;
        clients.until_joined(150).await;

        clients.mark().await;
        s.patch_fleet(
            "chat",
            json!({ "spec": { "server": { "env": [{ "name": "RELEASE", "value": "2" }] } } }),
        )
        .await;
        let pods = s
            .pods()
            .until_all(&servers("chat"), "pods of the new revision only", |pods| {
                pods.len() == 3
                    && pods.iter().all(|p| is_ready(p) && p.labels()["socketfleet.io/revision"] != old)
            })
            .await;
        assert_eq!(pods.len(), 3);
        s.until_running("chat").await;

        clients.until_joined(150).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        // Each client moves once, but for those that a node sends to an old pod because it hears late that it is out.
        assert!(!stats.reconnects_per_client.contains_key(&0), "{stats:#?}");
        assert!(stats.reconnects_each() < 1.1, "{stats:#?}");
        s.api::<Deployment>().until_gone(&format!("chat-{old}")).await;
    })
    .await;
}

#[tokio::test]
async fn a_canary_stays_one_until_it_is_let_on() {
    scenario("e2e_rollout_canary", Weight::Heavy, async |s| {
        let old = s.run_fleet(&small_fleet("chat", "{replicas: 2, rollout: {partition: 1}}")).await;
        let old = revision(&old.status);
        let clients = s.clients("chat", &ClientOptions { sockets: 60, ..Default::default() }).await;
        clients.until_joined(60).await;

        s.patch_fleet(
            "chat",
            json!({ "spec": { "server": { "env": [{ "name": "RELEASE", "value": "2" }] } } }),
        )
        .await;
        let halted = |status: &SocketFleetStatus| {
            let ready = |r: &RevisionStatus| (r.replicas, r.ready_replicas) == (1, 1);
            status.draining_replicas == 0
                && status.revisions.len() == 2
                && status.revisions.iter().all(ready)
                && status.conditions.iter().any(|c| c.reason == "PartitionReached")
        };
        let fleet = s
            .fleets()
            .until("chat", "to stop at its partition", |f| f.status.as_ref().is_some_and(halted))
            .await;
        let new = revision(&fleet.status);
        assert_ne!(new, old);
        clients.until_joined(60).await;
        clients.mark().await;

        s.patch_fleet("chat", json!({ "spec": { "rollout": { "partition": 0 } } })).await;
        s.api::<Deployment>().until_gone(&format!("chat-{old}")).await;
        let fleet = s.until_running("chat").await;
        assert_eq!(revision(&fleet.status), new);
        clients.until_joined(60).await;
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert!(stats.reconnects > 0 && stats.reconnects_each() < 1.1, "{stats:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_bad_revision_takes_no_sockets() {
    scenario("e2e_rollout_bad", Weight::Heavy, async |s| {
        let old =
            s.run_fleet(&small_fleet("chat", "{replicas: 2, rollout: {progressDeadlineSeconds: 5}}")).await;
        let old = revision(&old.status);
        let clients = s.clients("chat", &ClientOptions { sockets: 40, ..Default::default() }).await;
        clients.until_joined(40).await;

        let image =
            |image: &str| json!({ "spec": { "server": { "image": image, "imagePullPolicy": "Never" } } });
        s.patch_fleet("chat", image("localhost/nothing:here")).await;
        let failed = |status: &SocketFleetStatus| {
            let mut conditions = status.conditions.iter().filter(|c| c.type_ == condition::PROGRESSING);
            conditions.any(|c| c.status == "False" && c.reason == "ProgressDeadlineExceeded")
        };
        let fleet = s
            .fleets()
            .until("chat", "a rollout that is said to have failed", |f| f.status.as_ref().is_some_and(failed))
            .await;
        assert!(
            condition_is(&fleet.status.unwrap().conditions, condition::READY, "True"),
            "the old pods still serve"
        );
        let stats = clients.stats().await;
        assert_eq!((stats.joined, stats.reconnects), (40, 0));

        // Taking the change back takes the new pods away.
        s.patch_fleet("chat", json!({ "spec": { "server": { "image": null, "imagePullPolicy": null } } }))
            .await;
        let fleet = s.until_running("chat").await;
        assert_eq!(revision(&fleet.status), old);
        let stats = clients.settle().await;
        stats.assert_no_loss();
        assert_eq!(stats.reconnects, 0);
    })
    .await;
}

#[tokio::test]
async fn a_revision_that_refuses_clients_is_taken_back() {
    scenario("e2e_rollout_refusing", Weight::Heavy, async |s| {
        let spec = "{replicas: 3, drain: {reconnectsPerSecond: 3}}";
        let old = revision(&s.run_fleet(&small_fleet("chat", spec)).await.status);
        let clients = s.clients("chat", &ClientOptions { sockets: 60, ..Default::default() }).await;
        clients.until_joined(60).await;

        // A release that asks for tokens, which no client has.
        let env = json!([{ "name": "JWT_SECRET_FILE", "value": "/etc/passwd" }]);
        s.patch_fleet("chat", json!({ "spec": { "server": { "env": env } } })).await;
        let refused = |fleet: &SocketFleet| {
            let status = fleet.status.as_ref()?;
            let mut conditions = status.conditions.iter().filter(|c| c.type_ == condition::PROGRESSING);
            let failed = conditions.any(|c| c.status == "False" && c.reason == "ConnectErrors");
            failed.then(|| status.current_revision.clone())
        };
        let fleet = s.fleets().until("chat", "ConnectErrors", |f| refused(f).is_some()).await;
        assert_ne!(refused(&fleet).flatten(), Some(old.clone()));
        until_all_of(s, &old, 3).await;
        let stats = clients.until_joined(60).await;
        assert!(stats.errors.keys().any(|error| error.contains("connect: ")), "{stats:#?}");

        let history = plugin(s, &["rollout", "history", "chat"]);
        assert!(history.contains("failed: revision"), "{history}");

        // Tried again as it is, it fails again; undone, there is nothing left to fail.
        plugin(s, &["rollout", "retry", "chat"]);
        s.fleets().until("chat", "a rollout that is tried again", |f| refused(f).is_none()).await;
        s.fleets().until("chat", "ConnectErrors again", |f| refused(f).is_some()).await;
        plugin(s, &["rollout", "undo", "chat"]);
        until_all_of(s, &old, 3).await;
        let fleet = s.until_running("chat").await;
        assert_eq!(revision(&fleet.status), old);
        clients.until_joined(60).await;
        clients.settle().await.assert_no_loss();
    })
    .await;
}

async fn until_all_of(s: &Scenario, revision: &str, count: usize) {
    s.pods()
        .until_all(&servers("chat"), &format!("{count} pods of revision {revision} only"), |pods| {
            pods.len() == count
                && pods.iter().all(|p| is_ready(p) && p.labels()["socketfleet.io/revision"] == revision)
        })
        .await;
}

fn revision(status: &Option<SocketFleetStatus>) -> String {
    status.as_ref().and_then(|s| s.current_revision.clone()).unwrap()
}

//! What the API server accepts and refuses by the rules in the resource: with a message that names the field
//! and the remedy, when it is applied and not later.

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_tests::{Scenario, Weight, fleet, scenario};

async fn refusal(s: &Scenario, spec: &str) -> String {
    // Not through the type: what it cannot hold has to be refused as well.
    let spec: serde_json::Value = serde_yaml::from_str(spec).unwrap();
    let object = json!({
        "apiVersion": "socketfleet.io/v1alpha1",
        "kind": "SocketFleet",
        "metadata": { "name": "chat" },
        "spec": spec,
    });
    let params = PatchParams::apply("test").force().validation_strict().dry_run();
    match s.fleets().patch("chat", &params, &Patch::Apply(&object)).await {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("{spec} is not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_smallest_fleet_gets_its_defaults() {
    scenario("api_smallest_fleet", Weight::Light, async |s| {
        let made = s
            .fleets()
            .create(&PostParams { dry_run: true, ..Default::default() }, &fleet("chat", "{}"))
            .await;
        assert_eq!(made.unwrap().spec, fleet("chat", "{}").spec);
    })
    .await;
}

#[tokio::test]
async fn bad_fleets_are_refused_with_the_field_and_the_remedy() {
    scenario("api_refuses", Weight::Light, async |s| {
        for (spec, field, remedy) in [
            ("{autoscaling: {minReplicas: 5, maxReplicas: 4}}", "minReplicas", "raise maxReplicas"),
            ("{autoscaling: {targetOpenSockets: 20000}}", "targetOpenSockets", "raise maxConnections"),
            (
                "{autoscaling: {targetCPUUtilizationPercentage: 80}, server: {resources: {requests: {memory: 1Gi}}}}",
                "targetCPUUtilizationPercentage",
                "set spec.server.resources.requests.cpu",
            ),
            (
                "{drain: {deadlineSeconds: 300, terminationGracePeriodSeconds: 60}}",
                "deadlineSeconds",
                "raise terminationGracePeriodSeconds",
            ),
            (
                "{redis: {type: External, managed: {}, external: {urlSecretRef: {name: r, key: url}}}}",
                "spec.redis.managed",
                "remove",
            ),
            ("{redis: {type: External}}", "spec.redis.external", "set both"),
            ("{server: {port: 8081}}", "adminPort", "choose another port"),
            ("{server: {path: socket.io}}", "spec.server.path", "begin and end with a slash"),
            (
                "{server: {env: [{name: REDIS_URL, value: 'redis://x'}]}}",
                "spec.server.env",
                "the operator sets these",
            ),
            ("{pod: {labels: {socketfleet.io/fleet: x}}}", "spec.pod.labels", "choose another prefix"),
            ("{maxUnavailable: 0}", "spec.maxUnavailable", "at least 1"),
            ("{rollout: {maxSurge: 0}}", "spec.rollout.maxSurge", "at least 1"),
            ("{service: {nodePort: 30000}}", "spec.service.nodePort", "change the type"),
            ("{autoscaling: {prometheus: {url: 'http://a:b@x'}}}", "prometheus.url", "bearerTokenSecretRef"),
            ("{replicas: -1}", "spec.replicas", "greater than or equal to 0"),
            ("{replica: 3}", "spec.replica", "field not declared"),
            ("{redis: {type: Magic}}", "spec.redis.type", "Managed"),
        ] {
            let message = refusal(s, spec).await;
            assert!(message.contains(field) && message.contains(remedy), "{spec}: {message}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_too_long_for_its_objects_is_refused() {
    scenario("api_long_name", Weight::Light, async |s| {
        let long = fleet(&"a".repeat(41), "{}");
        let error = s.fleets().create(&PostParams::default(), &long).await.unwrap_err().to_string();
        assert!(error.contains("at most 40 characters"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn what_would_lose_data_cannot_be_changed() {
    scenario("api_immutable", Weight::Light, async |s| {
        let paused = "paused: true, replicas: 0";
        s.apply(&fleet("chat", &format!("{{{paused}, redis: {{managed: {{persistence: {{size: 1Gi}}}}}}}}")))
            .await;
        for (change, message) in [
            (json!({ "managed": { "persistence": { "size": "2Gi" } } }), "persistence cannot be changed"),
            (json!({ "managed": { "persistence": null } }), "persistence cannot be added or removed"),
            (json!({ "type": "None", "managed": null }), "spec.redis.type cannot leave Managed"),
        ] {
            let change = Patch::Merge(json!({ "spec": { "redis": change } }));
            let error =
                s.fleets().patch("chat", &PatchParams::default(), &change).await.unwrap_err().to_string();
            assert!(error.contains(message), "{change:?}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_scale_subresource_reads_and_writes_replicas() {
    scenario("api_scale", Weight::Light, async |s| {
        s.apply(&fleet("chat", "{paused: true, replicas: 0, redis: {type: None}}")).await;
        let scale = Patch::Merge(json!({ "spec": { "replicas": 2 } }));
        s.fleets().patch_scale("chat", &PatchParams::default(), &scale).await.unwrap();
        let SocketFleet { spec, .. } = s.fleets().get("chat").await.unwrap();
        assert_eq!(spec.replicas, 2);
        let scale = s.fleets().get_scale("chat").await.unwrap();
        assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(2));
    })
    .await;
}

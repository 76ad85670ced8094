//! The rules of the `SocketFleet` resource, by the same CEL that the API server evaluates.

use kube::CustomResourceExt;
use socketfleet_api::{SocketFleet, SocketFleetSpec};

/// A fleet as the API server stores it: with all defaults.
fn fleet(spec: &str) -> SocketFleet {
    let yaml = format!(
        "apiVersion: socketfleet.io/v1alpha1\nkind: SocketFleet\nmetadata: {{name: chat}}\nspec:\n  {}",
        if spec.is_empty() { "{}" } else { spec }
    );
    serde_yaml::from_str(&yaml).unwrap_or_else(|e| panic!("{yaml}\n{e}"))
}

fn refused(spec: &str) -> String {
    fleet(spec).validate_cel().expect_err(spec).to_string()
}

#[test]
fn the_smallest_fleet_is_an_empty_spec() {
    let fleet = fleet("");
    assert_eq!(fleet.spec, SocketFleetSpec::default());
    fleet.validate_cel().unwrap();
}

#[test]
fn refusals_name_the_field_and_the_remedy() {
    for (spec, field, remedy) in [
        ("autoscaling: {minReplicas: 5, maxReplicas: 4}", "minReplicas", "raise maxReplicas"),
        ("autoscaling: {targetOpenSockets: 20000}", "targetOpenSockets", "raise maxConnections"),
        (
            "{autoscaling: {targetCPUUtilizationPercentage: 80}, server: {resources: {requests: {memory: 1Gi}}}}",
            "targetCPUUtilizationPercentage",
            "set spec.server.resources.requests.cpu",
        ),
        (
            "drain: {deadlineSeconds: 300, terminationGracePeriodSeconds: 60}",
            "deadlineSeconds",
            "lower deadlineSeconds",
        ),
        (
            "redis: {type: External, managed: {}, external: {urlSecretRef: {name: r, key: url}}}",
            "managed",
            "remove",
        ),
        ("redis: {type: External}", "external", "set both"),
        ("redis: {external: {urlSecretRef: {name: r, key: url}}}", "external", "set both"),
        ("server: {port: 8081}", "adminPort", "choose another port"),
        ("server: {path: socket.io}", "path", "begin and end with a slash"),
        ("server: {env: [{name: REDIS_URL, value: 'redis://x'}]}", "env", "operator sets these"),
        ("pod: {labels: {socketfleet.io/fleet: x}}", "labels", "choose another prefix"),
        ("maxUnavailable: 0", "maxUnavailable", "at least 1"),
        ("maxUnavailable: 0%", "maxUnavailable", "from 1% to 100%"),
        ("rollout: {maxSurge: 0}", "maxSurge", "at least 1"),
        ("rollout: {partition: -1}", "partition", "use 0"),
        ("rollout: {partition: 101%}", "partition", "from 0% to 100%"),
        ("service: {nodePort: 30000}", "nodePort", "change the type"),
        ("autoscaling: {prometheus: {url: 'ftp://x'}}", "prometheus.url", "http"),
        ("autoscaling: {prometheus: {url: 'http://a:b@x'}}", "prometheus.url", "bearerTokenSecretRef"),
    ] {
        let message = refused(spec);
        assert!(message.contains(field) && message.contains(remedy), "{spec}: {message}");
    }
}

#[test]
fn what_would_lose_data_cannot_be_changed() {
    let managed = |p: &str| fleet(&format!("redis: {{managed: {{{p}}}}}"));
    let before = managed("persistence: {size: 1Gi}");
    for after in [
        managed("persistence: {size: 2Gi}"),
        managed(""),
        fleet("redis: {type: External, external: {urlSecretRef: {name: r, key: url}}}"),
    ] {
        let message = after.validate_cel_update(&before).unwrap_err().to_string();
        assert!(message.contains("persistence") || message.contains("spec.redis.type"), "{message}");
    }
    before.validate_cel_update(&before).unwrap();
}

#[test]
fn the_schema_has_the_defaults_of_the_types() {
    let crd = serde_json::to_value(SocketFleet::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert_eq!(spec["replicas"]["default"], 3);
    assert_eq!(spec["server"]["default"]["maxConnections"], 10_000);
    assert_eq!(spec["redis"]["default"]["type"], "Managed");
    assert!(spec["autoscaling"].get("default").is_none());
}

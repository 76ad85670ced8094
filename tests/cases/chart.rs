//! The chart: what it renders, what it refuses, and its life on a cluster.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use serde_json::Value;
use socketfleet_tests::{
    ClientOptions, Cluster, OPERATOR_NAMESPACE, RELEASE, Until, Weight, repository, scenario, small_fleet,
};

fn chart() -> String {
    repository().join("charts/socketfleet").to_string_lossy().into_owned()
}

/// The objects that the chart renders with these values.
fn rendered(values: &[&str]) -> Result<Vec<Value>, String> {
    let chart = chart();
    let mut args = vec!["template", RELEASE, &chart, "--namespace", OPERATOR_NAMESPACE];
    for value in values {
        args.extend(["--set", value]);
    }
    let text = Cluster::ready().helm(&args).map_err(|e| format!("{e:#}"))?;
    let documents = serde_yaml::Deserializer::from_str(&text);
    let objects = documents.map(|document| serde::Deserialize::deserialize(document).unwrap());
    Ok(objects.filter(|object: &Value| !object.is_null()).collect())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[tokio::test]
async fn it_lints_and_every_switch_renders() {
    scenario("chart_renders", Weight::Light, async |s| {
        s.cluster.helm(&["lint", "--strict", &chart()]).unwrap();
        for (values, kind, count) in [
            (&[][..], "Deployment", 1),
            (&["crds.install=false"], "CustomResourceDefinition", 0),
            (&["customMetrics.enabled=false"], "APIService", 0),
            (&["customMetrics.enabled=true"], "APIService", 2),
            (&["networkPolicy.enabled=false"], "NetworkPolicy", 0),
            (&["replicas=2"], "PodDisruptionBudget", 1),
            (&["podMonitor.operator=true", "podMonitor.fleets=true"], "PodMonitor", 2),
        ] {
            let objects = rendered(values).unwrap();
            assert_eq!(of_kind(&objects, kind).len(), count, "{kind} with {values:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn rights_in_named_namespaces_only() {
    scenario("chart_namespaced", Weight::Light, async |_| {
        let objects = rendered(&["watchNamespaces={red,blue}"]).unwrap();
        let bound = of_kind(&objects, "RoleBinding");
        for namespace in ["red", "blue"] {
            assert!(bound.iter().any(|b| b["metadata"]["namespace"] == namespace), "{bound:#?}");
        }
        for role in of_kind(&objects, "ClusterRole") {
            let writes = role["rules"].as_array().into_iter().flatten().filter(|rule| {
                let has =
                    |key: &str, value: &str| rule[key].as_array().into_iter().flatten().any(|v| v == value);
                has("resources", "secrets") || has("resources", "pods") || has("verbs", "*")
            });
            assert_eq!(writes.count(), 0, "rights over the whole cluster: {role:#}");
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_and_bad_values_are_refused() {
    scenario("chart_refuses", Weight::Light, async |_| {
        for (value, named) in
            [("replica=2", "replica"), ("replicas=none", "replicas"), ("log.format=xml", "format")]
        {
            let refusal = rendered(&[value]).unwrap_err();
            assert!(refusal.contains(named), "{value}: {refusal}");
        }
    })
    .await;
}

#[tokio::test]
async fn fleets_outlive_an_upgrade_and_an_uninstall() {
    scenario("chart_lifecycle", Weight::Alone, async |s| {
        s.run_fleet(&small_fleet("chat", "replicas: 2")).await;
        let clients = s.clients("chat", &ClientOptions { sockets: 40, ..Default::default() }).await;
        clients.until_joined(40).await;

        s.cluster.install_operator(&["podAnnotations.upgraded=yes", "replicas=2"]).unwrap();
        s.patch_fleet("chat", serde_json::json!({ "spec": { "replicas": 3 } })).await;
        s.until_running("chat").await;

        s.cluster.helm(&["uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait"]).unwrap();
        let operators: Api<Deployment> = Api::namespaced(s.client.clone(), OPERATOR_NAMESPACE);
        operators.until_gone("socketfleet-operator").await;
        let definitions: Api<CustomResourceDefinition> = Api::all(s.client.clone());
        let kept = definitions.get("socketfleets.socketfleet.io").await.unwrap();
        assert_eq!(kept.metadata.deletion_timestamp, None);
        assert!(s.fleets().get("chat").await.unwrap().uid().is_some());
        assert_eq!(s.servers("chat").await.len(), 3, "the fleet serves without the operator");

        s.cluster.install_operator(&[]).unwrap();
        s.patch_fleet("chat", serde_json::json!({ "spec": { "replicas": 2 } })).await;
        s.until_running("chat").await;
        clients.until_joined(40).await;
        clients.settle().await.assert_no_loss();
    })
    .await;
}

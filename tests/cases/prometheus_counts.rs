//! Open sockets from a real Prometheus, beside the pods' own counts.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use serde_json::json;
use socketfleet_api::fleet::condition;
use socketfleet_tests::{ClientOptions, Scenario, Until, Weight, is_ready, scenario, small_fleet};

/// A Prometheus that scrapes the fleet `chat` of its namespace.
async fn prometheus(s: &Scenario) {
    let config = json!({
        "global": { "scrape_interval": "1s" },
        "scrape_configs": [{
            "job_name": "chat",
            "dns_sd_configs": [{ "names": [format!("chat-pods.{}.svc", s.namespace)], "type": "A", "port": 8081, "refresh_interval": "1s" }],
            // What a PodMonitor would set.
            "relabel_configs": [
                { "target_label": "namespace", "replacement": s.namespace },
                { "target_label": "socketfleet_io_fleet", "replacement": "chat" },
            ],
        }],
    });
    let labels = json!({ "app": "prometheus" });
    let config: ConfigMap = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "prometheus" },
        "data": { "prometheus.yml": config.to_string() },
    }))
    .unwrap();
    s.apply(&config).await;
    let deployment: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "prometheus" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "prometheus",
                        "image": "localhost/prometheus:2",
                        "readinessProbe": { "httpGet": { "path": "/-/ready", "port": 9090 }, "periodSeconds": 1 },
                        "volumeMounts": [{ "name": "config", "mountPath": "/etc/prometheus" }],
                    }],
                    "volumes": [{ "name": "config", "configMap": { "name": "prometheus" } }],
                },
            },
        },
    }))
    .unwrap();
    s.apply(&deployment).await;
    let service: Service = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "prometheus" },
        "spec": { "selector": labels, "ports": [{ "port": 9090 }] },
    }))
    .unwrap();
    s.apply(&service).await;
    let up = |pods: &[Pod]| pods.len() == 1 && pods.iter().all(is_ready);
    s.pods().until_all("app=prometheus", "Ready", up).await;
}

/// Lets Prometheus reach the admin port.
const ADMITTED: &str = "networkPolicy: {adminFrom: [{podSelector: {matchLabels: {app: prometheus}}}]}";

#[tokio::test]
async fn the_larger_count_scales_the_fleet() {
    scenario("prometheus_larger", Weight::Heavy, async |s| {
        prometheus(s).await;
        let autoscaling = |query: &str| {
            format!(
                "{{minReplicas: 1, maxReplicas: 4, targetOpenSockets: 50, prometheus: {{url: 'http://prometheus.{}:9090'{query}}}}}",
                s.namespace
            )
        };
        // Prometheus knows of sockets that the pods do not have: it is the larger count.
        let spec = format!("{{autoscaling: {}, {ADMITTED}}}", autoscaling(", query: 'vector(120)'"));
        s.apply(&small_fleet("chat", &spec)).await;
        s.fleets().until("chat", "3 pods for 120 sockets", |f| f.spec.replicas == 3).await;

        // With the default query it counts what it scrapes, and agrees with the pods.
        let clients = s.clients("chat", &ClientOptions { sockets: 180, ..Default::default() }).await;
        let spec = format!("{{autoscaling: {}, {ADMITTED}}}", autoscaling(""));
        s.apply(&small_fleet("chat", &spec)).await;
        s.fleets().until("chat", "4 pods for 180 sockets", |f| f.spec.replicas == 4).await;
        clients.until_joined(180).await;
    })
    .await;
}

#[tokio::test]
async fn an_outage_of_prometheus_freezes_scale_in_and_says_so() {
    scenario("prometheus_outage", Weight::Light, async |s| {
        let spec = "{autoscaling: {minReplicas: 1, maxReplicas: 4, prometheus: {url: 'http://prometheus.nowhere:9090'}}, redis: {type: None, managed: null}}";
        s.apply(&small_fleet("chat", spec)).await;
        // At first its pod is not known either.
        let said = |f: &socketfleet_api::SocketFleet| {
            let conditions = f.status.iter().flat_map(|status| &status.conditions);
            let mut metrics = conditions.filter(|c| c.type_ == condition::METRICS_AVAILABLE);
            metrics.any(|c| c.status == "False" && c.message.to_lowercase().contains("prometheus"))
        };
        s.fleets().until("chat", "a word about Prometheus", said).await;
    })
    .await;
}

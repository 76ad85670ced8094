//! Fleets for tests: small, quick, and on the images of this repository.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::{DEFAULT_SOCKET_PORT, Health, labels, paths};

/// How long a pod may take to say how many sockets it has.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A fleet of this name, from the YAML of its spec.
pub fn fleet(name: &str, spec: &str) -> SocketFleet {
    let spec: Value = serde_yaml::from_str(spec).unwrap_or_else(|e| panic!("{spec}\n{e}"));
    of_value(name, spec)
}

/// A fleet that fits on a small machine: the spec's YAML on top of small requests and quick drains.
pub fn small_fleet(name: &str, spec: &str) -> SocketFleet {
    let changes: Value = serde_yaml::from_str(spec).unwrap_or_else(|e| panic!("{spec}\n{e}"));
    let small = json!({ "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } });
    let mut spec = json!({
        "server": { "maxConnections": 500, "resources": small },
        "redis": { "managed": { "resources": small } },
        "drain": { "deadlineSeconds": 60, "reconnectsPerSecond": 100 },
    });
    merge(&mut spec, changes);
    of_value(name, spec)
}

/// Label selector of a fleet's server pods.
pub fn servers(fleet: &str) -> String {
    format!("{}={fleet},{}=server", labels::FLEET, labels::COMPONENT)
}

fn of_value(name: &str, spec: Value) -> SocketFleet {
    let fleet = json!({
        "apiVersion": "socketfleet.io/v1alpha1",
        "kind": "SocketFleet",
        "metadata": { "name": name },
        "spec": spec,
    });
    serde_json::from_value(fleet).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// JSON merge patch.
fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), change);
                }
            }
        }
        (into, change) => *into = change,
    }
}

/// Open sockets of each pod, as the pods themselves say; without those that do not answer.
pub async fn sockets_on(client: &Client, pods: &[Pod]) -> BTreeMap<String, u64> {
    let asked = pods.iter().map(|pod| async move {
        let health = health_of(client, pod).await?;
        Some((pod.name_any(), health.connections))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// What a server says of itself on the port that everybody reaches; `None` without an answer.
pub async fn health_of(client: &Client, pod: &Pod) -> Option<Health> {
    let (namespace, name) = (pod.namespace()?, pod.name_any());
    let uri =
        format!("/api/v1/namespaces/{namespace}/pods/{name}:{DEFAULT_SOCKET_PORT}/proxy{}", paths::HEALTH);
    let asked = async {
        // Not `Client::request`: a draining server answers 503 with the same body.
        let answer = client.send(http::Request::get(uri).body(Body::empty()).ok()?).await.ok()?;
        answer.into_body().collect_bytes().await.ok()
    };
    // A pod that is just going may leave the question without any answer.
    let body = tokio::time::timeout(ANSWER_WITHIN, asked).await.ok()??;
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_fleet_takes_changes() {
        let fleet = small_fleet(
            "chat",
            "{replicas: 2, drain: {deadlineSeconds: 5}, redis: {type: None, managed: null}}",
        );
        assert_eq!((fleet.spec.replicas, fleet.spec.drain.deadline_seconds), (2, 5));
        assert_eq!(fleet.spec.drain.reconnects_per_second, Some(100));
        assert_eq!(fleet.spec.redis.managed, None);
    }
}

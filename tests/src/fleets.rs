//! Fleets for tests: small, quick, and on the images of this repository.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::{Client, ResourceExt};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::{DEFAULT_ADMIN_PORT, Health, paths};

/// A fleet of this name, from the YAML of its spec.
pub fn fleet(name: &str, spec: &str) -> SocketFleet {
    let manifest = "apiVersion: socketfleet.io/v1alpha1\nkind: SocketFleet\n";
    let spec: serde_yaml::Value = serde_yaml::from_str(spec).unwrap_or_else(|e| panic!("{spec}\n{e}"));
    let mut fleet: serde_yaml::Mapping = serde_yaml::from_str(manifest).expect("a mapping");
    fleet.insert(
        "metadata".into(),
        serde_yaml::to_value(BTreeMap::from([("name", name)])).expect("a mapping"),
    );
    fleet.insert("spec".into(), spec);
    serde_yaml::from_value(fleet.into()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Open sockets of each pod, as the pods themselves say; without those that do not answer.
pub async fn sockets_on(client: &Client, pods: &[Pod]) -> BTreeMap<String, u64> {
    let asked = pods.iter().map(|pod| async move {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let uri =
            format!("/api/v1/namespaces/{namespace}/pods/{name}:{DEFAULT_ADMIN_PORT}/proxy{}", paths::HEALTH);
        // Not `Client::request`: a draining server answers 503 with the same body.
        let answer = client.send(http::Request::get(uri).body(Body::empty()).ok()?).await.ok()?;
        let body = answer.into_body().collect_bytes().await.ok()?;
        let health: Health = serde_json::from_slice(&body).ok()?;
        Some((name, health.connections))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

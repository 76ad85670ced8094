//! What the API server and `kubectl` ask about the group: in the old format, a document for each version,
//! and in the aggregated one.

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

use super::registration::VERSIONS;
use super::{GROUP, METRIC, RESOURCE};

/// Versions of the aggregated format that we speak, the preferred one first. The document is the same.
const AGGREGATED: [&str; 2] = ["v2", "v2beta1"];

/// A version of the aggregated format that these headers accept, `None` where they want the old format.
pub fn aggregated_wanted(headers: &HeaderMap) -> Option<&'static str> {
    let accepts: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let offered = |version: &&str| {
        accepts.iter().flat_map(|accept| accept.split(',')).any(|media| {
            let mut parts = media.split(';').map(str::trim);
            let json = parts.next() == Some("application/json");
            let parameters: Vec<&str> = parts.collect();
            json && ["g=apidiscovery.k8s.io", &format!("v={version}"), "as=APIGroupDiscoveryList"]
                .iter()
                .all(|wanted| parameters.contains(wanted))
        })
    };
    AGGREGATED.into_iter().find(offered)
}

/// Content type of the aggregated format.
pub fn aggregated_content_type(version: &str) -> String {
    format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
}

/// `/apis` in the aggregated format.
pub fn aggregated(format_version: &str) -> Value {
    let versions: Vec<Value> = VERSIONS
        .iter()
        .map(|version| {
            json!({
                "version": version,
                "freshness": "Current",
                "resources": [{
                    "resource": RESOURCE,
                    // Only the metric is a resource here; clients want something in this place nevertheless.
                    "responseKind": { "group": "", "version": "", "kind": "" },
                    "scope": "Namespaced",
                    "singularResource": "",
                    "verbs": [],
                    "subresources": [{
                        "subresource": METRIC,
                        "responseKind": { "group": GROUP, "version": version, "kind": "MetricValueList" },
                        "verbs": ["get"],
                    }],
                }],
            })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{format_version}"),
        "metadata": {},
        "items": [{ "metadata": { "name": GROUP, "creationTimestamp": null }, "versions": versions }],
    })
}

/// `/apis` in the old format.
pub fn group_list() -> Value {
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [without_type(group())] })
}

/// `/apis/custom.metrics.k8s.io`.
pub fn group() -> Value {
    let version = |v: &str| json!({ "groupVersion": format!("{GROUP}/{v}"), "version": v });
    json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": VERSIONS.map(version),
        "preferredVersion": version(VERSIONS[0]),
    })
}

/// `/apis/custom.metrics.k8s.io/VERSION`.
pub fn resource_list(version: &str) -> Value {
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{version}"),
        "resources": [{
            "name": format!("{RESOURCE}/{METRIC}"),
            "singularName": "",
            "namespaced": true,
            "kind": "MetricValueList",
            "verbs": ["get"],
        }],
    })
}

fn without_type(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

//! OpenAPI documents. The API server merges them into its own; `kubectl explain` reads them. Small: one read
//! of one list.

use serde_json::{Value, json};

use super::registration::VERSIONS;
use super::{GROUP, METRIC, RESOURCE};

/// `/openapi/v2`.
pub fn v2() -> Value {
    let paths: serde_json::Map<String, Value> = VERSIONS
        .iter()
        .map(|version| {
            let operation = json!({
                "description": DESCRIPTION,
                "operationId": operation_id(version),
                "produces": ["application/json"],
                "responses": { "200": { "description": "OK", "schema": { "type": "object" } } },
                "parameters": [
                    { "name": "namespace", "in": "path", "required": true, "type": "string" },
                    { "name": "name", "in": "path", "required": true, "type": "string" },
                ],
            });
            (path(version), json!({ "get": operation }))
        })
        .collect();
    json!({ "swagger": "2.0", "info": info(), "paths": paths })
}

/// `/openapi/v3`: where the document of each version is.
pub fn v3_index() -> Value {
    let paths: serde_json::Map<String, Value> = VERSIONS
        .iter()
        .map(|version| {
            let place = format!("apis/{GROUP}/{version}");
            let url = format!("/openapi/v3/{place}?hash={}", env!("CARGO_PKG_VERSION"));
            (place, json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// `/openapi/v3/apis/custom.metrics.k8s.io/VERSION`.
pub fn v3(version: &str) -> Value {
    let parameter =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let operation = json!({
        "description": DESCRIPTION,
        "operationId": operation_id(version),
        "parameters": [parameter("namespace"), parameter("name")],
        "responses": { "200": {
            "description": "OK",
            "content": { "application/json": { "schema": { "type": "object" } } },
        } },
    });
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": { (path(version)): { "get": operation } },
    })
}

const DESCRIPTION: &str = "Open sockets of one SocketFleet, as a MetricValueList; of all fleets of the namespace when the name is *";

fn path(version: &str) -> String {
    format!("/apis/{GROUP}/{version}/namespaces/{{namespace}}/{RESOURCE}/{{name}}/{METRIC}")
}

fn operation_id(version: &str) -> String {
    let version = if version == "v1beta1" { "V1beta1" } else { "V1beta2" };
    format!("readCustomMetrics{version}NamespacedSocketFleetOpenSockets")
}

fn info() -> Value {
    json!({ "title": "SocketFleet metrics", "version": env!("CARGO_PKG_VERSION") })
}

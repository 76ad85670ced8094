//! `MetricValueList` in both versions.

use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::{Value, json};
use socketfleet_api::SocketFleet;

use super::{GROUP, METRIC};

/// Version of the group; they differ in how a metric is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `metricName`.
    V1Beta1,
    /// `metric: {name, selector}`.
    V1Beta2,
}

impl Version {
    /// Reads the version of a path.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "v1beta1" => Some(Self::V1Beta1),
            "v1beta2" => Some(Self::V1Beta2),
            _ => None,
        }
    }

    /// As in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1Beta1 => "v1beta1",
            Self::V1Beta2 => "v1beta2",
        }
    }
}

/// One fleet's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetValue {
    /// Namespace of the fleet.
    pub namespace: String,
    /// Name of the fleet.
    pub name: String,
    /// Open sockets, as the autoscaler is to see them.
    pub open_sockets: u64,
}

/// The list with these values as of `now`.
pub fn metric_value_list(version: Version, values: &[FleetValue], now: Timestamp) -> Value {
    let now = now.round(Unit::Second).unwrap_or(now).to_string();
    let items: Vec<Value> = values.iter().map(|value| item(version, value, &now)).collect();
    json!({
        "kind": "MetricValueList",
        "apiVersion": format!("{GROUP}/{}", version.as_str()),
        "metadata": {},
        "items": items,
    })
}

fn item(version: Version, value: &FleetValue, now: &str) -> Value {
    let FleetValue { namespace, name, open_sockets } = value;
    let described = Described {
        kind: <SocketFleet as kube::Resource>::kind(&()).into(),
        namespace,
        name,
        api_version: <SocketFleet as kube::Resource>::api_version(&()).into(),
    };
    // A quantity; a plain integer is one.
    let quantity = open_sockets.to_string();
    match version {
        Version::V1Beta1 => json!({
            "describedObject": described, "metricName": METRIC, "timestamp": now, "value": quantity, "selector": null,
        }),
        Version::V1Beta2 => json!({
            "describedObject": described, "metric": { "name": METRIC, "selector": null }, "timestamp": now,
            "value": quantity,
        }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    kind: String,
    namespace: &'a str,
    name: &'a str,
    api_version: String,
}

//! Pure: whether an object is as planned, whatever the API server and others have added.

use kube::core::DynamicObject;
use serde_json::Value;

use super::names::APPLIED;
use super::plan::Object;
use crate::quantity;

/// Fields that tell the elements of a list apart, in the order in which they are tried: as server-side apply merges.
const LIST_KEYS: [&str; 5] = ["containerPort", "port", "mountPath", "topologyKey", "name"];

/// Whether the live object was last applied from this very plan and has not drifted since.
///
/// The hash finds what is no longer planned; the comparison finds what somebody else has changed.
pub fn is_as_planned(planned: &Object, live: &DynamicObject) -> bool {
    let applied = live.metadata.annotations.as_ref().and_then(|a| a.get(APPLIED));
    if applied.is_none_or(|hash| hash != planned.applied_hash()) {
        return false;
    }
    let Some(fields) = planned.body.as_object() else { return false };
    fields.iter().all(|(key, planned)| match key.as_str() {
        "apiVersion" | "kind" => true,
        "metadata" => serde_json::to_value(&live.metadata).is_ok_and(|live| covers(planned, &live)),
        _ => live.data.get(key).map_or_else(|| is_empty(planned), |live| covers(planned, live)),
    })
}

/// Whether `live` has all that is planned. What it has beside that are defaults and fields of others.
fn covers(planned: &Value, live: &Value) -> bool {
    match (planned, live) {
        (Value::Object(planned), Value::Object(live)) => {
            planned.iter().all(|(key, planned)| match live.get(key) {
                Some(live) => covers(planned, live),
                None => is_empty(planned),
            })
        }
        (Value::Array(planned), Value::Array(live)) => covers_list(planned, live),
        (Value::String(planned), Value::String(live)) => {
            planned == live || quantity::millis(planned).is_some_and(|n| quantity::millis(live) == Some(n))
        }
        (Value::Number(planned), Value::Number(live)) => planned == live || planned.as_f64() == live.as_f64(),
        _ => planned == live,
    }
}

fn covers_list(planned: &[Value], live: &[Value]) -> bool {
    match LIST_KEYS.iter().find(|key| planned.iter().all(|item| item.get(**key).is_some())) {
        // Others may have added elements.
        Some(key) if !planned.is_empty() => planned.iter().all(|planned| {
            live.iter().any(|live| live.get(*key) == planned.get(*key) && covers(planned, live))
        }),
        _ => {
            planned.len() == live.len()
                && planned.iter().zip(live).all(|(planned, live)| covers(planned, live))
        }
    }
}

/// The API server drops what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_and_fields_of_others_are_no_drift() {
        let planned = json!({"spec": {"replicas": 3, "nodeSelector": {}, "containers": [{"name": "server", "image": "a"}]}});
        let live = json!({"spec": {"replicas": 3, "paused": false, "containers": [
            {"name": "injected", "image": "mesh"},
            {"name": "server", "image": "a", "terminationMessagePath": "/dev/termination-log"},
        ]}});
        assert!(covers(&planned, &live));
    }

    #[test]
    fn a_quantity_in_another_form_is_the_same() {
        assert!(covers(&json!({"cpu": "1000m", "memory": "1024Mi"}), &json!({"cpu": "1", "memory": "1Gi"})));
        assert!(!covers(&json!({"cpu": "1"}), &json!({"cpu": "2"})));
    }

    #[test]
    fn what_was_changed_or_removed_is_drift() {
        let planned = json!({"ports": [{"port": 80, "name": "socket"}, {"port": 81, "name": "admin"}]});
        for live in [
            json!({"ports": [{"port": 80, "name": "socket"}]}),
            json!({"ports": [{"port": 80, "name": "socket"}, {"port": 81, "name": "other"}]}),
            json!({"ports": []}),
            json!({}),
        ] {
            assert!(!covers(&planned, &live), "{live}");
        }
        // A list without keys is one value: its order counts.
        assert!(!covers(&json!({"args": ["a", "b"]}), &json!({"args": ["b", "a"]})));
        assert!(!covers(&json!({"args": ["a"]}), &json!({"args": ["a", "b"]})));
    }
}

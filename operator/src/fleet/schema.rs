//! Pure: what the CRD's schema refuses, for planning without an API server.
//!
//! Only what people get wrong: fields that do not exist, and numbers, texts and lists out of bounds. Types are checked by
//! reading the fleet, and relations between fields by the CEL rules.

use serde_json::Value;

/// What is wrong with `value`, each with the path of the field.
pub fn check(value: &Value, schema: &Value) -> Vec<String> {
    let mut messages = Vec::new();
    walk(value, schema, "", &mut messages);
    messages
}

fn walk(value: &Value, schema: &Value, path: &str, messages: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let open =
                schema["x-kubernetes-preserve-unknown-fields"] == true || schema["properties"].is_null();
            for (name, field) in fields {
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (schema["properties"].get(name), schema.get("additionalProperties")) {
                    (Some(schema), _) | (None, Some(schema)) => walk(field, schema, &at, messages),
                    (None, None) if open => {}
                    (None, None) => {
                        messages.push(format!("{at} does not exist: {}", known(&schema["properties"])))
                    }
                }
            }
        }
        Value::Array(items) => {
            bounds(items.len() as f64, &schema["minItems"], &schema["maxItems"], "items", path, messages);
            for (index, item) in items.iter().enumerate() {
                walk(item, &schema["items"], &format!("{path}[{index}]"), messages);
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as f64;
            bounds(length, &schema["minLength"], &schema["maxLength"], "characters", path, messages);
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            bounds(number, &schema["minimum"], &schema["maximum"], "", path, messages);
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn known(properties: &Value) -> String {
    let names: Vec<_> = properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    format!("there are {}", names.join(", "))
}

fn bounds(actual: f64, least: &Value, most: &Value, unit: &str, path: &str, messages: &mut Vec<String>) {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    if let Some(least) = least.as_f64().filter(|least| actual < *least) {
        messages.push(format!("{path} is {actual}{unit}: it must be at least {least}"));
    }
    if let Some(most) = most.as_f64().filter(|most| actual > *most) {
        messages.push(format!("{path} is {actual}{unit}: it must be at most {most}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_out_of_bounds_or_unknown_is_named() {
        let schema = json!({"properties": {
            "replicas": {"type": "integer", "minimum": 0, "maximum": 5},
            "env": {"maxItems": 1, "items": {"properties": {"name": {"minLength": 1}}}},
            "labels": {"additionalProperties": {"maxLength": 3}},
            "anything": {"type": "object"},
        }});
        let wrong = json!({
            "replicas": 6, "env": [{"name": ""}, {"nam": "x"}], "labels": {"a": "long"}, "anything": {"x": 1}, "replica": 1,
        });
        let messages = check(&wrong, &schema);
        for part in [
            "replicas is 6: it must be at most 5",
            "env is 2 items",
            "env[0].name is 0 characters",
            "env[1].nam does not exist: there are name",
            "labels.a is 4 characters",
            "replica does not exist",
        ] {
            assert!(messages.iter().any(|m| m.contains(part)), "{part}: {messages:?}");
        }
        assert_eq!(messages.len(), 6, "{messages:?}");
        assert!(check(&json!({"replicas": 5, "labels": {"a": "abc"}}), &schema).is_empty());
    }
}

//! The configuration file: YAML, flat or nested.
//!
//! `cors: {origin: …}` and `corsOrigin: …` mean the same key, so that each option has one name in three
//! spellings: `cors.origin`, `--cors-origin`, `CORS_ORIGIN`.

use serde_json::{Map, Value};

use super::ConfigError;

/// Reads the text of a file into a flat map of known keys.
///
/// # Errors
/// When it is not YAML, or has a key that is not `known`, or the same key twice.
pub fn parse(file: &str, text: &str, known: &Map<String, Value>) -> Result<Map<String, Value>, ConfigError> {
    let yaml: Value = serde_yaml::from_str(text)
        .map_err(|error| ConfigError::Yaml { file: file.into(), message: error.to_string() })?;
    let mut flat = Map::new();
    match yaml {
        Value::Null => {}
        Value::Object(map) => flatten(file, known, "", "", map, &mut flat)?,
        _ => {
            let message = "the file must be a mapping of keys to values".into();
            return Err(ConfigError::Yaml { file: file.into(), message });
        }
    }
    Ok(flat)
}

/// `dotted` is how the user wrote the path so far, `joined` its flat spelling.
fn flatten(
    file: &str,
    known: &Map<String, Value>,
    dotted: &str,
    joined: &str,
    map: Map<String, Value>,
    flat: &mut Map<String, Value>,
) -> Result<(), ConfigError> {
    for (key, value) in map {
        let dotted = if dotted.is_empty() { key.clone() } else { format!("{dotted}.{key}") };
        let joined = if joined.is_empty() { key } else { format!("{joined}{}", capitalised(&key)) };
        match value {
            // `perMessageDeflate` is a key as well as the first part of one.
            Value::Object(inner) if !known.contains_key(&joined) || is_part(&joined, known) => {
                flatten(file, known, &dotted, &joined, inner, flat)?;
            }
            value if known.contains_key(&joined) => {
                if flat.insert(joined, value).is_some() {
                    return Err(ConfigError::Twice { file: file.into(), key: dotted });
                }
            }
            _ => {
                let hint = nearest(&joined, known);
                return Err(ConfigError::UnknownKey { file: file.into(), key: dotted, hint });
            }
        }
    }
    Ok(())
}

/// Whether longer keys begin with this one.
fn is_part(key: &str, known: &Map<String, Value>) -> bool {
    known.keys().any(|name| name.strip_prefix(key).is_some_and(|rest| rest.starts_with(char::is_uppercase)))
}

fn capitalised(key: &str) -> String {
    let mut chars = key.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What the user may have meant by an unknown key, as the end of a sentence.
fn nearest(key: &str, known: &Map<String, Value>) -> String {
    let (score, name) = known
        .keys()
        .map(|name| (strsim::jaro_winkler(&key.to_lowercase(), &name.to_lowercase()), name.as_str()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or_default();
    if score > 0.85 {
        format!("did you mean `{name}`?")
    } else {
        "see `socket-server --help` for the keys: `--cors-origin` is `cors.origin` or `corsOrigin`".into()
    }
}

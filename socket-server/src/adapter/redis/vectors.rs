//! What the npm packages really wrote (`vectors.json`, made by `tests/js/redis-vectors.js`).

use std::collections::HashMap;

use serde::Deserialize;

/// One command that an npm adapter sent to Redis.
#[derive(Deserialize)]
pub struct Vector {
    /// `classic`, `sharded`, `streams` or `emitter`.
    pub adapter: String,
    /// The operation in the script.
    pub step: String,
    /// Of a publication.
    #[serde(default)]
    pub channel: Option<String>,
    /// Of a publication, in hexadecimal.
    #[serde(default, deserialize_with = "hex")]
    pub payload: Option<Vec<u8>>,
    /// Of a stream's entry.
    #[serde(default)]
    pub fields: Option<HashMap<String, String>>,
    /// Of a session.
    #[serde(default)]
    pub value: Option<String>,
}

fn hex<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = String::deserialize(reader)?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Ok(Some(text.as_bytes().chunks(2).map(byte).collect()))
}

/// The commands of one adapter, in order.
pub fn of(adapter: &str) -> impl Iterator<Item = Vector> {
    let all: Vec<Vector> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all.into_iter().filter(move |v| v.adapter == adapter)
}

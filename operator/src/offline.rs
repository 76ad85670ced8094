//! Planning without a cluster, by the code that the operator runs.

use std::collections::BTreeMap;

use serde::Deserialize;
use socketfleet_api::SocketFleet;

use crate::fleet::credentials::Credentials;
use crate::fleet::plan;
use crate::fleet::references::{References, secret_refs};
use crate::fleet::validate::{self, Invalid};
use crate::settings::Platform;

/// Why nothing was planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document is not a SocketFleet.
    #[error("document {number} is not a SocketFleet: {message}")]
    NotAFleet {
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        message: String,
    },
    /// A fleet cannot be carried out.
    #[error("fleet {name}: {source}")]
    Invalid {
        /// Its name.
        name: String,
        /// What is wrong.
        source: Invalid,
    },
    /// An object is not YAML.
    #[error(transparent)]
    Yaml(#[from] serde_yaml::Error),
}

/// The objects of the fleets in a YAML stream, as a YAML stream. Secrets that a spec refers to count as existing, and
/// generated credentials are replaced by placeholders. Secrets in the stream are passed over: a manifest often brings the
/// one that its fleet refers to.
///
/// # Errors
/// What is wrong with the fleets.
pub fn plan(text: &str, platform: &Platform) -> Result<String, Error> {
    let mut output = String::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value = serde_json::Value::deserialize(document)?;
        if value.is_null() || value["kind"] == "Secret" {
            continue;
        }
        let fleet =
            validate::from_json(value).map_err(|message| Error::NotAFleet { number: index + 1, message })?;
        let plan = plan_fleet(&fleet, platform)?;
        for object in plan.objects.iter().chain([&plan.accepted]) {
            output.push_str("---\n");
            output.push_str(&serde_yaml::to_string(&object.body)?);
        }
    }
    Ok(output)
}

fn plan_fleet(fleet: &SocketFleet, platform: &Platform) -> Result<plan::Plan, Error> {
    let mut existing: References = BTreeMap::new();
    for reference in secret_refs(&fleet.spec) {
        existing.entry(reference.secret).or_default().extend(reference.key);
    }
    let fleet = validate::validate(fleet, validate::rules(fleet), &existing, platform)
        .map_err(|source| Error::Invalid { name: fleet.metadata.name.clone().unwrap_or_default(), source })?;
    let replicas = fleet.wanted_replicas();
    Ok(plan::plan(&fleet, &Credentials::placeholder(), platform, replicas, &[]))
}

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fleet::names::{self, APPLIED};
use crate::fleet::validate::ValidatedFleet;
use crate::kinds::{Kind, OfKind};

/// An object as it shall be.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it, `apiVersion` and `kind` included.
    pub body: Value,
}

impl Object {
    /// An object with the [hash](APPLIED) of itself.
    pub(super) fn of<K: OfKind>(typed: &K) -> Self {
        // Types of the API are maps with string keys: they always are JSON.
        let mut body = serde_json::to_value(typed).unwrap_or_default();
        let hash = hash(&body, 16);
        body["metadata"]["annotations"][APPLIED] = hash.into();
        Self { kind: K::KIND, name: typed.meta().name.clone().unwrap_or_default(), body }
    }

    /// The hash in its annotation.
    pub fn applied_hash(&self) -> &str {
        self.body["metadata"]["annotations"][APPLIED].as_str().unwrap_or_default()
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The body of a Secret stays out of logs.
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// Whether a fleet's deletion takes an object along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// It goes with the fleet.
    Yes,
    /// It stays when the fleet goes.
    No,
}

/// Metadata of an object of a fleet.
pub(super) fn metadata(fleet: &ValidatedFleet, name: String, component: &str, owned: Owned) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(fleet.namespace.clone()),
        labels: Some(names::labels(&fleet.name, component)),
        owner_references: match owned {
            Owned::Yes => fleet.owner.clone().map(|owner| vec![owner]),
            Owned::No => None,
        },
        ..ObjectMeta::default()
    }
}

/// A Secret's data.
pub(super) fn secret(metadata: ObjectMeta, data: &[(&str, &str)]) -> Secret {
    Secret {
        metadata,
        type_: Some("Opaque".into()),
        data: Some(
            data.iter()
                .map(|(k, v)| ((*k).to_owned(), k8s_openapi::ByteString(v.as_bytes().to_vec())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// The first `length` hexadecimal digits of the SHA-256 of a value's JSON, whose maps are sorted.
pub fn hash(value: &Value, length: usize) -> String {
    let digest = Sha256::digest(value.to_string());
    let mut text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(length);
    text
}

//! Secrets that a fleet's spec refers to. They are others': the operator reads which keys they have, and only that.

use std::collections::{BTreeMap, BTreeSet};

use socketfleet_api::SocketFleetSpec;

/// Keys of the Secrets that exist, by name.
pub type References = BTreeMap<String, BTreeSet<String>>;

/// A reference from a spec to a Secret in the fleet's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// The field that refers to it.
    pub field: String,
    /// Name of the Secret.
    pub secret: String,
    /// Key in the Secret; `None` for all of it.
    pub key: Option<String>,
    /// The fleet does without it.
    pub optional: bool,
}

/// All Secrets that a spec refers to, but for `imagePullSecrets`: the kubelet does without those.
pub fn secret_refs(spec: &SocketFleetSpec) -> Vec<SecretRef> {
    let of = |field: String, name: &str, key: Option<&str>, optional: Option<bool>| SecretRef {
        field,
        secret: name.to_owned(),
        key: key.map(str::to_owned),
        optional: optional.unwrap_or(false),
    };
    let redis = spec.redis.external.iter().map(|external| {
        let r = &external.url_secret_ref;
        of("spec.redis.external.urlSecretRef".into(), &r.name, Some(&r.key), r.optional)
    });
    let prometheus = spec
        .autoscaling
        .iter()
        .filter_map(|a| a.prometheus.as_ref()?.bearer_token_secret_ref.as_ref())
        .map(|r| {
            of("spec.autoscaling.prometheus.bearerTokenSecretRef".into(), &r.name, Some(&r.key), r.optional)
        });
    let env = spec.server.env.iter().filter_map(|variable| {
        let r = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(of(format!("spec.server.env[{}]", variable.name), &r.name, Some(&r.key), r.optional))
    });
    let env_from = spec.server.env_from.iter().enumerate().filter_map(|(i, source)| {
        let r = source.secret_ref.as_ref()?;
        Some(of(format!("spec.server.envFrom[{i}]"), &r.name, None, r.optional))
    });
    let volumes = spec.pod.volumes.iter().filter_map(|volume| {
        let r = volume.secret.as_ref()?;
        Some(of(format!("spec.pod.volumes[{}]", volume.name), r.secret_name.as_deref()?, None, r.optional))
    });
    redis.chain(prometheus).chain(env).chain(env_from).chain(volumes).collect()
}

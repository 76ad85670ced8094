//! I/O: what belongs to a fleet and what it refers to. Nearly all comes from the caches.
//!
//! Rights: `get` on Secrets, for the keys of those that a spec refers to and for generated credentials that the cache does
//! not show yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::core::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::RedisType;

use super::credentials::Credentials;
use super::references::{References, secret_refs};
use crate::cache::FleetRef;
use crate::context::Context;
use crate::kinds::Kind;

/// A fleet and what belongs to it.
pub struct Observed {
    /// The fleet.
    pub fleet: Arc<SocketFleet>,
    /// Its name in the cache.
    pub id: FleetRef,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Objects that bear its label.
    pub live: BTreeMap<(Kind, String), DynamicObject>,
    /// Pods that bear its label.
    pub pods: Vec<Arc<Pod>>,
    /// Keys of the Secrets that its spec refers to.
    pub references: References,
    /// Its generated credentials; new ones for a new fleet.
    pub credentials: Credentials,
}

/// Why a fleet cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A Secret cannot be read.
    #[error("cannot read Secret {name}: {source}")]
    Secret {
        /// Which one.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// No randomness for new credentials.
    #[error("the system gives no randomness for new credentials: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Observes a fleet.
///
/// # Errors
/// A Secret cannot be read.
pub async fn observe(fleet: Arc<SocketFleet>, ctx: &Context) -> Result<Observed, Error> {
    let (namespace, name) = (fleet.namespace().unwrap_or_default(), fleet.name_any());
    let live = ctx.cache.of_fleet(&namespace, &name);
    let pods = ctx.cache.pods_of_fleet(&namespace, &name);
    let references = references(&fleet, &namespace, ctx).await?;
    let [admin, redis] = Credentials::secrets(&name);
    let admin = generated(ctx, &live, &namespace, admin).await?;
    let redis = match fleet.spec.redis.r#type {
        RedisType::Managed => generated(ctx, &live, &namespace, redis).await?,
        // A fleet never leaves Managed: no Redis has ever been made for it.
        RedisType::External | RedisType::None => None,
    };
    let credentials = Credentials::keep_or_generate(admin.as_ref(), redis.as_ref())?;
    Ok(Observed {
        id: ObjectRef::from_obj(&*fleet),
        fleet,
        namespace,
        name,
        live,
        pods,
        references,
        credentials,
    })
}

/// A Secret of generated credentials. One that the cache does not show is asked for: it may just have been made, and
/// making it anew would lock the pods out.
async fn generated(
    ctx: &Context,
    live: &BTreeMap<(Kind, String), DynamicObject>,
    namespace: &str,
    name: String,
) -> Result<Option<Secret>, Error> {
    let key = (Kind::Secret, name);
    if let Some(object) = live.get(&key) {
        return Ok(object.clone().try_parse().ok());
    }
    secret(ctx, namespace, key.1).await
}

async fn references(fleet: &SocketFleet, namespace: &str, ctx: &Context) -> Result<References, Error> {
    let mut found = References::new();
    for reference in secret_refs(&fleet.spec) {
        let known = ObjectRef::new(&reference.secret).within(namespace);
        // The cache has the metadata of all Secrets: what is not there does not exist.
        if found.contains_key(&reference.secret) || ctx.cache.secrets.get(&known).is_none() {
            continue;
        }
        if let Some(secret) = secret(ctx, namespace, reference.secret.clone()).await? {
            found.insert(reference.secret, secret.data.into_iter().flatten().map(|(key, _)| key).collect());
        }
    }
    Ok(found)
}

async fn secret(ctx: &Context, namespace: &str, name: String) -> Result<Option<Secret>, Error> {
    let api = Api::<Secret>::namespaced(ctx.client.clone(), namespace);
    api.get_opt(&name).await.map_err(|source| Error::Secret { name, source })
}

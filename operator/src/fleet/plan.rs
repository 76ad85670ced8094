//! What a fleet is made of: pure, one builder for each kind of object.

mod accepted;
mod deployment;
mod hpa;
mod network_policy;
mod object;
mod pdb;
pub(crate) mod pod_template;
mod redis;
mod secret;
mod service;
mod service_account;

use socketfleet_api::fleet::{RevisionRecord, WhenDeleted};

pub use accepted::last_accepted;
pub use hpa::OPEN_SOCKETS_METRIC;
pub use object::{Object, hash};

use super::credentials::Credentials;
use super::validate::{ManagedRedis, Redis, ValidatedFleet};
use crate::settings::Platform;
use object::Owned;

/// A fleet's objects as they shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Hash of the pod template: the revision that the spec makes.
    pub revision: String,
    /// The objects, in the order of applying.
    pub objects: Vec<Object>,
    /// Applied once all others are: the record of the spec that has been carried out.
    pub accepted: Object,
}

/// Hash of the pod template that a fleet's spec makes.
pub fn revision(fleet: &ValidatedFleet, credentials: &Credentials) -> String {
    pod_template::revision(fleet, credentials).hash
}

/// Plans a fleet whose current revision has so many replicas, and this history. Cannot fail: what can is in
/// [`validate`](super::validate).
pub fn plan(
    fleet: &ValidatedFleet,
    credentials: &Credentials,
    platform: &Platform,
    replicas: u32,
    history: &[RevisionRecord],
) -> Plan {
    let revision = pod_template::revision(fleet, credentials);
    let hash = revision.hash.clone();
    let mut objects = Vec::with_capacity(16);
    objects.extend(service_account::service_account(fleet).as_ref().map(Object::of));
    objects.push(Object::of(&secret::admin_token(fleet, credentials)));
    objects.extend(network_policy::server(fleet, platform).as_ref().map(Object::of));
    objects.push(Object::of(&service::traffic(fleet)));
    objects.push(Object::of(&service::pods(fleet)));
    objects.push(Object::of(&deployment::deployment(fleet, revision, replicas)));
    objects.push(Object::of(&pdb::pod_disruption_budget(fleet)));
    objects.extend(hpa::horizontal_pod_autoscaler(fleet).as_ref().map(Object::of));
    if let Redis::Managed(redis) = &fleet.redis {
        objects.push(Object::of(&secret::redis_auth(fleet, redis, credentials)));
        objects.push(Object::of(&redis::config_map(fleet, redis)));
        objects.extend(network_policy::redis(fleet, redis).as_ref().map(Object::of));
        objects.push(Object::of(&service::redis(fleet, redis)));
        objects.push(Object::of(&redis::stateful_set(fleet, redis, credentials)));
    }
    objects.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Plan { revision: hash, objects, accepted: Object::of(&accepted::config_map(fleet, history)) }
}

/// A Redis that is retained is not the fleet's: garbage collection would take it along.
fn redis_owned(redis: &ManagedRedis) -> Owned {
    match redis.when_deleted {
        WhenDeleted::Delete => Owned::Yes,
        WhenDeleted::Retain => Owned::No,
    }
}

//! The kinds of object that a fleet is made of.
//!
//! Rights that the operator needs for each of them, in the fleets' namespaces: `get`, `list`, `watch`, `create`, `patch`,
//! `delete`; every write is a server-side apply (`patch`, and `create` for an object that does not exist).

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::core::ApiResource;

/// A kind that the operator makes, in the order in which objects are applied: what others refer to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Identity of the server pods.
    ServiceAccount,
    /// Admin token, Redis password.
    Secret,
    /// Redis' configuration.
    ConfigMap,
    /// Who reaches the pods.
    NetworkPolicy,
    /// Ways to the pods.
    Service,
    /// Redis.
    StatefulSet,
    /// A revision's server pods.
    Deployment,
    /// How many pods evictions may take.
    PodDisruptionBudget,
    /// Scaling on open sockets.
    HorizontalPodAutoscaler,
}

impl Kind {
    /// All of them, in the order of applying.
    pub const ALL: [Self; 9] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Service,
        Self::StatefulSet,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
    ];

    /// Where the API server has it.
    pub fn resource(self) -> &'static ApiResource {
        static RESOURCES: LazyLock<[ApiResource; 9]> = LazyLock::new(|| {
            [
                ApiResource::erase::<ServiceAccount>(&()),
                ApiResource::erase::<Secret>(&()),
                ApiResource::erase::<ConfigMap>(&()),
                ApiResource::erase::<NetworkPolicy>(&()),
                ApiResource::erase::<Service>(&()),
                ApiResource::erase::<StatefulSet>(&()),
                ApiResource::erase::<Deployment>(&()),
                ApiResource::erase::<PodDisruptionBudget>(&()),
                ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            ]
        });
        &RESOURCES[self as usize]
    }

    /// Its name, as in `kubectl get KIND`.
    pub fn name(self) -> &'static str {
        &self.resource().kind
    }

    /// Objects of one stage do not depend on each other and are applied together.
    pub fn stage(self) -> u8 {
        match self {
            Self::ServiceAccount | Self::Secret | Self::ConfigMap | Self::NetworkPolicy => 0,
            Self::Service | Self::StatefulSet | Self::Deployment => 1,
            Self::PodDisruptionBudget | Self::HorizontalPodAutoscaler => 2,
        }
    }
}

/// A Rust type of one of the [kinds](Kind).
pub trait OfKind: Resource<DynamicType = ()> + serde::Serialize {
    /// Its kind.
    const KIND: Kind;
}

macro_rules! of_kind {
    ($($kind:ident),*) => { $(impl OfKind for $kind { const KIND: Kind = Kind::$kind; })* };
}
of_kind!(
    ServiceAccount,
    Secret,
    ConfigMap,
    NetworkPolicy,
    Service,
    StatefulSet,
    Deployment,
    PodDisruptionBudget,
    HorizontalPodAutoscaler
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_resource() {
        fn check<K: OfKind>() {
            assert_eq!(K::KIND.name(), K::kind(&()));
        }
        check::<ServiceAccount>();
        check::<Secret>();
        check::<ConfigMap>();
        check::<NetworkPolicy>();
        check::<Service>();
        check::<StatefulSet>();
        check::<Deployment>();
        check::<PodDisruptionBudget>();
        check::<HorizontalPodAutoscaler>();
    }

    #[test]
    fn the_order_of_kinds_is_the_order_of_stages() {
        assert!(Kind::ALL.is_sorted());
        assert!(Kind::ALL.iter().map(|k| k.stage()).is_sorted());
    }
}

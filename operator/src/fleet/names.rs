//! Names and labels of a fleet's objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use socketfleet_api::contract::labels;

/// Value of `app.kubernetes.io/managed-by`, and name of the operator wherever one is asked for.
pub const OPERATOR: &str = "socketfleet-operator";
/// Field manager of all that the operator applies.
pub const FIELD_MANAGER: &str = "socketfleet";
/// Finalizer of fleets that drain when they are deleted.
pub const FINALIZER: &str = "socketfleet.io/drain";
/// Annotation on everything that is applied: hash of what was applied, so that a field that is no longer planned is seen.
pub const APPLIED: &str = "socketfleet.io/applied-hash";
/// Annotation of pod templates: hash of the generated credentials, so that new ones reach the pods.
pub const CREDENTIALS: &str = "socketfleet.io/credentials-hash";
/// Value of the component label of server pods.
pub const SERVER: &str = "server";
/// Value of the component label of Redis.
pub const REDIS: &str = "redis";

/// Names of a fleet's objects.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a>(pub &'a str);

impl Names<'_> {
    /// What bears the fleet's own name: ServiceAccount, traffic Service, HPA and PodDisruptionBudget.
    pub fn fleet(self) -> String {
        self.0.to_owned()
    }
    /// A revision's Deployment.
    pub fn deployment(self, revision: &str) -> String {
        format!("{}-{revision}", self.0)
    }
    /// Headless Service of all server pods.
    pub fn pods(self) -> String {
        format!("{}-pods", self.0)
    }
    /// What belongs to the server pods: NetworkPolicy.
    pub fn server(self) -> String {
        format!("{}-server", self.0)
    }
    /// What belongs to Redis: StatefulSet, Service, ConfigMap, NetworkPolicy.
    pub fn redis(self) -> String {
        format!("{}-redis", self.0)
    }
    /// Secret of the admin token.
    pub fn admin_secret(self) -> String {
        format!("{}-admin", self.0)
    }
    /// Secret of Redis' password.
    pub fn redis_secret(self) -> String {
        format!("{}-redis-auth", self.0)
    }
    /// ConfigMap with the last spec that was carried out.
    pub fn accepted(self) -> String {
        socketfleet_api::fleet::accepted_name(self.0)
    }
}

/// Labels of an object.
pub fn labels(fleet: &str, component: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "socketfleet"),
        ("app.kubernetes.io/instance", fleet),
        (labels::COMPONENT, component),
        ("app.kubernetes.io/managed-by", OPERATOR),
        (labels::FLEET, fleet),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into()
}

/// Labels that select the pods of a component. These never change: selectors are immutable.
pub fn selector(fleet: &str, component: &str) -> BTreeMap<String, String> {
    [(labels::FLEET, fleet), (labels::COMPONENT, component)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// [`selector`] as other objects want it.
pub fn label_selector(fleet: &str, component: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(fleet, component)), match_expressions: None }
}

/// [`selector`] as text, for `/scale`.
pub fn selector_text(fleet: &str) -> String {
    selector(fleet, SERVER).iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

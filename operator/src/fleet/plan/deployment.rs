use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use socketfleet_api::contract::labels;

use super::object::{Owned, metadata};
use super::pod_template::Revision;
use crate::fleet::names::{self, Names, SERVER};
use crate::fleet::validate::ValidatedFleet;

/// The Deployment of a revision. Its template never changes: another template is another revision, hence another
/// Deployment. Should somebody change it all the same, no pod goes before its replacement is Ready.
pub(super) fn deployment(fleet: &ValidatedFleet, revision: Revision, replicas: u32) -> Deployment {
    let Revision { hash, template } = revision;
    let mut metadata = metadata(fleet, Names(&fleet.name).deployment(&hash), SERVER, Owned::Yes);
    let revision = BTreeMap::from([(labels::REVISION.to_owned(), hash)]);
    metadata.labels.get_or_insert_default().extend(revision.clone());
    // Not the traffic label: flipping it must not cut a pod off from its Deployment.
    let mut selector = names::selector(&fleet.name, SERVER);
    selector.extend(revision);
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
            selector: LabelSelector { match_labels: Some(selector), match_expressions: None },
            template,
            revision_history_limit: Some(0),
            progress_deadline_seconds: Some(fleet.spec.rollout.progress_deadline_seconds),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

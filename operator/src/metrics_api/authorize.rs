//! Whether somebody may ask what they ask: the API server decides (SubjectAccessReview), we remember shortly.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::GROUP;
use super::authenticate::User;
use super::status::Refusal;

/// How long a decision holds, as in Kubernetes' own servers.
const DECISION_HOLDS: Duration = Duration::from_secs(10);
/// Decisions that are remembered.
const DECISIONS_MAX: usize = 4_096;

/// Paths that everybody may ask: the kubelet probes them.
const FREE: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// Whether everybody may ask this path.
pub fn is_free(path: &str) -> bool {
    FREE.contains(&path)
}

/// What is asked for, in the terms of RBAC. The verb is `get`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// A metric of an object.
    Resource {
        /// Version of the group.
        version: String,
        /// Namespace, none for objects outside of namespaces.
        namespace: Option<String>,
        /// Plural and group of the object.
        resource: String,
        /// Name of the object, `*` for all.
        name: String,
        /// The metric.
        subresource: Option<String>,
    },
    /// Discovery and the like.
    Path(String),
}

impl Attributes {
    /// Reads a request's path as the API server does: `/apis/GROUP/VERSION/[namespaces/NS/]RESOURCE/NAME[/METRIC]`.
    pub fn of(path: &str) -> Self {
        let parts: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let text: Vec<&str> = parts.iter().map(String::as_str).collect();
        let resource =
            |version: &str, namespace: Option<&str>, resource: &str, name: &str, metric: Option<&str>| {
                Self::Resource {
                    version: version.into(),
                    namespace: namespace.map(Into::into),
                    resource: resource.into(),
                    name: name.into(),
                    subresource: metric.map(Into::into),
                }
            };
        match text[..] {
            ["apis", GROUP, version, "namespaces", ns, kind, name] => {
                resource(version, Some(ns), kind, name, None)
            }
            ["apis", GROUP, version, "namespaces", ns, kind, name, metric] => {
                resource(version, Some(ns), kind, name, Some(metric))
            }
            ["apis", GROUP, version, kind, name, metric] => resource(version, None, kind, name, Some(metric)),
            _ => Self::Path(path.to_owned()),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Resource { version: _, namespace, resource, name, subresource } => {
                let metric = subresource.as_ref().map(|m| format!("/{m}")).unwrap_or_default();
                let place =
                    namespace.as_ref().map(|n| format!(" in the namespace {n:?}")).unwrap_or_default();
                format!(
                    "cannot get resource \"{resource}{metric}\" of {name:?} in API group {GROUP:?}{place}"
                )
            }
            Self::Path(path) => format!("cannot get path {path:?}"),
        }
    }
}

/// Has access reviewed by the API server.
pub struct Access {
    client: Client,
    decided: Mutex<HashMap<(User, Attributes), (bool, Instant)>>,
}

impl Access {
    /// Asks this API server.
    pub fn new(client: Client) -> Self {
        Self { client, decided: Mutex::default() }
    }

    /// Refuses what the user may not get.
    pub async fn check(&self, user: User, attributes: Attributes) -> Result<(), Refusal> {
        let key = (user, attributes);
        let known = self.decided.lock().get(&key).copied();
        let allowed = match known {
            Some((allowed, at)) if at.elapsed() < DECISION_HOLDS => allowed,
            _ => {
                let allowed = self.review(&key.0, &key.1).await?;
                let mut decided = self.decided.lock();
                if decided.len() >= DECISIONS_MAX {
                    decided.clear();
                }
                decided.insert(key.clone(), (allowed, Instant::now()));
                allowed
            }
        };
        let (user, attributes) = key;
        if allowed {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!("User {:?} {}", user.name, attributes.describe())))
    }

    async fn review(&self, user: &User, attributes: &Attributes) -> Result<bool, Refusal> {
        let answer = Api::<SubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review_of(user, attributes))
            .await
            .map_err(|e| Refusal::Unavailable(format!("cannot have access reviewed: {e}")))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn review_of(user: &User, attributes: &Attributes) -> SubjectAccessReview {
    let User { name, uid, groups, extra } = user.clone();
    let verb = Some("get".to_owned());
    let (resource, path) = match attributes.clone() {
        Attributes::Resource { version, namespace, resource, name, subresource } => {
            let resource = ResourceAttributes {
                group: Some(GROUP.into()),
                version: Some(version),
                namespace,
                resource: Some(resource),
                name: Some(name),
                subresource,
                verb,
                ..ResourceAttributes::default()
            };
            (Some(resource), None)
        }
        Attributes::Path(path) => (None, Some(NonResourceAttributes { path: Some(path), verb })),
    };
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(name),
            uid,
            groups: Some(groups),
            extra: Some(extra),
            resource_attributes: resource,
            non_resource_attributes: path,
        },
        ..SubjectAccessReview::default()
    }
}

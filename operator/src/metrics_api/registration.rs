//! Gives the APIServices that lead to us the CAs of our certificate, and leaves those of others alone.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use super::GROUP;
use crate::fleet::names::OPERATOR;

/// Versions of the group, the preferred one first.
pub const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// Everything is looked at again after this long, whatever was announced.
const RESYNC: Duration = Duration::from_secs(600);
/// After an error.
const RETRY: Duration = Duration::from_secs(5);

/// Who serves the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
}

/// How an APIService stands to us.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// There is none: nobody serves this version.
    Absent,
    /// It leads to somebody else, whom it names. Not ours to touch.
    Foreign(String),
    /// It leads to us and has our CAs.
    Complete,
    /// It leads to us and lacks our CAs: this merge patch gives them.
    Incomplete(serde_json::Value),
}

/// How this APIService stands to `ours`, whose CAs are `bundle`.
pub fn standing(found: Option<&APIService>, ours: &Provider, bundle: &str) -> Standing {
    let Some(found) = found else { return Standing::Absent };
    let spec = found.spec.as_ref();
    let Some(service) = spec.and_then(|s| s.service.as_ref()) else {
        return Standing::Foreign("the API server itself".into());
    };
    let (namespace, name) = (service.namespace.as_deref(), service.name.as_deref());
    if (namespace, name) != (Some(&ours.namespace), Some(&ours.service)) {
        let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
        return Standing::Foreign(format!("Service {namespace}/{name}"));
    }
    let has = spec.and_then(|s| s.ca_bundle.as_ref());
    if has.is_some_and(|b| b.0 == bundle.as_bytes()) {
        return Standing::Complete;
    }
    // With the version that was looked at: if somebody takes the APIService over meanwhile, it is theirs.
    Standing::Incomplete(json!({
        "metadata": { "resourceVersion": found.metadata.resource_version },
        "spec": { "caBundle": ByteString(bundle.as_bytes().to_vec()) },
    }))
}

/// Keeps the bundles complete for ever.
pub async fn run(client: Client, ours: Provider, bundle: watch::Receiver<String>) {
    let versions = VERSIONS.map(|version| keep(client.clone(), &ours, bundle.clone(), version));
    futures::future::join_all(versions).await;
}

async fn keep(client: Client, ours: &Provider, mut bundle: watch::Receiver<String>, version: &str) {
    let api = Api::<APIService>::all(client);
    let name = format!("{version}.{GROUP}");
    let mut events = pin!(changes(&api, &name));
    let mut said = None;
    loop {
        let trusted = bundle.borrow_and_update().clone();
        // Before there is a certificate there is nothing to say.
        let wait = if trusted.is_empty() {
            RESYNC
        } else {
            match round(&api, &name, ours, &trusted).await {
                Ok(standing) => {
                    if said.as_ref() != Some(&standing) {
                        say(&name, &standing);
                        said = Some(standing);
                    }
                    RESYNC
                }
                // Changed meanwhile: look again.
                Err(kube::Error::Api(status)) if status.code == 409 => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(api_service = name, %error, "cannot keep the APIService's CA bundle; trying again");
                    RETRY
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = events.next() => {}
            changed = bundle.changed() => if changed.is_err() { return },
        }
    }
}

fn changes(api: &Api<APIService>, name: &str) -> impl Stream<Item = ()> + Send + 'static {
    watcher::watch_object(api.clone(), name).default_backoff().map(|_| ())
}

async fn round(
    api: &Api<APIService>,
    name: &str,
    ours: &Provider,
    bundle: &str,
) -> Result<Standing, kube::Error> {
    let found = api.get_opt(name).await?;
    let standing = standing(found.as_ref(), ours, bundle);
    if let Standing::Incomplete(patch) = &standing {
        let params = PatchParams { field_manager: Some(OPERATOR.into()), ..PatchParams::default() };
        api.patch(name, &params, &Patch::Merge(patch)).await?;
        tracing::info!(api_service = name, "the APIService has the CAs of our certificate");
        return Ok(Standing::Complete);
    }
    Ok(standing)
}

fn say(name: &str, standing: &Standing) {
    match standing {
        Standing::Absent => tracing::warn!(
            api_service = name,
            "there is no such APIService: HorizontalPodAutoscalers do not get open_sockets from here. \
             Install the chart with customMetrics.enabled=true, or serve the metric with prometheus-adapter or KEDA"
        ),
        Standing::Foreign(provider) => tracing::warn!(
            api_service = name,
            provider,
            "the APIService belongs to another provider and is left alone: HorizontalPodAutoscalers ask that \
             provider for open_sockets. Give it the rules in config/autoscaling/prometheus-adapter.yaml, or remove it and install \
             the chart with customMetrics.enabled=true"
        ),
        Standing::Complete | Standing::Incomplete(_) => {
            tracing::debug!(api_service = name, "the APIService leads here");
        }
    }
}

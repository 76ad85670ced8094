//! Keeps the Secret's certificate valid, the resolver's current, and says which CAs clients must trust.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _};
use rustls::crypto::ring::default_provider;
use tokio::sync::watch;

use super::issue::issue;
use super::rotation::{Step, prepared, promoted, replaced, step};
use super::{Error, Resolver, Stock};
use crate::fleet::names::OPERATOR;

/// The Secret and what the certificate is for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Name of the Service that the certificate is for; the Secret goes with it.
    pub service: String,
    /// DNS names of the Service.
    pub names: Vec<String>,
    /// Life of a certificate.
    pub validity: SignedDuration,
}

/// Everything is looked at again after this long, whatever was announced.
const RESYNC: Duration = Duration::from_secs(600);
/// After an error.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Certificate(#[from] Error),
    #[error("Secret {namespace}/{name}: {source}")]
    Api { namespace: String, name: String, source: kube::Error },
}

/// Keeps at it for ever. `bundle` gets the CAs that clients must trust.
pub async fn run(client: Client, request: Request, resolver: Resolver, bundle: watch::Sender<String>) {
    let api = Api::<Secret>::namespaced(client.clone(), &request.namespace);
    let mut events = pin!(changes(&api, &request.secret));
    loop {
        let wait = match round(&client, &api, &request, &resolver).await {
            Ok((trusted, until)) => {
                bundle.send_if_modified(|known| {
                    let differs = *known != trusted;
                    *known = trusted;
                    differs
                });
                let left = until.duration_since(Timestamp::now());
                Duration::try_from(left).unwrap_or(Duration::ZERO).clamp(Duration::from_millis(100), RESYNC)
            }
            Err(trouble) => {
                tracing::warn!(error = %trouble, "the serving certificate of custom.metrics.k8s.io is not kept; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = events.next() => {}
        }
    }
}

/// Announces changes of the Secret; errors are the watcher's to retry.
fn changes(api: &Api<Secret>, name: &str) -> impl Stream<Item = ()> + Send + 'static {
    watcher::watch_object(api.clone(), name).default_backoff().map(|_| ())
}

/// Does what is due until nothing is. Returns the bundle, and when something is due again.
async fn round(
    client: &Client,
    api: &Api<Secret>,
    request: &Request,
    resolver: &Resolver,
) -> Result<(String, Timestamp), Trouble> {
    let failed =
        |source| Trouble::Api { namespace: request.namespace.clone(), name: request.secret.clone(), source };
    loop {
        let found = api.get_opt(&request.secret).await.map_err(failed)?;
        let now = Timestamp::now();
        let stock = read_or_replace(found.as_ref());
        if let Some(current) = &stock.current {
            resolver.set(current, &default_provider())?;
        }
        let make = || issue(&request.names, now, request.validity);
        let next = match step(&stock, &request.names, now) {
            Step::Wait { until } => return Ok((stock.bundle(), until)),
            Step::Replace(why) => {
                tracing::info!(why, "making a serving certificate for custom.metrics.k8s.io");
                replaced(&stock, &make()?, now)?
            }
            Step::Prepare => {
                tracing::info!("making the next serving certificate for custom.metrics.k8s.io");
                prepared(&stock, &make()?, now)?
            }
            Step::Promote => {
                tracing::info!("serving the next certificate for custom.metrics.k8s.io");
                promoted(&stock)
            }
        };
        match write(client, api, request, found, next.data()).await {
            // Read back, and serve what is there.
            Ok(()) => {}
            // Another replica was first: its certificate is as good as ours.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(failed(source)),
        }
    }
}

/// A Secret that cannot be read is made anew rather than complained about for ever.
fn read_or_replace(secret: Option<&Secret>) -> Stock {
    let Some(data) = secret.and_then(|s| s.data.as_ref()) else { return Stock::default() };
    Stock::read(data).unwrap_or_else(|error| {
        tracing::warn!(%error, "the Secret of the serving certificate is damaged: making a new certificate");
        Stock::default()
    })
}

async fn write(
    client: &Client,
    api: &Api<Secret>,
    request: &Request,
    found: Option<Secret>,
    data: BTreeMap<String, ByteString>,
) -> Result<(), kube::Error> {
    let params = PostParams { field_manager: Some(OPERATOR.into()), ..PostParams::default() };
    match found {
        // With the resourceVersion that was read: refused when somebody else was faster.
        Some(mut secret) => {
            secret.data = Some(data);
            api.replace(&request.secret, &params, &secret).await?;
        }
        None => {
            let labels = [("app.kubernetes.io/managed-by".to_owned(), OPERATOR.to_owned())];
            let services = Api::<Service>::namespaced(client.clone(), &request.namespace);
            // Without a Service, as on a laptop, the Secret stays until somebody removes it.
            let owner = services.get_opt(&request.service).await?.and_then(|s| s.owner_ref(&()));
            let metadata = ObjectMeta {
                name: Some(request.secret.clone()),
                labels: Some(labels.into()),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            };
            api.create(&params, &Secret { metadata, data: Some(data), ..Secret::default() }).await?;
        }
    }
    Ok(())
}

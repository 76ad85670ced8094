//! `run`: watches, leads where it may, and ends cleanly.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::{self, Cache};
use crate::context::Context;
use crate::controller;
use crate::drain::Executor;
use crate::fleet::names::OPERATOR;
use crate::leader::Elector;
use crate::metrics_api;
use crate::open_sockets::{HttpFetch, OpenSockets, prometheus, scraper};
use crate::settings::Settings;
use crate::telemetry::logs::Level;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::server::Endpoint;
use crate::triggers::Triggers;

/// Time that fleets which are being looked at have to be finished at the end.
const FINISH: Duration = Duration::from_secs(10);

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no cluster.
    #[error("no cluster: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount token")]
    Client(#[source] kube::Error),
    /// The address of the metrics is not to be had.
    #[error("cannot listen on {address} (--metrics-bind-address): {source}")]
    Listen {
        /// Which address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address of custom.metrics.k8s.io is not to be had.
    #[error(transparent)]
    MetricsApi(#[from] metrics_api::server::Error),
}

/// The cluster, or one namespace of it, and who looks after its fleets.
struct Scope {
    ctx: Arc<Context>,
    triggers: Triggers,
}

/// Runs the operator until `stop`.
///
/// # Errors
/// It cannot start.
pub async fn run(settings: Settings, level: Level, stop: CancellationToken) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(Error::Client)?;
    let address = settings.metrics_bind_address;
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let metrics_api = settings.metrics_api.bind().await?;
    let (metrics, counts) = (Metrics::default(), OpenSockets::new());
    metrics.register(|registry| registry.register_collector(Box::new(counts.clone()))).await;
    // Aborts what is left of them at the end.
    let mut tasks = JoinSet::new();

    let scopes = watch_scopes(&client, &settings, &counts, &metrics, &mut tasks);
    let (ready, is_ready) = watch::channel(false);
    tasks.spawn(Endpoint { metrics: metrics.clone(), ready: is_ready, level }.run(listener));
    tasks.spawn(scraper::run(counts.clone(), HttpFetch::default()));
    for scope in &scopes {
        let fleets = scope.ctx.cache.fleets.clone();
        tasks.spawn(prometheus::run(counts.clone(), fleets, client.clone()));
    }
    if let Some(listener) = metrics_api {
        let fleets = scopes.iter().map(|scope| scope.ctx.cache.fleets.clone()).collect();
        let (options, namespace) =
            (settings.metrics_api.clone(), settings.platform.operator_namespace.clone());
        // Leader or not: each replica may be asked.
        tasks.spawn(metrics_api::run(listener, options, namespace, client.clone(), counts.clone(), fleets));
    }
    tasks.spawn(pass_on_counts(counts, scopes.iter().map(|s| (s.ctx.clone(), s.triggers.clone())).collect()));

    for scope in &scopes {
        if stop.run_until_cancelled(scope.ctx.cache.ready()).await.is_none() {
            return Ok(());
        }
    }
    ready.send_replace(true);
    tracing::info!("caches filled");

    let (leads, leading) = watch::channel(false);
    let idle = CancellationToken::new();
    let elector =
        Elector::new(client, &settings.platform.operator_namespace, &settings.lease_name, &settings.identity);
    let election = tokio::spawn(elector.run(leads, stop.clone(), idle.clone()));
    lead(&scopes, &metrics, settings.concurrency, leading, &stop).await;
    idle.cancel();
    if let Err(error) = election.await {
        tracing::error!(%error, "leader election");
    }
    Ok(())
}

fn watch_scopes(
    client: &Client,
    settings: &Settings,
    counts: &OpenSockets,
    metrics: &Metrics,
    tasks: &mut JoinSet<()>,
) -> Vec<Scope> {
    let nodes = Writer::<Node>::default();
    let reporter = Reporter { controller: OPERATOR.into(), instance: Some(settings.identity.clone()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let drains = Arc::new(Executor::new(client.clone()));
    let namespaces: Vec<Option<&str>> = match settings.namespaces.as_slice() {
        [] => vec![None],
        named => named.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    let scope = |namespace| {
        let triggers = Triggers::default();
        let cache = Cache::start(client, namespace, nodes.as_reader(), counts, &triggers, tasks);
        let ctx = Context {
            client: client.clone(),
            cache,
            counts: counts.clone(),
            platform: settings.platform.clone(),
            metrics: metrics.clone(),
            recorder: recorder.clone(),
            drains: drains.clone(),
            memory: Default::default(),
        };
        Scope { ctx: Arc::new(ctx), triggers }
    };
    let scopes: Vec<_> = namespaces.into_iter().map(scope).collect();
    let told = scopes.iter().map(|scope| (scope.ctx.cache.pods().clone(), scope.triggers.clone())).collect();
    cache::watch_nodes(client, told, nodes, tasks);
    scopes
}

/// Changes of open sockets are changes of the fleets.
async fn pass_on_counts(counts: OpenSockets, scopes: Vec<(Arc<Context>, Triggers)>) {
    let mut changes = std::pin::pin!(counts.changes());
    while let Some(fleet) = changes.next().await {
        for (ctx, triggers) in &scopes {
            if ctx.cache.fleets.get(&fleet).is_some() {
                triggers.fleet(fleet.clone());
            }
        }
    }
}

/// Looks after the fleets while this operator leads, until it is told to stop. Leadership that is lost ends everything at
/// once: looks that are under way are dropped between two requests.
async fn lead(
    scopes: &[Scope],
    metrics: &Metrics,
    concurrency: u16,
    mut leading: watch::Receiver<bool>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        if !matches!(stop.run_until_cancelled(leading.wait_for(|leads| *leads)).await, Some(Ok(_))) {
            break;
        }
        metrics.leads(true);
        let runs = scopes.iter().map(|s| controller::run(s.ctx.clone(), s.triggers.clone(), concurrency));
        let mut all = std::pin::pin!(futures::future::join_all(runs));
        tokio::select! {
            _ = &mut all => {}
            _ = leading.wait_for(|leads| !*leads) => tracing::warn!("no longer the leader: stopped"),
            () = stop.cancelled() => {
                disconnect(scopes);
                if tokio::time::timeout(FINISH, &mut all).await.is_err() {
                    tracing::warn!("fleets were still being looked at");
                }
            }
        }
        disconnect(scopes);
        metrics.leads(false);
    }
}

fn disconnect(scopes: &[Scope]) {
    scopes.iter().for_each(|scope| scope.triggers.disconnect());
}

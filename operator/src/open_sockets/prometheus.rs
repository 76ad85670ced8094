//! Open sockets as Prometheus counts them, for fleets that name a server in `spec.autoscaling.prometheus`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client};
use prometheus_http_query::response::PromqlResult;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::metrics;
use socketfleet_api::fleet::PrometheusSource;
use tokio::time::Instant;

use super::{FleetRef, OpenSockets};

/// Between two queries for a fleet: the autoscaler looks every 15 s, Prometheus scrapes about as often.
const INTERVAL: Duration = Duration::from_secs(10);
/// Age from which an answer is stale.
const STALE_AFTER: Duration = Duration::from_secs(45);
/// For a query, from beginning to end.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Queries under way at the same time.
const CONCURRENCY: usize = 16;
/// One sample is some hundred bytes.
const ANSWER_MAX: usize = 256 << 10;

/// Label that `podTargetLabels: [socketfleet.io/fleet]` of a PodMonitor gives to the pods' metrics, as does
/// the customary `labelmap` over pod labels.
const FLEET_LABEL: &str = "socketfleet_io_fleet";

/// Why Prometheus' count is not known.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The Secret could not be read, or has no such key.
    #[error("bearerTokenSecretRef {name}/{key}: {cause}")]
    Token {
        /// The Secret.
        name: String,
        /// Its key.
        key: String,
        /// What is wrong.
        cause: String,
    },
    /// No answer.
    #[error("{url}: {cause}")]
    Request {
        /// Where.
        url: String,
        /// Why.
        cause: String,
    },
    /// Prometheus refused the query.
    #[error("the query was refused: {0}")]
    Refused(String),
    /// Not one sample.
    #[error(
        "the query gave {0}: it must give one number; look at spec.autoscaling.prometheus.query and at what Prometheus scrapes"
    )]
    NotOneSample(String),
}

/// What Prometheus said for a fleet.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    open: Result<u64, String>,
    at: Instant,
}

impl Sample {
    pub(super) fn reading(&self, now: Instant) -> Result<u64, String> {
        let age = now.saturating_duration_since(self.at);
        match &self.open {
            Ok(_) if age > STALE_AFTER => Err(format!("no answer for {} s", age.as_secs())),
            other => other.clone(),
        }
    }
}

/// The query of a fleet that names none: the sum over its pods, draining ones included.
pub fn default_query(namespace: &str, fleet: &str) -> String {
    // Names of namespaces and fleets are DNS labels: nothing in them needs quoting.
    format!(r#"sum({}{{namespace="{namespace}",{FLEET_LABEL}="{fleet}"}})"#, metrics::OPEN_SOCKETS)
}

/// Asks for ever, for every fleet in `fleets` that uses Prometheus.
pub async fn run(counts: OpenSockets, fleets: Store<SocketFleet>, client: Client) {
    let http = match http_client() {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "Prometheus cannot be asked: fleets that use it do not shrink");
            return;
        }
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asked: HashMap<FleetRef, ()> = HashMap::new();
    loop {
        ticks.tick().await;
        let sources: Vec<(FleetRef, Arc<SocketFleet>)> = fleets
            .state()
            .into_iter()
            .filter(|fleet| source(fleet).is_some())
            .map(|fleet| (ObjectRef::from_obj(fleet.as_ref()), fleet))
            .collect();
        let now: HashMap<FleetRef, ()> = sources.iter().map(|(fleet, _)| (fleet.clone(), ())).collect();
        for gone in asked.keys().filter(|fleet| !now.contains_key(fleet)) {
            counts.record_prometheus(gone, None);
        }
        asked = now;
        futures::stream::iter(sources)
            .for_each_concurrent(CONCURRENCY, |(name, fleet)| {
                let (counts, client, http) = (&counts, &client, &http);
                async move {
                    let Some(source) = source(&fleet) else { return };
                    let open = ask(http, client, &name, source).await.map_err(|p| p.to_string());
                    counts.record_prometheus(&name, Some(Sample { open, at: Instant::now() }));
                }
            })
            .await;
    }
}

fn source(fleet: &SocketFleet) -> Option<&PrometheusSource> {
    fleet.spec.autoscaling.as_ref()?.prometheus.as_ref()
}

async fn ask(
    http: &reqwest::Client,
    client: &Client,
    fleet: &FleetRef,
    source: &PrometheusSource,
) -> Result<u64, Problem> {
    let PrometheusSource { url, query: wanted, bearer_token_secret_ref } = source;
    let namespace = fleet.namespace.as_deref().unwrap_or_default();
    let token = match bearer_token_secret_ref {
        Some(key) => Some(token(client, namespace, &key.name, &key.key).await?),
        None => None,
    };
    let promql = wanted.clone().unwrap_or_else(|| default_query(namespace, &fleet.name));
    query(http, url, &promql, token).await
}

async fn token(client: &Client, namespace: &str, name: &str, key: &str) -> Result<HeaderValue, Problem> {
    let wrong = |cause: String| Problem::Token { name: name.into(), key: key.into(), cause };
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let secret = secrets.get_opt(name).await.map_err(|e| wrong(e.to_string()))?;
    let secret = secret.ok_or_else(|| wrong("there is no such Secret in the fleet's namespace".into()))?;
    let data = secret.data.unwrap_or_default();
    let token = data.get(key).ok_or_else(|| wrong("the Secret has no such key".into()))?;
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token.0.trim_ascii()].concat())
        .map_err(|_| wrong("is not a token: it holds line breaks or control characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One instant query.
async fn query(
    http: &reqwest::Client,
    url: &str,
    promql: &str,
    token: Option<HeaderValue>,
) -> Result<u64, Problem> {
    let request = |cause: String| Problem::Request { url: url.to_owned(), cause };
    let client =
        prometheus_http_query::Client::from(http.clone(), url).map_err(|e| request(e.to_string()))?;
    let mut query = client.query(promql);
    if let Some(token) = token {
        query = query.header(AUTHORIZATION, token);
    }
    // Not `get()`: it would take in an answer of any length.
    let mut response = query.get_raw().await.map_err(|e| request(innermost(&e)))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| request(innermost(&e)))? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(Problem::NotOneSample(format!("more than {} KiB", ANSWER_MAX >> 10)));
        }
        body.extend_from_slice(&chunk);
    }
    match serde_json::from_slice(&body) {
        Ok(Answer::Success { data }) => one_sample(&data),
        Ok(Answer::Error { error }) => Err(Problem::Refused(error)),
        Err(_) => Err(request(format!("answered {status}, which is not Prometheus' JSON"))),
    }
}

/// Body of `/api/v1/query`.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success { data: PromqlResult },
    Error { error: String },
}

fn one_sample(result: &PromqlResult) -> Result<u64, Problem> {
    let value = match (result.data().as_vector().map(Vec::as_slice), result.data().as_scalar()) {
        (Some([one]), _) => one.sample().value(),
        (_, Some(one)) => one.value(),
        (Some([]), _) => return Err(Problem::NotOneSample("no sample".into())),
        (Some(several), _) => return Err(Problem::NotOneSample(format!("{} samples", several.len()))),
        (None, None) => return Err(Problem::NotOneSample("a range".into())),
    };
    // Counts are far below 2^53; rounding up makes a fleet larger and never smaller.
    if value.is_finite() && value >= 0.0 {
        Ok(value.ceil() as u64)
    } else {
        Err(Problem::NotOneSample(value.to_string()))
    }
}

/// Trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set) and, since an
/// image may have none, Mozilla's. Follows no redirects: a token goes to the server that the fleet names.
fn http_client() -> Result<reqwest::Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()?)
}

/// The innermost error says what happened; those around it repeat the URL.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

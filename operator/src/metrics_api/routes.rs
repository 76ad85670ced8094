//! What is answered where.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use socketfleet_api::SocketFleet;
use tokio::sync::watch;

use super::authenticate::{Claim, PeerCertificates, Tokens, claim};
use super::authorize::{Access, Attributes, is_free};
use super::front_proxy::FrontProxy;
use super::registration::VERSIONS;
use super::status::Refusal;
use super::values::{FleetValue, Version, metric_value_list};
use super::{METRIC, RESOURCE, discovery, openapi};
use crate::certificates::Resolver;
use crate::open_sockets::served::{Served, Size};
use crate::open_sockets::{FleetRef, OpenSockets};

/// All that a request needs.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

struct Parts {
    client: Client,
    counts: OpenSockets,
    fleets: Vec<Store<SocketFleet>>,
    served: Mutex<Served>,
    front_proxy: watch::Receiver<Option<Arc<FrontProxy>>>,
    certificate: Resolver,
    tokens: Tokens,
    access: Access,
}

impl Api {
    /// Serves these counts of these fleets.
    pub fn new(
        client: Client,
        counts: OpenSockets,
        fleets: Vec<Store<SocketFleet>>,
        front_proxy: watch::Receiver<Option<Arc<FrontProxy>>>,
        certificate: Resolver,
    ) -> Self {
        let (tokens, access) = (Tokens::new(client.clone()), Access::new(client.clone()));
        let served = Mutex::default();
        Self(Arc::new(Parts { client, counts, fleets, served, front_proxy, certificate, tokens, access }))
    }

    /// The number of one fleet; `None` for a fleet that does not exist.
    fn value(&self, namespace: &str, name: &str) -> Option<FleetValue> {
        let Parts { counts, fleets, served, .. } = &*self.0;
        let find = |key: &FleetRef| fleets.iter().find_map(|store| store.get(key));
        let key = FleetRef::new(name).within(namespace);
        let fleet = find(&key)?;
        let totals = counts.fleet(&key).totals();
        let mut served = served.lock();
        served.retain(|known| find(known).is_some());
        let open_sockets = served.next(key, &totals, Size::of(&fleet));
        Some(FleetValue { namespace: namespace.into(), name: name.into(), open_sockets })
    }
}

/// The routes, behind authentication and authorization.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/apis", get(groups))
        .route("/apis/custom.metrics.k8s.io", get(|| async { Json(discovery::group()) }))
        .route("/apis/custom.metrics.k8s.io/{version}", get(resources))
        .route(
            "/apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}/{resource}/{name}/{metric}",
            get(metric),
        )
        .route("/openapi/v2", get(|| async { Json(openapi::v2()) }))
        .route("/openapi/v3", get(|| async { Json(openapi::v3_index()) }))
        .route("/openapi/v3/apis/custom.metrics.k8s.io/{version}", get(openapi_v3))
        .fallback(|| async { Refusal::NotFound("the server could not find the requested resource".into()) })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed })
        .layer(from_fn_with_state(api.clone(), guard))
        .with_state(api)
}

/// Lets through who may ask what they ask.
async fn guard(
    State(api): State<Api>,
    Extension(peer): Extension<PeerCertificates>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let path = request.uri().path();
    if !is_free(path) {
        if request.method() != Method::GET {
            return Err(Refusal::MethodNotAllowed);
        }
        let front_proxy = api.0.front_proxy.borrow().clone();
        let user = match claim(request.headers(), &peer, front_proxy.as_deref())? {
            Claim::Vouched(user) => user,
            Claim::Token(token) => api.0.tokens.user(token).await?,
        };
        api.0.access.check(user, Attributes::of(path)).await?;
    }
    Ok(next.run(request).await)
}

async fn ready(State(api): State<Api>) -> Result<&'static str, Refusal> {
    match (api.0.certificate.is_set(), api.0.front_proxy.borrow().is_some()) {
        (true, true) => Ok("ok"),
        (false, _) => Err(Refusal::Unavailable("there is no serving certificate yet".into())),
        (_, false) => Err(Refusal::Unavailable("the front proxy is not known yet".into())),
    }
}

async fn groups(headers: HeaderMap) -> Response {
    match discovery::aggregated_wanted(&headers) {
        Some(version) => {
            let content_type = discovery::aggregated_content_type(version);
            ([(CONTENT_TYPE, content_type)], discovery::aggregated(version).to_string()).into_response()
        }
        None => Json(discovery::group_list()).into_response(),
    }
}

async fn resources(Path(version): Path<String>) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    Ok(Json(discovery::resource_list(&version)))
}

async fn openapi_v3(Path(version): Path<String>) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    Ok(Json(openapi::v3(&version)))
}

fn known_version(text: &str) -> Result<Version, Refusal> {
    Version::parse(text).ok_or_else(|| {
        Refusal::NotFound(format!("version {text} is not served: use {}", VERSIONS.join(" or ")))
    })
}

#[derive(Deserialize)]
struct Place {
    version: String,
    namespace: String,
    resource: String,
    name: String,
    metric: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selectors {
    label_selector: Option<String>,
    metric_label_selector: Option<String>,
}

/// One fleet's metric, or those of all fleets that a selector selects.
async fn metric(
    State(api): State<Api>,
    Path(place): Path<Place>,
    Query(selectors): Query<Selectors>,
) -> Result<Json<Value>, Refusal> {
    let Place { version, namespace, resource, name, metric } = place;
    let version = known_version(&version)?;
    let plural = RESOURCE.split('.').next();
    if (resource != RESOURCE && Some(resource.as_str()) != plural) || metric != METRIC {
        return Err(Refusal::NotFound(format!(
            "the server could not find the metric {metric} for {resource} {name}: this provider has {METRIC} for {RESOURCE}"
        )));
    }
    let Selectors { label_selector, metric_label_selector } = selectors;
    if metric_label_selector.is_some_and(|selector| !selector.is_empty()) {
        return Err(Refusal::BadRequest(format!("{METRIC} has no labels: remove metric.selector")));
    }
    let values = if name == "*" {
        let names = select(&api, &namespace, label_selector.as_deref()).await?;
        names.iter().filter_map(|name| api.value(&namespace, name)).collect()
    } else {
        let value = api.value(&namespace, &name);
        vec![value.ok_or_else(|| Refusal::NotFound(format!("SocketFleet {namespace}/{name} not found")))?]
    };
    Ok(Json(metric_value_list(version, &values, Timestamp::now())))
}

/// Names of the fleets that a label selector selects. The API server knows its own syntax best.
async fn select(api: &Api, namespace: &str, selector: Option<&str>) -> Result<Vec<String>, Refusal> {
    let params = match selector {
        Some(selector) => ListParams::default().labels(selector),
        None => ListParams::default(),
    };
    let fleets = kube::Api::<SocketFleet>::namespaced(api.0.client.clone(), namespace);
    let list = fleets.list_metadata(&params).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 400 => Refusal::BadRequest(status.message),
        other => Refusal::Unavailable(format!("cannot list fleets: {other}")),
    })?;
    Ok(list.items.iter().map(|fleet| fleet.name_any()).collect())
}

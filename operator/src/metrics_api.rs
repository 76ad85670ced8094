//! `custom.metrics.k8s.io`: the metric [`METRIC`] of each fleet, for the HorizontalPodAutoscaler.
//!
//! The API server forwards the group to us when two APIServices name our Service; the chart makes these
//! where no other provider (prometheus-adapter, say) has them. Every replica serves, leader or not.
//!
//! * [`server`]: TLS, connections;
//! * [`routes`]: what is answered where, in v1beta1 and v1beta2;
//! * [`discovery`], [`openapi`]: what the API server asks about the API itself;
//! * [`authenticate`]: who asks: the API server's front proxy, or a token;
//! * [`authorize`]: whether they may, asked of the API server;
//! * [`registration`]: the APIServices' CA bundle, in ours only.

pub mod authenticate;
pub mod authorize;
pub mod discovery;
pub mod front_proxy;
pub mod openapi;
pub mod registration;
pub mod routes;
pub mod server;
pub mod status;
pub mod values;

use std::net::SocketAddr;

use jiff::SignedDuration;
use kube::Client;
use kube::runtime::reflector::Store;
use socketfleet_api::SocketFleet;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::certificates::{Resolver, keeper};
use crate::open_sockets::OpenSockets;

pub use crate::fleet::plan::OPEN_SOCKETS_METRIC as METRIC;

/// API group.
pub const GROUP: &str = "custom.metrics.k8s.io";
/// Fleets as the group names them: plural and group.
pub const RESOURCE: &str = "socketfleets.socketfleet.io";

/// How the metrics API is served.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address that custom.metrics.k8s.io is served on; it is not served when absent
    #[arg(long, env = "METRICS_API_BIND_ADDRESS")]
    pub metrics_api_bind_address: Option<SocketAddr>,

    /// Service in the operator's namespace that the APIServices lead to
    #[arg(long, env = "METRICS_API_SERVICE", default_value = "socketfleet-operator")]
    pub metrics_api_service: String,

    /// Secret in the operator's namespace that holds the serving certificate; the operator makes and rotates it
    #[arg(long, env = "METRICS_API_SECRET", default_value = "socketfleet-operator-serving")]
    pub metrics_api_secret: String,

    /// Life of a serving certificate, as in 2160h or 90m; it is replaced after two thirds of it
    #[arg(long, env = "METRICS_API_CERTIFICATE_VALIDITY", default_value = "2160h", value_parser = validity)]
    pub metrics_api_certificate_validity: SignedDuration,
}

fn validity(text: &str) -> Result<SignedDuration, String> {
    const MIN: SignedDuration = SignedDuration::from_mins(1);
    const MAX: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
    match text.parse::<SignedDuration>() {
        Ok(validity) if (MIN..=MAX).contains(&validity) => Ok(validity),
        Ok(_) => Err("give between one minute and ten years".into()),
        Err(error) => Err(format!("give hours and minutes, as in 2160h or 90m: {error}")),
    }
}

impl Options {
    /// Takes the address; `None` where the API is not to be served.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(&self) -> Result<Option<TcpListener>, server::Error> {
        match self.metrics_api_bind_address {
            Some(address) => server::bind(address).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Serves for ever the fleets in these stores, one for each watch.
pub async fn run(
    listener: TcpListener,
    options: Options,
    namespace: String,
    client: Client,
    counts: OpenSockets,
    fleets: Vec<Store<SocketFleet>>,
) {
    let Options {
        metrics_api_bind_address: _, metrics_api_service: service, metrics_api_secret: secret, ..
    } = options;
    let resolver = Resolver::default();
    let (bundle, known_bundle) = watch::channel(String::new());
    let (front_proxy, known_front_proxy) = watch::channel(None);
    let request = keeper::Request {
        names: vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")],
        namespace: namespace.clone(),
        secret,
        service: service.clone(),
        validity: options.metrics_api_certificate_validity,
    };
    let api = routes::Api::new(client.clone(), counts, fleets, known_front_proxy, resolver.clone());
    let served = tokio::select! {
        () = keeper::run(client.clone(), request, resolver.clone(), bundle) => Ok(()),
        () = registration::run(client.clone(), registration::Provider { namespace, service }, known_bundle) => Ok(()),
        () = front_proxy::follow(client, front_proxy) => Ok(()),
        served = server::serve(listener, resolver, routes::router(api)) => served,
    };
    if let Err(error) = served {
        tracing::error!(%error, "custom.metrics.k8s.io is not served");
    }
}

#[cfg(test)]
mod tests;

//! Whom the API server lets speak for others: its front proxy's CA, and the headers that carry the user.
//!
//! Kubernetes publishes them in the ConfigMap `kube-system/extension-apiserver-authentication`.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// The front proxy's identity and its headers.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Common names that a client certificate may have; any when empty.
    allowed_names: Vec<String>,
    /// Headers with the user's name, the first that is there counts; lower case, as the others.
    pub username_headers: Vec<String>,
    /// Headers with the user's UID.
    pub uid_headers: Vec<String>,
    /// Headers with a group each.
    pub group_headers: Vec<String>,
    /// Beginnings of the headers with further facts.
    pub extra_prefixes: Vec<String>,
}

/// Why the ConfigMap is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server has no front proxy.
    #[error(
        "it has no requestheader-client-ca-file: start the API server with --requestheader-client-ca-file"
    )]
    NoCa,
    /// The CA cannot be read.
    #[error("requestheader-client-ca-file: {0}")]
    Ca(String),
    /// A list cannot be read.
    #[error("{key} is not a JSON list of texts: {source}")]
    List {
        /// The key.
        key: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl FrontProxy {
    /// Reads the ConfigMap's data.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, Error> {
        let ca = data.get("requestheader-client-ca-file").filter(|ca| !ca.is_empty()).ok_or(Error::NoCa)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let certificate = certificate.map_err(|e| Error::Ca(e.to_string()))?;
            roots.add(certificate).map_err(|e| Error::Ca(e.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), default_provider().into())
            .build()
            .map_err(|e| Error::Ca(e.to_string()))?;
        Ok(Self {
            verifier,
            allowed_names: list(data, "requestheader-allowed-names")?,
            username_headers: lower_case(list(data, "requestheader-username-headers")?),
            uid_headers: lower_case(list(data, "requestheader-uid-headers")?),
            group_headers: lower_case(list(data, "requestheader-group-headers")?),
            extra_prefixes: lower_case(list(data, "requestheader-extra-headers-prefix")?),
        })
    }

    /// Whether a client with this certificate chain is the front proxy. Its key has been proven in the TLS
    /// handshake.
    pub fn is(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((certificate, intermediates)) = chain.split_first() else { return false };
        self.verifier.verify_client_cert(certificate, intermediates, UnixTime::now()).is_ok()
            && (self.allowed_names.is_empty()
                || common_name(certificate).is_some_and(|name| self.allowed_names.contains(&name)))
    }
}

fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

fn list(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, Error> {
    match data.get(key) {
        Some(text) => serde_json::from_str(text).map_err(|source| Error::List { key, source }),
        None => Ok(Vec::new()),
    }
}

fn lower_case(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Keeps `known` as the ConfigMap says, for ever.
pub async fn follow(client: Client, known: watch::Sender<Option<Arc<FrontProxy>>>) {
    let api = Api::<ConfigMap>::namespaced(client, NAMESPACE);
    let mut events = pin!(watcher::watch_object(api, NAME).default_backoff());
    while let Some(event) = events.next().await {
        let found = match event {
            Ok(Some(map)) => FrontProxy::read(&map.data.unwrap_or_default()),
            Ok(None) => Err(Error::NoCa),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot read ConfigMap {NAMESPACE}/{NAME}: bind the Role extension-apiserver-authentication-reader \
                     to the operator's ServiceAccount; trying again"
                );
                continue;
            }
        };
        match found {
            Ok(front_proxy) => drop(known.send_replace(Some(Arc::new(front_proxy)))),
            Err(error) => {
                tracing::warn!(%error, "ConfigMap {NAMESPACE}/{NAME} does not say who the front proxy is");
                known.send_replace(None);
            }
        }
    }
}

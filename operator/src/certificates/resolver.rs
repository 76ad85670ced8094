//! Hands the current certificate to new TLS connections.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Error;
use super::stock::Kept;

/// The certificate of new connections; connections that are open keep theirs. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    current: Arc<RwLock<Option<Arc<CertifiedKey>>>>,
}

impl Resolver {
    /// Serves this certificate from now on.
    pub fn set(&self, kept: &Kept, provider: &CryptoProvider) -> Result<(), Error> {
        let wrong = |key, e: rustls::pki_types::pem::Error| Error::Content { key, cause: e.to_string() };
        let chain = CertificateDer::pem_slice_iter(kept.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong("certificate", e))?;
        let key = PrivateKeyDer::from_pem_slice(kept.key.as_bytes()).map_err(|e| wrong("key", e))?;
        let certified = CertifiedKey::from_der(chain, key, provider)?;
        *self.current.write() = Some(Arc::new(certified));
        Ok(())
    }

    /// There is a certificate to serve.
    pub fn is_set(&self) -> bool {
        self.current.read().is_some()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.read().clone()
    }
}

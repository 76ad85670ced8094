//! The serving certificate of `custom.metrics.k8s.io`: made, kept in a Secret, rotated, without a restart
//! and without cert-manager.
//!
//! One [`Pair`] is a certificate with a CA of its own. The CA signs this one certificate and its key is
//! thrown away, so nobody can make another that the API server trusts. Two thirds into its life the next
//! pair is made; its CA joins the bundle at once and the certificate takes over a while later, when
//! everybody has the new bundle. All replicas share the Secret: whoever comes first writes, by
//! `resourceVersion`, and the others follow.
//!
//! * [`issue`] makes a pair;
//! * [`rotation`] says what is due, given the time;
//! * [`stock`] is the Secret's content;
//! * [`keeper`] does it;
//! * [`resolver`] hands the current certificate to new TLS connections.

pub mod issue;
pub mod keeper;
pub mod resolver;
pub mod rotation;
pub mod stock;

pub use issue::Pair;
pub use resolver::Resolver;
pub use stock::Stock;

/// Why a certificate could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// A key of the Secret is not what it should be.
    #[error("{key}: {cause}")]
    Content {
        /// The key.
        key: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The private key does not fit.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

#[cfg(test)]
mod tests;

//! Makes a serving certificate with a CA of its own.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::Error;

/// Clocks of the cluster's machines may differ by this much.
pub(super) const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// A serving certificate, its key and the CA that vouches for it, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The CA's certificate.
    pub ca: String,
}

impl std::fmt::Debug for Pair {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { certificate, key: _, ca } = self;
        f.debug_struct("Pair").field("certificate", certificate).field("ca", ca).finish_non_exhaustive()
    }
}

/// Makes a pair for these DNS names that is valid from `now` for `validity`.
pub fn issue(names: &[String], now: Timestamp, validity: SignedDuration) -> Result<Pair, Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = params(Vec::new(), now, validity)?;
    // The name carries the time: two CAs in one bundle are told apart by it.
    ca.distinguished_name.push(DnType::CommonName, format!("socketfleet-ca@{}", now.as_second()));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_certificate = ca.self_signed(&ca_key)?;

    let key = KeyPair::generate()?;
    let mut leaf = params(names.to_vec(), now, validity)?;
    leaf.distinguished_name.push(DnType::CommonName, names.first().map_or("socketfleet", String::as_str));
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem(), ca: ca_certificate.pem() })
}

fn params(
    names: Vec<String>,
    now: Timestamp,
    validity: SignedDuration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = utc(now.saturating_sub(BACKDATED).unwrap_or(now));
    params.not_after = utc(now.saturating_add(validity).unwrap_or(now));
    Ok(params)
}

fn utc(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

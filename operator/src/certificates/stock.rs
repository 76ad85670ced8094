//! The Secret's content.
//!
//! `tls.crt`, `tls.key` and `ca.crt` as everywhere in Kubernetes, with all CAs that are trusted now in
//! `ca.crt`; `next.crt` and `next.key` while the next certificate waits for its CA to be known.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::issue::BACKDATED;
use super::{Error, Pair};

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca.crt";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";

/// Certificates and CAs as they are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stock {
    /// What is served.
    pub current: Option<Kept>,
    /// What is served next.
    pub next: Option<Kept>,
    /// CAs that clients trust, the newest first.
    pub trusted: Vec<Ca>,
}

/// A serving certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// From the certificate.
    pub facts: Facts,
}

/// A CA's certificate, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// The certificate.
    pub certificate: String,
    /// From the certificate.
    pub facts: Facts,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// DNS names that it is for.
    pub names: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
}

impl std::fmt::Debug for Kept {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { certificate: _, key: _, facts } = self;
        f.debug_struct("Kept").field("facts", facts).finish_non_exhaustive()
    }
}

impl Stock {
    /// Reads a Secret's data. A Secret without certificates is an empty stock.
    pub fn read(data: &BTreeMap<String, ByteString>) -> Result<Self, Error> {
        Ok(Self {
            current: kept(data, CERTIFICATE, KEY)?,
            next: kept(data, NEXT_CERTIFICATE, NEXT_KEY)?,
            trusted: match text(data, BUNDLE)? {
                Some(bundle) => bundle_of(bundle)?,
                None => Vec::new(),
            },
        })
    }

    /// The Secret's data.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let Self { current, next, trusted: _ } = self;
        let pair = |kept: &Option<Kept>, certificate: &'static str, key: &'static str| {
            kept.clone().map(|k| [(certificate, k.certificate), (key, k.key)]).into_iter().flatten()
        };
        pair(current, CERTIFICATE, KEY)
            .chain(pair(next, NEXT_CERTIFICATE, NEXT_KEY))
            .chain([(BUNDLE, self.bundle())])
            .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
            .collect()
    }

    /// All trusted CAs, for an APIService's `caBundle`.
    pub fn bundle(&self) -> String {
        self.trusted.iter().map(|ca| ca.certificate.as_str()).collect()
    }
}

impl Kept {
    /// What is kept of a pair.
    pub fn of(pair: &Pair) -> Result<Self, Error> {
        Ok(Self {
            facts: facts(&pair.certificate, CERTIFICATE)?,
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
        })
    }
}

impl Ca {
    /// The CA of a pair.
    pub fn of(pair: &Pair) -> Result<Self, Error> {
        Ok(Self { facts: facts(&pair.ca, BUNDLE)?, certificate: pair.ca.clone() })
    }
}

fn kept(
    data: &BTreeMap<String, ByteString>,
    certificate: &'static str,
    key: &'static str,
) -> Result<Option<Kept>, Error> {
    let (Some(pem), Some(secret)) = (text(data, certificate)?, text(data, key)?) else { return Ok(None) };
    Ok(Some(Kept { facts: facts(pem, certificate)?, certificate: pem.to_owned(), key: secret.to_owned() }))
}

fn text<'a>(data: &'a BTreeMap<String, ByteString>, key: &'static str) -> Result<Option<&'a str>, Error> {
    let Some(bytes) = data.get(key).filter(|b| !b.0.is_empty()) else { return Ok(None) };
    std::str::from_utf8(&bytes.0).map(Some).map_err(|_| Error::Content { key, cause: "is not text".into() })
}

fn bundle_of(bundle: &str) -> Result<Vec<Ca>, Error> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle
        .split_inclusive(END)
        .filter(|part| part.contains(END))
        .map(|part| {
            let certificate = format!("{}\n", part.trim());
            Ok(Ca { facts: facts(&certificate, BUNDLE)?, certificate })
        })
        .collect()
}

fn facts(pem: &str, key: &'static str) -> Result<Facts, Error> {
    let wrong = |cause: String| Error::Content { key, cause };
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| wrong(format!("is not a PEM certificate: {e}")))?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|e| wrong(format!("is not an X.509 certificate: {e}")))?;
    let instant = |seconds: i64| Timestamp::from_second(seconds).map_err(|e| wrong(e.to_string()));
    let valid = certificate.validity();
    let starts = instant(valid.not_before.timestamp())?;
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(dns_name).collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    Ok(Facts {
        issued: starts.saturating_add(BACKDATED).unwrap_or(starts),
        expires: instant(valid.not_after.timestamp())?,
        names,
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
    })
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::issue::issue;
use super::rotation::{Step, prepared, promoted, replaced, step};
use super::{Pair, Resolver, Stock};

const VALIDITY: SignedDuration = SignedDuration::from_hours(90 * 24);

fn names() -> Vec<String> {
    vec!["operator.system.svc".into(), "operator.system.svc.cluster.local".into()]
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn day(n: i64) -> Timestamp {
    start() + SignedDuration::from_hours(24 * n)
}

fn pair(at: Timestamp) -> Pair {
    issue(&names(), at, VALIDITY).unwrap()
}

/// Whether a client that trusts the stock's bundle accepts the certificate that the stock serves.
fn accepted(stock: &Stock, at: Timestamp) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(stock.bundle().as_bytes()) {
        roots.add(ca.unwrap()).unwrap();
    }
    let current = stock.current.as_ref().unwrap();
    let certificate = CertificateDer::from_pem_slice(current.certificate.as_bytes()).unwrap();
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), default_provider().into())
            .build()
            .unwrap();
    let name = ServerName::try_from("operator.system.svc").unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().unsigned_abs()));
    use rustls::client::danger::ServerCertVerifier as _;
    verifier.verify_server_cert(&certificate, &[], &name, &[], at).is_ok()
}

#[test]
fn an_empty_secret_gets_a_certificate_that_clients_of_its_bundle_accept() {
    let empty = Stock::read(&Default::default()).unwrap();
    assert!(matches!(step(&empty, &names(), start()), Step::Replace(_)));
    let stock = replaced(&empty, &pair(start()), start()).unwrap();
    assert!(accepted(&stock, start()));
    assert!(!accepted(&stock, day(91)));
    Resolver::default().set(stock.current.as_ref().unwrap(), &default_provider()).unwrap();
}

#[test]
fn a_year_of_rotations_never_serves_what_the_bundle_does_not_vouch_for() {
    let mut stock = replaced(&Stock::default(), &pair(start()), start()).unwrap();
    let mut now = start();
    let (mut prepared_at, mut bundle_before) = (Vec::new(), stock.bundle());
    while now < day(400) {
        match step(&stock, &names(), now) {
            Step::Wait { until } => {
                assert!(until > now, "waiting for the past would spin");
                now = until;
            }
            Step::Prepare => {
                prepared_at.push(now);
                bundle_before = stock.bundle();
                stock = prepared(&stock, &pair(now), now).unwrap();
            }
            Step::Promote => stock = promoted(&stock),
            Step::Replace(why) => panic!("a rotation in time never replaces: {why}"),
        }
        // Through a Secret and back, as another replica sees it.
        stock = Stock::read(&stock.data()).unwrap();
        assert!(accepted(&stock, now));
        // An API server that still has the bundle of before accepts what is served until it is promoted.
        if stock.next.is_some() {
            let lagging = Stock {
                trusted: Stock::read(&bundle_only(&bundle_before)).unwrap().trusted,
                ..stock.clone()
            };
            assert!(accepted(&lagging, now));
        }
        assert!(stock.trusted.len() <= 4);
    }
    let days: Vec<i64> = prepared_at.iter().map(|at| at.duration_since(start()).as_hours() / 24).collect();
    assert_eq!(days, [60, 120, 180, 240, 300, 360]);
}

fn bundle_only(bundle: &str) -> std::collections::BTreeMap<String, k8s_openapi::ByteString> {
    [("ca.crt".to_owned(), k8s_openapi::ByteString(bundle.as_bytes().to_vec()))].into()
}

#[test]
fn an_operator_that_was_off_for_too_long_replaces_what_has_expired() {
    let stock = replaced(&Stock::default(), &pair(start()), start()).unwrap();
    assert_eq!(step(&stock, &names(), day(90)), Step::Replace("the certificate has expired"));
    let fresh = replaced(&stock, &pair(day(90)), day(90)).unwrap();
    assert!(accepted(&fresh, day(90)));
    assert_eq!(fresh.trusted.len(), 1, "expired CAs leave the bundle");
}

#[test]
fn other_names_need_another_certificate() {
    let stock = replaced(&Stock::default(), &pair(start()), start()).unwrap();
    let renamed = vec!["other.system.svc".into()];
    assert_eq!(step(&stock, &renamed, start()), Step::Replace("the certificate is for other names"));
}

#[test]
fn a_certificate_without_its_ca_is_replaced() {
    let mut stock = replaced(&Stock::default(), &pair(start()), start()).unwrap();
    stock.trusted.clear();
    assert!(matches!(step(&stock, &names(), start()), Step::Replace(_)));
}

#[test]
fn a_damaged_secret_is_an_error_that_names_the_key() {
    let mut data = replaced(&Stock::default(), &pair(start()), start()).unwrap().data();
    data.insert("tls.crt".into(), k8s_openapi::ByteString(b"nonsense".to_vec()));
    assert!(Stock::read(&data).unwrap_err().to_string().starts_with("tls.crt: is not a PEM certificate"));
}

#[test]
fn keys_are_not_printed() {
    let stock = replaced(&Stock::default(), &pair(start()), start()).unwrap();
    assert!(!format!("{stock:?} {:?}", pair(start())).contains("PRIVATE KEY"));
}

//! The API over real TLS on the loopback, in front of a stand-in for the Kubernetes API server that reviews
//! tokens and access.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use socketfleet_api::fleet::SocketFleetSpec;
use tokio::net::TcpListener;

use super::front_proxy::FrontProxy;
use super::registration::{Provider, Standing, standing};
use super::*;
use crate::certificates::stock::{Kept, Stock};
use crate::certificates::{Pair, issue, rotation};

const HPA: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const NAME: &str = "operator.system.svc";
const V1BETA2: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/socketfleets.socketfleet.io";

/// A CA with client certificates.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Ca {
    fn new() -> Self {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// Certificate and key of a client with this common name.
    fn client(&self, name: &str) -> (String, String) {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// The metrics API, served.
struct Served {
    address: SocketAddr,
    resolver: Resolver,
    front_proxy_ca: Ca,
    serving_ca: String,
    /// Bodies of the reviews that the API server was asked for.
    reviews: Arc<Mutex<Vec<Value>>>,
}

async fn served() -> Served {
    let reviews = Arc::new(Mutex::new(Vec::new()));
    let log = reviews.clone();
    let client = kube::Client::new(
        tower::service_fn(move |request: Request<Body>| {
            let log = log.clone();
            async move { Ok::<_, std::convert::Infallible>(api_server(request, &log).await) }
        }),
        "default",
    );
    let fleet = SocketFleet::new("chat", SocketFleetSpec { replicas: 4, ..SocketFleetSpec::default() });
    let mut writer = Writer::<SocketFleet>::default();
    writer.apply_watcher_event(&Event::Apply(in_default(fleet)));

    let front_proxy_ca = Ca::new();
    let config = json!({
        "requestheader-client-ca-file": front_proxy_ca.pem,
        "requestheader-allowed-names": r#"["front-proxy-client"]"#,
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    });
    let front_proxy = FrontProxy::read(&serde_json::from_value(config).unwrap()).unwrap();
    let (_, front_proxy) = watch::channel(Some(Arc::new(front_proxy)));

    let (pair, resolver) = (pair(), Resolver::default());
    resolver.set(&Kept::of(&pair).unwrap(), &default_provider()).unwrap();
    let api =
        routes::Api::new(client, OpenSockets::new(), vec![writer.as_reader()], front_proxy, resolver.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(listener, resolver.clone(), routes::router(api)));
    Served { address, resolver, front_proxy_ca, serving_ca: pair.ca, reviews }
}

fn in_default(mut fleet: SocketFleet) -> SocketFleet {
    fleet.metadata.namespace = Some("default".into());
    fleet
}

fn pair() -> Pair {
    issue::issue(&[NAME.to_owned()], Timestamp::now(), SignedDuration::from_hours(1)).unwrap()
}

/// Accepts the token `good`; lets everybody get everything but user `mallory`.
async fn api_server(request: Request<Body>, log: &Mutex<Vec<Value>>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let mut body: Value =
        serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap_or_default();
    log.lock().push(body.clone());
    let answer = if path.ends_with("tokenreviews") {
        let good = body["spec"]["token"] == "good";
        body["status"] = json!({ "authenticated": good, "user": { "username": "alice" } });
        body
    } else if path.ends_with("subjectaccessreviews") {
        body["status"] = json!({ "allowed": body["spec"]["user"] != "mallory" });
        body
    } else {
        json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {},
            "items": [{ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": { "name": "chat" } }],
        })
    };
    Response::new(Body::from(answer.to_string().into_bytes()))
}

impl Served {
    fn client(&self, identity: Option<(String, String)>) -> reqwest::Client {
        self.client_trusting(&self.serving_ca, identity)
    }

    fn client_trusting(&self, ca: &str, identity: Option<(String, String)>) -> reqwest::Client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => config.with_no_client_auth(),
        };
        reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .resolve(NAME, self.address)
            .no_proxy()
            .build()
            .unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.address.port())
    }

    /// As the API server asks for a user.
    async fn get_as(&self, user: &str, path: &str) -> (StatusCode, Value) {
        let client = self.client(Some(self.front_proxy_ca.client("front-proxy-client")));
        let request = client.get(self.url(path)).header("X-Remote-User", user);
        answer(request.header("X-Remote-Group", "system:authenticated")).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn the_autoscaler_gets_one_value_in_both_versions() {
    let served = served().await;
    let (status, mut list) = served.get_as(HPA, &format!("{V1BETA2}/chat/open_sockets")).await;
    assert_eq!(status, StatusCode::OK);
    let timestamp: Timestamp = list["items"][0]["timestamp"].take().as_str().unwrap().parse().unwrap();
    assert!(timestamp.duration_since(Timestamp::now()).abs() < SignedDuration::from_mins(1));
    // The pods have not been listed: the number keeps the fleet's four pods of 8,000 each.
    assert_eq!(
        list,
        json!({
            "kind": "MetricValueList",
            "apiVersion": "custom.metrics.k8s.io/v1beta2",
            "metadata": {},
            "items": [{
                "describedObject": {
                    "kind": "SocketFleet", "namespace": "default", "name": "chat",
                    "apiVersion": "socketfleet.io/v1alpha1",
                },
                "metric": { "name": "open_sockets", "selector": null },
                "timestamp": null,
                "value": "32000",
            }],
        })
    );
    let (_, list) =
        served.get_as(HPA, &format!("{}/chat/open_sockets", V1BETA2.replace("beta2", "beta1"))).await;
    assert_eq!(list["apiVersion"], "custom.metrics.k8s.io/v1beta1");
    assert_eq!(
        (&list["items"][0]["metricName"], &list["items"][0]["value"]),
        (&json!("open_sockets"), &json!("32000"))
    );
}

#[tokio::test]
async fn all_fleets_of_a_namespace_are_one_list() {
    let served = served().await;
    let path = format!("{V1BETA2}/*/open_sockets?labelSelector=app%3Dchat");
    let (status, list) = served.get_as(HPA, &path).await;
    assert_eq!((status, list["items"].as_array().unwrap().len()), (StatusCode::OK, 1));
    assert_eq!(list["items"][0]["describedObject"]["name"], "chat");
}

#[tokio::test]
async fn what_is_not_there_is_a_status_that_says_so() {
    let served = served().await;
    let cases = [
        (format!("{V1BETA2}/other/open_sockets"), 404, "SocketFleet default/other not found"),
        (
            format!("{V1BETA2}/chat/cpu"),
            404,
            "could not find the metric cpu for socketfleets.socketfleet.io chat",
        ),
        (format!("{V1BETA2}/chat/open_sockets?metricLabelSelector=a%3Db"), 400, "remove metric.selector"),
        ("/apis/custom.metrics.k8s.io/v9".into(), 404, "version v9 is not served: use v1beta2 or v1beta1"),
        (
            "/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/cpu".into(),
            404,
            "could not find the requested resource",
        ),
        ("/api/v1/pods".into(), 404, "could not find the requested resource"),
    ];
    for (path, code, message) in cases {
        let (status, body) = served.get_as(HPA, &path).await;
        assert_eq!(
            (status.as_u16(), &body["kind"], &body["code"]),
            (code, &json!("Status"), &json!(code)),
            "{path}"
        );
        assert!(body["message"].as_str().unwrap().contains(message), "{path}: {body}");
    }
}

#[tokio::test]
async fn users_in_headers_count_only_from_the_front_proxy() {
    let served = served().await;
    let stranger = Ca::new();
    let identities = [
        ("no certificate", None),
        ("another CA's certificate", Some(stranger.client("front-proxy-client"))),
        ("another name", Some(served.front_proxy_ca.client("somebody"))),
    ];
    for (who, identity) in identities {
        let request = served.client(identity).get(served.url(&format!("{V1BETA2}/chat/open_sockets")));
        let (status, body) = answer(request.header("X-Remote-User", HPA)).await;
        assert_eq!((status, &body["reason"]), (StatusCode::UNAUTHORIZED, &json!("Unauthorized")), "{who}");
    }
    assert!(served.reviews.lock().is_empty());
}

#[tokio::test]
async fn tokens_are_reviewed_and_so_is_what_their_user_may_do() {
    let served = served().await;
    let get = |token: &str| {
        let request = served.client(None).get(served.url(&format!("{V1BETA2}/chat/open_sockets")));
        answer(request.bearer_auth(token.to_owned()))
    };
    assert_eq!(get("good").await.0, StatusCode::OK);
    assert_eq!(get("bad").await.0, StatusCode::UNAUTHORIZED);
    let reviews = served.reviews.lock().clone();
    assert_eq!(reviews[1]["spec"]["user"], "alice");
    assert_eq!(
        reviews[1]["spec"]["resourceAttributes"],
        json!({
            "group": "custom.metrics.k8s.io", "version": "v1beta2", "namespace": "default", "verb": "get",
            "resource": "socketfleets.socketfleet.io", "name": "chat", "subresource": "open_sockets",
        })
    );
}

#[tokio::test]
async fn who_may_not_is_told_what_they_may_not() {
    let served = served().await;
    let (status, body) = served.get_as("mallory", &format!("{V1BETA2}/chat/open_sockets")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(
        body["message"],
        "User \"mallory\" cannot get resource \"socketfleets.socketfleet.io/open_sockets\" of \"chat\" in API group \
         \"custom.metrics.k8s.io\" in the namespace \"default\""
    );
    let (status, _) = served.get_as("mallory", "/apis/custom.metrics.k8s.io/v1beta2").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn decisions_are_remembered_for_a_while() {
    let served = served().await;
    for _ in 0..5 {
        served.get_as(HPA, &format!("{V1BETA2}/chat/open_sockets")).await;
    }
    assert_eq!(served.reviews.lock().len(), 1);
}

#[tokio::test]
async fn discovery_is_answered_in_both_formats() {
    let served = served().await;
    let (_, list) = served.get_as(HPA, "/apis/custom.metrics.k8s.io/v1beta2").await;
    assert_eq!(
        (&list["kind"], &list["resources"][0]["name"]),
        (&json!("APIResourceList"), &json!("socketfleets.socketfleet.io/open_sockets"))
    );
    let (_, list) = served.get_as(HPA, "/apis").await;
    assert_eq!(
        (&list["kind"], &list["groups"][0]["preferredVersion"]["version"]),
        (&json!("APIGroupList"), &json!("v1beta2"))
    );

    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let client = served.client(Some(served.front_proxy_ca.client("front-proxy-client")));
    let request = client.get(served.url("/apis")).header("X-Remote-User", HPA);
    let response = request.header("Accept", format!("{aggregated},application/json")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], aggregated);
    let list: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2"))
    );
    for path in ["/openapi/v2", "/openapi/v3", "/openapi/v3/apis/custom.metrics.k8s.io/v1beta1"] {
        assert_eq!(served.get_as(HPA, path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn probes_need_no_user_and_writes_are_refused() {
    let served = served().await;
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(
            served.client(None).get(served.url(path)).send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let (status, _) = answer(served.client(None).post(served.url("/apis"))).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_rotated_certificate_is_served_to_new_connections_without_a_restart() {
    let served = served().await;
    let next = pair();
    let trusting_next = served.client_trusting(&next.ca, None);
    assert!(trusting_next.get(served.url("/livez")).send().await.is_err());
    let old_connection = served.client(None);
    assert!(old_connection.get(served.url("/livez")).send().await.is_ok());
    served.resolver.set(&Kept::of(&next).unwrap(), &default_provider()).unwrap();
    assert!(trusting_next.get(served.url("/livez")).send().await.is_ok());
    assert!(old_connection.get(served.url("/livez")).send().await.is_ok(), "open connections go on");
}

#[test]
fn only_our_own_api_service_gets_our_bundle() {
    let ours = Provider { namespace: "system".into(), service: "operator".into() };
    let api_service = |service: Value, bundle: Value| {
        serde_json::from_value(json!({
            "metadata": { "name": "v1beta1.custom.metrics.k8s.io", "resourceVersion": "7" },
            "spec": { "groupPriorityMinimum": 100, "versionPriority": 100, "service": service, "caBundle": bundle },
        }))
        .unwrap()
    };
    let service = json!({ "namespace": "system", "name": "operator" });
    let stock = rotation::replaced(&Stock::default(), &pair(), Timestamp::now()).unwrap();
    let bundle = stock.bundle();

    assert_eq!(standing(None, &ours, &bundle), Standing::Absent);
    let adapter =
        api_service(json!({ "namespace": "monitoring", "name": "prometheus-adapter" }), json!(null));
    assert_eq!(
        standing(Some(&adapter), &ours, &bundle),
        Standing::Foreign("Service monitoring/prometheus-adapter".into())
    );
    let Standing::Incomplete(patch) =
        standing(Some(&api_service(service.clone(), json!(null))), &ours, &bundle)
    else {
        panic!("it leads to us and lacks the bundle");
    };
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    let complete = api_service(service, patch["spec"]["caBundle"].clone());
    assert_eq!(standing(Some(&complete), &ours, &bundle), Standing::Complete);
}

//! How the operator may run: in named namespaces, as one of several, and outside of the cluster.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use socketfleet_api::fleet::condition;
use socketfleet_tests::{
    ClientOptions, OPERATOR_NAMESPACE, OPERATOR_PODS, Scenario, Until, Weight, condition_is, is_ready,
    repository, scenario, small_fleet,
};

const OPERATOR: &str = "socketfleet-operator";
const WITHOUT_REDIS: &str = "{replicas: 1, redis: {type: None, managed: null}}";

fn operators(s: &Scenario) -> Api<Pod> {
    Api::namespaced(s.client.clone(), OPERATOR_NAMESPACE)
}

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), OPERATOR_NAMESPACE)
}

/// The pod that holds it; its process adds `_` and when it began.
fn holder(lease: &Lease) -> &str {
    let identity = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    identity.split('_').next().unwrap_or_default()
}

#[tokio::test]
async fn in_named_namespaces_it_needs_no_rights_elsewhere() {
    scenario("operator_namespaces", Weight::Alone, async |s| {
        // What its pods and those of its fleets may do is the least that Kubernetes knows.
        let restricted = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
        let namespaces: Api<Namespace> = Api::all(s.client.clone());
        for namespace in [OPERATOR_NAMESPACE, &s.namespace] {
            namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(&restricted)).await.unwrap();
        }
        let elsewhere: Namespace = serde_json::from_value(json!({
            "metadata": { "generateName": "operator-elsewhere-", "labels": { "socketfleet.io/test": "true" } },
        }))
        .unwrap();
        let elsewhere = namespaces.create(&PostParams::default(), &elsewhere).await.unwrap().name_any();
        let foreign = Scenario { namespace: elsewhere.clone(), ..s.clone() };

        s.cluster.install_operator(&[&format!("watchNamespaces={{{}}}", s.namespace)]).unwrap();
        foreign.apply(&small_fleet("foreign", WITHOUT_REDIS)).await;
        s.run_fleet(&small_fleet("chat", "{autoscaling: {minReplicas: 1, maxReplicas: 2}}")).await;
        let counted = |hpa: &HorizontalPodAutoscaler| {
            let conditions = hpa.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.clone().any(|c| c.type_ == "ScalingActive" && c.status == "True")
        };
        s.api::<HorizontalPodAutoscaler>().until("chat", "its metric", counted).await;
        // All that an operator does to a fleet, down to a drain.
        s.run_fleet(&small_fleet("drains", "replicas: 2")).await;
        let clients = s.clients("drains", &ClientOptions { sockets: 40, ..Default::default() }).await;
        clients.until_joined(40).await;
        s.until_counted("drains", 40).await;
        s.scale("drains", 1).await;
        let victim = s.until_drain("drains").await.pod;
        s.pods().until_gone(&victim).await;
        s.until_running("drains").await;
        clients.settle().await.assert_no_loss();
        let log = s.cluster.kubectl(&["logs", "-n", OPERATOR_NAMESPACE, "-l", OPERATOR_PODS, "--tail=-1"]).unwrap();
        assert!(!log.contains("orbidden"), "a right is missing:\n{log}");
        let foreign_fleet = foreign.fleets().get("foreign").await.unwrap();
        assert_eq!(foreign_fleet.status, None, "it is in a namespace that is not looked after");

        s.cluster.install_operator(&[]).unwrap();
        foreign.until_running("foreign").await;
        namespaces.delete(&elsewhere, &DeleteParams::background()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_two_one_acts_and_the_other_takes_over() {
    scenario("operator_replicas", Weight::Alone, async |s| {
        s.cluster.install_operator(&["replicas=2"]).unwrap();
        let works = |pod: &&Pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none();
        let two_work = |pods: &[Pod]| pods.iter().filter(works).count() == 2;
        let pods = operators(s).until_all(OPERATOR_PODS, "two operators", two_work).await;
        let names: Vec<String> = pods.iter().filter(works).map(ResourceExt::name_any).collect();
        let leads = |lease: &Lease| names.iter().any(|name| name == holder(lease));
        let leader = leases(&s.client).until(OPERATOR, "a leader", leads).await;
        s.run_fleet(&small_fleet("chat", WITHOUT_REDIS)).await;

        // It is told to end, and hands the lease over: to the one that stands by, or to the one that replaces it.
        let leader = holder(&leader).to_owned();
        operators(s).delete(&leader, &DeleteParams::default()).await.unwrap();
        let taken_over = |lease: &Lease| !["", &leader].contains(&holder(lease));
        leases(&s.client).until(OPERATOR, "the other leader", taken_over).await;
        s.patch_fleet("chat", json!({ "spec": { "replicas": 2 } })).await;
        s.until_running("chat").await;
        s.cluster.install_operator(&[]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn it_runs_outside_of_the_cluster_and_ends_cleanly() {
    scenario("operator_outside", Weight::Alone, async |s| {
        let scale = |replicas: &str| {
            let replicas = format!("--replicas={replicas}");
            s.cluster
                .kubectl(&["scale", "deployment", OPERATOR, "-n", OPERATOR_NAMESPACE, &replicas])
                .unwrap();
        };
        scale("0");
        operators(s).until_all(OPERATOR_PODS, "no operator", <[_]>::is_empty).await;
        let mut laptop = Laptop::start(s);
        let ready = |fleet: &socketfleet_api::SocketFleet| {
            fleet.status.as_ref().is_some_and(|s| condition_is(&s.conditions, condition::READY, "True"))
        };
        s.apply(&small_fleet("chat", WITHOUT_REDIS)).await;
        s.fleets().until("chat", "Ready", ready).await;
        assert_eq!(holder(&leases(&s.client).get(OPERATOR).await.unwrap()), "laptop");

        laptop.terminate();
        leases(&s.client).until(OPERATOR, "released", |lease| holder(lease).is_empty()).await;
        assert!(laptop.0.wait().unwrap().success(), "SIGTERM is a clean end");
        scale("1");
        let running = |d: &Deployment| d.status.as_ref().is_some_and(|s| s.ready_replicas == Some(1));
        Api::namespaced(s.client.clone(), OPERATOR_NAMESPACE).until(OPERATOR, "running again", running).await;
        s.until_running("chat").await;
    })
    .await;
}

/// The program that images/build put into the image.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target =
        test.ancestors().nth(3).unwrap().join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    let profile = if std::env::var("IMAGE_PROFILE").is_ok_and(|p| p == "dev") { "debug" } else { "release" };
    target.join(profile).join(OPERATOR)
}

/// The operator as a process of this machine, with the kubeconfig of the tests.
struct Laptop(Child);

impl Laptop {
    fn start(s: &Scenario) -> Self {
        let mut command = Command::new(program());
        command.args(["run", "--metrics-bind-address=127.0.0.1:0", "--log-format=text"]);
        command.args(["--operator-cidrs=0.0.0.0/0", "--server-image=localhost/socket-server:dev"]);
        command.env("KUBECONFIG", s.cluster.kubeconfig()).env("POD_NAME", "laptop").stdin(Stdio::null());
        let log = repository().join("build/test-logs/operator-outside.log");
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        Self(command.stderr(std::fs::File::create(log).unwrap()).spawn().unwrap())
    }

    fn terminate(&self) {
        let sent = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! One test on the cluster: a namespace of its own, and evidence where it fails.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use socketfleet_api::fleet::{DrainStatus, Phase};
use tokio::sync::{RwLock, Semaphore};

use crate::until::until_read;
use crate::{
    ClientOptions, Clients, Cluster, OPERATOR_NAMESPACE, OPERATOR_PODS, Until, is_ready, repository, servers,
};

/// What a test does to the cluster that others run on too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Few pods or none.
    Light,
    /// Pods under load: one at a time, for the machine is small.
    Heavy,
    /// Changes what all tests use, the operator or a node: alone. It is put right again.
    Alone,
}

static ALONE: RwLock<()> = RwLock::const_new(());
static HEAVY: Semaphore = Semaphore::const_new(1);
/// Light tests at a time.
static LIGHT: Semaphore = Semaphore::const_new(4);

/// A test's place on the cluster.
#[derive(Clone)]
pub struct Scenario {
    /// The cluster's tools.
    pub cluster: &'static Cluster,
    /// Client as cluster administrator.
    pub client: Client,
    /// Namespace of this test alone.
    pub namespace: String,
}

/// Runs a test in a namespace of its own, named after it. Where it panics, the state of the namespace and the
/// operator's log go to `build/test-logs/NAME`.
pub async fn scenario(name: &str, weight: Weight, test: impl AsyncFnOnce(&Scenario)) {
    let (_shared, _alone) = match weight {
        Weight::Alone => (None, Some(ALONE.write().await)),
        Weight::Light | Weight::Heavy => (Some(ALONE.read().await), None),
    };
    let permits = if weight == Weight::Light { &LIGHT } else { &HEAVY };
    let _permit = permits.acquire().await.expect("never closed");

    let cluster =
        tokio::task::spawn_blocking(Cluster::ready).await.unwrap_or_else(|e| resume_unwind(e.into_panic()));
    let client = cluster.client().await.expect("a client");
    let scenario = Scenario::new(cluster, client, name).await;
    let test = async {
        test(&scenario).await;
        scenario.assert_right_victims().await;
    };
    let outcome = AssertUnwindSafe(test).catch_unwind().await;
    if outcome.is_err() {
        scenario.collect_evidence(name);
    }
    scenario.end().await;
    if weight == Weight::Alone {
        cluster.put_right().unwrap_or_else(|e| panic!("the cluster cannot be put right: {e:#}"));
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

impl Scenario {
    async fn new(cluster: &'static Cluster, client: Client, name: &str) -> Self {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(serde_json::json!({
            "metadata": {
                "generateName": format!("{}-", name.replace('_', "-").chars().take(40).collect::<String>()),
                "labels": { "socketfleet.io/test": "true" },
            },
        }));
        let namespace: Namespace = namespace.expect("a namespace");
        let made =
            namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace is accepted");
        Self { cluster, client, namespace: made.name_any() }
    }

    /// The objects of one kind in the test's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    /// The fleets of the namespace.
    pub fn fleets(&self) -> Api<SocketFleet> {
        self.api()
    }

    /// Applies an object as `kubectl apply --server-side` does.
    pub async fn apply<K>(&self, object: &K) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let params = PatchParams::apply("test").force();
        let applied = self.api().patch(&object.name_any(), &params, &Patch::Apply(object)).await;
        applied.unwrap_or_else(|e| panic!("{} is refused: {e}", object.name_any()))
    }

    /// Merges a change into a fleet.
    pub async fn patch_fleet(&self, name: &str, change: serde_json::Value) -> SocketFleet {
        let patched = self.fleets().patch(name, &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.unwrap_or_else(|e| panic!("{change} is refused: {e}"))
    }

    /// Applies a fleet and waits until it runs as it should.
    pub async fn run_fleet(&self, fleet: &SocketFleet) -> SocketFleet {
        self.apply(fleet).await;
        self.until_running(&fleet.name_any()).await
    }

    /// Waits until a fleet's status speaks of its spec, and all that is wanted runs and nothing drains.
    pub async fn until_running(&self, fleet: &str) -> SocketFleet {
        let running = |f: &SocketFleet| {
            let Some(status) = &f.status else { return false };
            status.observed_generation == f.metadata.generation
                && status.phase == Some(Phase::Running)
                && (status.replicas, status.ready_replicas) == (f.spec.replicas, f.spec.replicas)
                && status.draining_replicas == 0
        };
        self.fleets().until(fleet, "to run as its spec says", running).await
    }

    /// Waits until the operator itself counts so many open sockets, for it chooses by its own counts, and those
    /// are up to some seconds old. While sockets only come, a right sum means that every pod's count is right.
    pub async fn until_counted(&self, fleet: &str, sockets: u64) {
        let path = format!(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/socketfleets.socketfleet.io/{fleet}/open_sockets",
            self.namespace
        );
        let counted = async || {
            let request = http::Request::get(&path).body(Vec::new()).expect("a request");
            let list: serde_json::Value = self.client.request(request).await.ok()?;
            Some(list["items"][0]["value"].clone())
        };
        let right = Some(serde_json::Value::String(sockets.to_string()));
        until_read(&format!("the operator to count {sockets} sockets"), counted, |c| *c == right).await;
    }

    /// The server pods of a fleet that are not about to be deleted.
    pub async fn servers(&self, fleet: &str) -> Vec<Pod> {
        let pods = self
            .pods()
            .list(&ListParams::default().labels(&servers(fleet)))
            .await
            .expect("pods can be listed");
        pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    /// Asks for so many pods.
    pub async fn scale(&self, fleet: &str, replicas: u32) {
        self.patch_fleet(fleet, serde_json::json!({ "spec": { "replicas": replicas } })).await;
    }

    /// Waits until one of the fleet's pods drains, and gives what the status says of it.
    pub async fn until_drain(&self, fleet: &str) -> DrainStatus {
        let drains = |fleet: &SocketFleet| fleet.status.iter().flat_map(|s| s.drains.clone()).next();
        let fleet = self.fleets().until(fleet, "a drain", |fleet| drains(fleet).is_some()).await;
        drains(&fleet).expect("it has one")
    }

    /// Waits until a pod is Ready and bears no marks of a drain. The status may be ahead of them.
    pub async fn until_serves(&self, pod: &str) {
        let serves = |pod: &Pod| is_ready(pod) && !pod.annotations().contains_key(labels::DRAIN_PHASE);
        self.pods().until(pod, "to serve", serves).await;
    }

    /// Runs `kubectl` in the test's namespace.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let args = [&["--namespace", &self.namespace], args].concat();
        self.cluster.kubectl(&args).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Starts load clients against a fleet.
    pub async fn clients(&self, fleet: &str, options: &ClientOptions) -> Clients {
        Clients::start(&self.client, &self.namespace, fleet, options).await
    }

    /// No Deployment deleted another pod than the one that was emptied for it.
    async fn assert_right_victims(&self) {
        let wrong = ListParams::default().fields("reason=WrongVictim");
        let wrong = self.api::<Event>().list(&wrong).await.expect("events can be listed");
        assert!(wrong.items.is_empty(), "{:#?}", wrong.items);
    }

    fn collect_evidence(&self, name: &str) {
        let folder = repository().join("build/test-logs").join(name);
        let all = "all,socketfleets,hpa,pdb,endpointslices,events";
        let ours = ["--namespace", &self.namespace];
        for (file, args) in [
            ("objects.txt", &["get", all, "-o", "wide"][..]),
            ("fleets.yaml", &["get", "socketfleets,pods,deployments,hpa", "-o", "yaml"]),
            ("events.txt", &["events"]),
            ("describe.txt", &["describe", "pods,socketfleets"]),
            (
                "server.log",
                &["logs", "--selector", "app.kubernetes.io/component=server", "--tail=-1", "--prefix"],
            ),
        ] {
            self.save(&folder.join(file), &[&ours, args].concat());
        }
        let operator = ["logs", "-n", OPERATOR_NAMESPACE, "-l", OPERATOR_PODS, "--tail=2000"];
        self.save(&folder.join("operator.log"), &operator);
        eprintln!("what {name} left is in {}", folder.display());
    }

    fn save(&self, file: &std::path::Path, args: &[&str]) {
        let text = self.cluster.kubectl(args).unwrap_or_else(|e| format!("{e:#}"));
        let saved =
            file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(file, text));
        if let Err(error) = saved {
            eprintln!("{}: {error}", file.display());
        }
    }

    /// Removes what the test made, without waiting for it.
    async fn end(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        // No test looks at how its fleets end here: nobody has to wait for their drains.
        let now = serde_json::json!({ "spec": { "deletionPolicy": "Immediate" } });
        for fleet in self.fleets().list(&Default::default()).await.into_iter().flatten() {
            let _ =
                self.fleets().patch(&fleet.name_any(), &PatchParams::default(), &Patch::Merge(&now)).await;
        }
        if let Err(error) = namespaces.delete(&self.namespace, &DeleteParams::background()).await {
            eprintln!("{} stays: {error}", self.namespace);
        }
    }
}

//! What the operator makes of a fleet, keeps as it should be, and takes away again.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::condition;
use socketfleet_tests::{Scenario, Until, Weight, condition_is, scenario, servers, small_fleet};

const AUTOSCALED: &str = "{autoscaling: {minReplicas: 1, maxReplicas: 2}}";

#[tokio::test]
async fn a_fleet_becomes_its_objects_and_they_go_with_it() {
    scenario("reconciles_objects", Weight::Light, async |s| {
        s.apply(&small_fleet("chat", AUTOSCALED)).await;
        s.fleets().until("chat", "Ready", ready).await;
        let made = owned(s).await;
        for expected in [
            "ConfigMap/chat-accepted",
            "ConfigMap/chat-redis",
            "HorizontalPodAutoscaler/chat",
            "NetworkPolicy/chat-redis",
            "NetworkPolicy/chat-server",
            "PodDisruptionBudget/chat",
            "Secret/chat-admin",
            "Secret/chat-redis-auth",
            "Service/chat",
            "Service/chat-pods",
            "Service/chat-redis",
            "ServiceAccount/chat",
            "StatefulSet/chat-redis",
        ] {
            assert!(made.iter().any(|(name, _)| name == expected), "{expected} is not among {made:?}");
        }
        assert_eq!(
            made.iter().filter(|(name, _)| name.starts_with("Deployment/chat-")).count(),
            1,
            "{made:?}"
        );

        s.fleets().delete("chat", &DeleteParams::default()).await.unwrap();
        s.fleets().until_gone("chat").await;
        s.api::<StatefulSet>().until_gone("chat-redis").await;
        s.api::<Deployment>().until_all("socketfleet.io/fleet=chat", "nothing", <[_]>::is_empty).await;
        s.api::<Secret>().until_gone("chat-admin").await;
    })
    .await;
}

#[tokio::test]
async fn drift_is_corrected_and_others_fields_stay() {
    scenario("reconciles_drift", Weight::Light, async |s| {
        s.run_fleet(&small_fleet("chat", "{replicas: 1, redis: {type: None, managed: null}}")).await;
        let services = s.api::<Service>();
        let old = services.get("chat").await.unwrap().uid();
        services.delete("chat", &DeleteParams::default()).await.unwrap();
        services.until("chat", "made again", |service| service.uid() != old).await;

        let change = json!({
            "metadata": { "annotations": { "example.com/note": "kept" } },
            "spec": { "ports": [{ "name": "socket", "port": 80, "targetPort": 1234 }] },
        });
        services.patch("chat", &PatchParams::default(), &Patch::Strategic(&change)).await.unwrap();
        let corrected = |service: &Service| {
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            let mut targets = ports.filter_map(|port| serde_json::to_value(&port.target_port).ok());
            targets.any(|target| target == json!("socket"))
        };
        let service = services.until("chat", "its port back", corrected).await;
        assert_eq!(service.annotations().get("example.com/note").map(String::as_str), Some("kept"));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_longer_planned_goes_and_the_rest_is_not_written() {
    scenario("reconciles_prune", Weight::Light, async |s| {
        s.apply(&small_fleet("chat", AUTOSCALED)).await;
        s.fleets().until("chat", "Ready", ready).await;
        let before = owned(s).await;
        s.patch_fleet("chat", json!({ "spec": { "autoscaling": null } })).await;
        s.api::<HorizontalPodAutoscaler>().until_gone("chat").await;
        // The record of the accepted spec is written last: with it the reconcile is done.
        let recorded = before.iter().find(|(name, _)| name == "ConfigMap/chat-accepted").unwrap().1.clone();
        s.api::<ConfigMap>()
            .until("chat-accepted", "the new spec", |c| c.resource_version() != Some(recorded.clone()))
            .await;
        let after = owned(s).await;
        // Not those that change, and those whose status others write.
        let still = |name: &str| {
            !["ConfigMap/chat-accepted", "HorizontalPodAutoscaler/chat"].contains(&name)
                && !["Deployment", "StatefulSet", "PodDisruptionBudget"]
                    .iter()
                    .any(|kind| name.starts_with(kind))
        };
        for object in before.iter().filter(|(name, _)| still(name)) {
            assert!(after.contains(object), "{} was written for nothing", object.0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_secret_is_said_and_the_last_good_state_runs() {
    scenario("reconciles_missing_secret", Weight::Light, async |s| {
        let secret = |name: &str| {
            json!({ "metadata": { "name": name }, "stringData": { "url": "redis://nowhere.invalid:6379" } })
        };
        let good: Secret = serde_json::from_value(secret("good")).unwrap();
        s.api::<Secret>().create(&Default::default(), &good).await.unwrap();
        let external = "{replicas: 1, redis: {type: External, managed: null, external: {urlSecretRef: {name: good, key: url}}}}";
        let fleet = s.run_fleet(&small_fleet("chat", external)).await;
        let revision = fleet.status.unwrap().current_revision;

        let refer = |name: &str| json!({ "spec": { "redis": { "external": { "urlSecretRef": { "name": name } } } } });
        s.patch_fleet("chat", refer("late")).await;
        let fleet = s.fleets().until("chat", "not accepted", |f| is(f, condition::ACCEPTED, "False")).await;
        let status = fleet.status.unwrap();
        let accepted = status.conditions.iter().find(|c| c.type_ == condition::ACCEPTED).unwrap();
        assert!(accepted.message.contains("late"), "{}", accepted.message);
        assert_eq!(status.current_revision, revision);
        assert!(condition_is(&status.conditions, condition::READY, "True"), "{status:?}");
        assert_eq!(s.servers("chat").await.len(), 1);

        let late: Secret = serde_json::from_value(secret("late")).unwrap();
        s.api::<Secret>().create(&Default::default(), &late).await.unwrap();
        s.fleets().until("chat", "accepted", |f| is(f, condition::ACCEPTED, "True")).await;
    })
    .await;
}

#[tokio::test]
async fn kubectl_scale_and_get_show_what_there_is() {
    scenario("reconciles_scale", Weight::Light, async |s| {
        s.run_fleet(&small_fleet("chat", "{replicas: 1, redis: {type: None, managed: null}}")).await;
        s.kubectl(&["scale", "socketfleet", "chat", "--replicas=2"]);
        s.until_running("chat").await;
        let scale = s.fleets().get_scale("chat").await.unwrap();
        let status = scale.status.unwrap();
        assert_eq!((status.replicas, status.selector), (2, Some(sorted(&servers("chat")))));
        let table = s.kubectl(&["get", "sf"]);
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        let columns =
            ["NAME", "DESIRED", "READY", "SOCKETS", "CAPACITY", "DRAINING", "REVISION", "PHASE", "AGE"];
        assert_eq!(rows[0], columns, "{table}");
        assert_eq!(rows[1][..6], ["chat", "2", "2", "0", "0%", "0"], "{table}");
    })
    .await;
}

fn ready(fleet: &SocketFleet) -> bool {
    is(fleet, condition::READY, "True")
}

/// The status speaks of the spec, and its condition of this type has this status.
fn is(fleet: &SocketFleet, type_: &str, value: &str) -> bool {
    fleet.status.as_ref().is_some_and(|status| {
        status.observed_generation == fleet.metadata.generation
            && condition_is(&status.conditions, type_, value)
    })
}

fn sorted(selector: &str) -> String {
    let mut labels: Vec<&str> = selector.split(',').collect();
    labels.sort_unstable();
    labels.join(",")
}

/// Kind, name and resource version of the fleet's objects.
async fn owned(s: &Scenario) -> Vec<(String, String)> {
    let mut all = Vec::new();
    all.extend(of_kind::<ServiceAccount>(s).await);
    all.extend(of_kind::<Secret>(s).await);
    all.extend(of_kind::<ConfigMap>(s).await);
    all.extend(of_kind::<NetworkPolicy>(s).await);
    all.extend(of_kind::<Service>(s).await);
    all.extend(of_kind::<StatefulSet>(s).await);
    all.extend(of_kind::<Deployment>(s).await);
    all.extend(of_kind::<PodDisruptionBudget>(s).await);
    all.extend(of_kind::<HorizontalPodAutoscaler>(s).await);
    all
}

async fn of_kind<K>(s: &Scenario) -> Vec<(String, String)>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let objects =
        s.api::<K>().list(&ListParams::default().labels("socketfleet.io/fleet=chat")).await.unwrap();
    let described =
        |o: K| (format!("{}/{}", K::kind(&()), o.name_any()), o.resource_version().unwrap_or_default());
    objects.into_iter().map(described).collect()
}

//! What the operator knows of the cluster: one watch for each kind, kept in memory without what is never looked at.
//!
//! Rights: `list` and `watch` on SocketFleets, on Pods, and on all [kinds](crate::kinds) that fleets are made of; on Secrets
//! the watch asks for metadata only, but for those that bear a fleet's label. On Nodes, cluster-wide, `list` and `watch`:
//! without them cordoned and lost nodes are not noticed, and all else works.

mod by_fleet;
mod packed;
mod trim;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use tokio::task::JoinSet;

use crate::fleet::references::secret_refs;
use crate::kinds::Kind;
use crate::open_sockets::OpenSockets;
use crate::triggers::Triggers;
use by_fleet::{ByFleet, Names};
use packed::Packed;
use watch::Watch;

/// Objects of one page of a list. A page is in memory as a whole, untrimmed, and memory that is used once stays with the
/// process.
const PAGE: u32 = 100;

/// Names a fleet.
pub type FleetRef = ObjectRef<SocketFleet>;

/// What is known of one scope: the cluster, or one namespace.
#[derive(Clone)]
pub struct Cache {
    /// Fleets.
    pub fleets: Store<SocketFleet>,
    /// Pods of fleets: servers and Redis.
    pods: ByFleet<Pod>,
    /// Nodes; empty without the right to see them.
    pub nodes: Store<Node>,
    /// Metadata of all Secrets, to notice those that fleets refer to.
    pub secrets: Store<PartialObjectMeta<Secret>>,
    owned: BTreeMap<Kind, ByFleet<Packed>>,
}

impl Cache {
    /// Starts to watch a namespace, or the cluster when it is `None`. The tasks run until they are aborted.
    pub fn start(
        client: &Client,
        namespace: Option<&str>,
        nodes: Store<Node>,
        counts: &OpenSockets,
        triggers: &Triggers,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let of_fleets = watcher::Config::default().page_size(PAGE).labels(labels::FLEET);
        let everything = watcher::Config::default().page_size(PAGE);

        let writer = Writer::<SocketFleet>::default();
        let fleets = writer.as_reader();
        let watch = Watch {
            writer,
            kind: "SocketFleet",
            trim: trim::fleet,
            same: trim::same_fleet,
            fleets_of: |fleet: &SocketFleet| vec![ObjectRef::from_obj(fleet)],
            all_fleets: fleets.clone(),
            triggers: triggers.clone(),
        };
        tasks.spawn(watch.run((), watcher(api(client, namespace), everything.clone()), |_| {}));

        let writer = Writer::<Pod>::default();
        let pods = ByFleet::new(writer.as_reader(), (), fleet_of);
        let watch = Watch {
            writer,
            kind: "Pod",
            trim: trim::pod,
            same: trim::same_pod,
            fleets_of: by_label::<Pod>,
            all_fleets: fleets.clone(),
            triggers: triggers.clone(),
        };
        let (index, mut listed, mut follower) = (pods.clone(), Names::default(), counts.follower());
        tasks.spawn(watch.run((), watcher(api(client, namespace), of_fleets.clone()), move |event| {
            index.follow(&mut listed, event);
            follower.event(event);
        }));

        let writer = Writer::<PartialObjectMeta<Secret>>::default();
        let secrets = writer.as_reader();
        let known = fleets.clone();
        let watch = Watch {
            writer,
            kind: "Secret metadata",
            trim: trim::metadata,
            same: |_: &_, _: &_| false,
            fleets_of: move |secret: &PartialObjectMeta<Secret>| referring(&known, secret),
            all_fleets: fleets.clone(),
            triggers: triggers.clone(),
        };
        tasks.spawn(watch.run((), watcher(api(client, namespace), everything), |_| {}));

        let owned = Kind::ALL
            .into_iter()
            .map(|kind| {
                let resource = kind.resource();
                let writer = Writer::<Packed>::new(resource.clone());
                let objects = ByFleet::new(writer.as_reader(), resource.clone(), fleet_of);
                let watch = Watch {
                    writer,
                    kind: kind.name(),
                    trim: trim::owned(kind),
                    same: trim::same_owned,
                    fleets_of: by_label::<Packed>,
                    all_fleets: fleets.clone(),
                    triggers: triggers.clone(),
                };
                let api = match namespace {
                    Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
                    None => Api::all_with(client.clone(), resource),
                };
                let (index, mut listed) = (objects.clone(), Names::default());
                tasks.spawn(watch.run(resource.clone(), watcher(api, of_fleets.clone()), move |event| {
                    index.follow(&mut listed, event);
                }));
                (kind, objects)
            })
            .collect();
        Self { fleets, pods, nodes, secrets, owned }
    }

    /// Waits until all has been listed once; Nodes are not waited for.
    pub async fn ready(&self) {
        let Self { fleets, pods, nodes: _, secrets, owned } = self;
        // An error means that the task has ended: then the operator is ending too.
        let _ = fleets.wait_until_ready().await;
        let _ = pods.store().wait_until_ready().await;
        let _ = secrets.wait_until_ready().await;
        for objects in owned.values() {
            let _ = objects.store().wait_until_ready().await;
        }
    }

    /// All pods that bear a fleet's label.
    pub fn pods(&self) -> &Store<Pod> {
        self.pods.store()
    }

    /// All objects that bear a fleet's label.
    pub fn of_fleet(&self, namespace: &str, fleet: &str) -> BTreeMap<(Kind, String), DynamicObject> {
        let found = |(kind, objects): (&Kind, &ByFleet<Packed>)| {
            let (kind, objects) = (*kind, objects.of_fleet(namespace, fleet));
            objects.into_iter().map(move |object| ((kind, object.name_any()), object.unpack()))
        };
        self.owned.iter().flat_map(found).collect()
    }

    /// The pods that bear a fleet's label.
    pub fn pods_of_fleet(&self, namespace: &str, fleet: &str) -> Vec<Arc<Pod>> {
        self.pods.of_fleet(namespace, fleet)
    }
}

/// Starts to watch the nodes, which all scopes share.
pub fn watch_nodes(
    client: &Client,
    scopes: Vec<(Store<Pod>, Triggers)>,
    writer: Writer<Node>,
    tasks: &mut JoinSet<()>,
) {
    let watch = Watch {
        writer,
        kind: "Node",
        trim: trim::node,
        same: trim::same_node,
        fleets_of: move |node: &Node| {
            for (pods, triggers) in &scopes {
                let name = node.metadata.name.as_deref();
                for pod in
                    pods.state_filter(|pod| pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) == name)
                {
                    by_label(&*pod).into_iter().for_each(|fleet| triggers.fleet(fleet));
                }
            }
            Vec::new()
        },
        all_fleets: Writer::default().as_reader(),
        triggers: Triggers::default(),
    };
    tasks.spawn(watch.run((), watcher(Api::<Node>::all(client.clone()), watcher::Config::default()), |_| {}));
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The fleet whose label an object bears. Not the owner: a retained Redis has none, and a Pod's is its ReplicaSet.
fn fleet_of<K: ResourceExt>(object: &K) -> Option<FleetRef> {
    let fleet = object.labels().get(labels::FLEET)?;
    Some(FleetRef::new(fleet).within(object.meta().namespace.as_deref()?))
}

fn by_label<K: ResourceExt>(object: &K) -> Vec<FleetRef> {
    fleet_of(object).into_iter().collect()
}

/// The fleets whose spec refers to a Secret.
fn referring(fleets: &Store<SocketFleet>, secret: &PartialObjectMeta<Secret>) -> Vec<FleetRef> {
    let (namespace, name) = (&secret.metadata.namespace, secret.name_any());
    fleets
        .state_filter(|fleet| {
            fleet.metadata.namespace == *namespace
                && secret_refs(&fleet.spec).iter().any(|r| r.secret == name)
        })
        .iter()
        .map(|fleet| ObjectRef::from_obj(&**fleet))
        .collect()
}

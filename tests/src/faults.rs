//! What goes wrong on purpose, and how it is put right again.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt};

use crate::{Cluster, OPERATOR_NAMESPACE, Until};

/// Name of the Lease that the acting operator holds.
const LEASE: &str = "socketfleet-operator";

/// Whether processes and machines can be reached: only those of the local cluster can.
pub fn has_machines() -> bool {
    std::env::var("CLUSTER").map_or(true, |cluster| cluster == "local")
}

/// What is done to the process of a pod's only container.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// It stands still.
    Pause,
    /// It goes on.
    Resume,
}

impl Cluster {
    /// Does this to a pod's process, behind the back of kubelet and API server.
    pub fn strike(&self, pod: &Pod, blow: Blow) -> Result<()> {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).context("a pod on a node")?;
        let containers = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
        let ids: Vec<&str> =
            containers.filter_map(|c| c.container_id.as_deref()?.rsplit('/').next()).collect();
        let [id] = ids[..] else { bail!("{} has {} containers", pod.name_any(), ids.len()) };
        let verb = match blow {
            Blow::Kill => &["kill", "--signal", "SIGKILL"][..],
            Blow::Pause => &["pause"],
            Blow::Resume => &["resume"],
        };
        self.script(&[&["exec", node, "ctr", "-n", "k8s.io", "tasks"], verb, &[id]].concat()).map(drop)
    }
}

/// The operator that acts. `not` names one that did and is gone: its Lease outlives it.
pub async fn leader(client: &Client, not: Option<&str>) -> Pod {
    let leases: Api<Lease> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    // The pod's name, and what tells its processes apart.
    let holder = |lease: &Lease| {
        let identity = lease.spec.as_ref()?.holder_identity.as_deref()?;
        identity.split('_').next().map(str::to_owned)
    };
    let lease = leases
        .until(LEASE, "a holder", |lease| {
            holder(lease).is_some_and(|holder| !holder.is_empty() && Some(&*holder) != not)
        })
        .await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    pods.get(&holder(&lease).expect("it has one")).await.expect("the holder of the Lease exists")
}

/// Ends an operator without a warning: by SIGKILL where that is possible. Its pod goes too, so that the next one does
/// not wait for the kubelet to try again.
pub async fn kill_operator(cluster: &Cluster, client: &Client, operator: &Pod) {
    if has_machines() {
        cluster.strike(operator, Blow::Kill).unwrap_or_else(|e| panic!("{e:#}"));
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let now = DeleteParams::default().grace_period(0);
    pods.delete(&operator.name_any(), &now).await.expect("the operator's pod can be deleted");
}

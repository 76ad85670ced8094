//! Leader election by a Lease: of several operators one acts, the others stand by with their caches warm.
//!
//! The rules are those of client-go: a holder that has not renewed for `renewDeadline` stops by itself before the others
//! may take over after `leaseDuration`; times are those of the own clock since a change was seen, so clocks need not
//! agree; every write is conditional on the version that was read. Own code, because kube-lease-manager 0.13 goes on
//! leading while the API server cannot be reached, and lets a released lease lie until it would have expired.
//!
//! Rights: `get`, `create` and `update` on Leases in the operator's namespace.

mod decide;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use decide::{Seen, Step, decide};

/// Time after which the others may take a lease that was not renewed.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// Time after which a holder that could not renew stops.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two looks at the lease.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Seen,
    /// When this operator last renewed; set while it leads.
    renewed: Option<Instant>,
}

impl Elector {
    /// For the lease of this name; `identity` tells the operators apart.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            // A pod that restarts in place must not take itself for the leader that it was.
            identity: format!("{identity}_{}", Timestamp::now().as_microsecond()),
            seen: Seen::default(),
            renewed: None,
        }
    }

    /// Says whether this operator leads, until it is told to stop; then the lease is released, once `idle` says that
    /// nothing is done any more.
    pub async fn run(mut self, leads: watch::Sender<bool>, stop: CancellationToken, idle: CancellationToken) {
        while !stop.is_cancelled() {
            self.look().await;
            // What was not renewed in time is lost, whatever the API server would say if it answered.
            let leading = self.renewed.is_some_and(|at| at.elapsed() < RENEW_DEADLINE);
            if leads.send_if_modified(|before| std::mem::replace(before, leading) != leading) {
                tracing::info!(identity = self.identity, leading, "leadership changed");
            }
            if !leading {
                self.renewed = None;
            }
            stop.run_until_cancelled(sleep(RETRY_PERIOD)).await;
        }
        // The fleets that are being looked at are finished first: nobody else may begin before.
        while timeout(RETRY_PERIOD, idle.cancelled()).await.is_err() && self.renewed.is_some() {
            self.look().await;
            self.renewed = self.renewed.filter(|at| at.elapsed() < RENEW_DEADLINE);
        }
        if self.renewed.is_some() {
            self.release().await;
        }
    }

    /// Looks at the lease, and renews or takes it where that is due.
    async fn look(&mut self) {
        let patience = self.renewed.map_or(RENEW_DEADLINE, |at| RENEW_DEADLINE.saturating_sub(at.elapsed()));
        match timeout(patience, self.step()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "cannot look at the lease"),
            Err(_) => tracing::warn!(lease = self.name, "the API server does not answer about the lease"),
        }
    }

    async fn step(&mut self) -> Result<(), kube::Error> {
        let found = self.api.get_opt(&self.name).await?;
        let now = Instant::now();
        let lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.clone().unwrap_or_default();
        self.seen.look(&spec, now);
        match decide(&spec, &self.seen, &self.identity, now) {
            Step::Wait => {
                self.renewed = None;
                Ok(())
            }
            Step::Hold(next) => self.write(lease, next, now).await,
        }
    }

    async fn write(&mut self, lease: Lease, spec: LeaseSpec, now: Instant) -> Result<(), kube::Error> {
        let lease = Lease { spec: Some(spec), ..lease };
        let params = PostParams {
            field_manager: Some(crate::fleet::names::FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let written = match lease.metadata.resource_version {
            Some(_) => self.api.replace(&self.name, &params, &lease).await,
            None => self.api.create(&params, &lease).await,
        };
        match written {
            Ok(lease) => {
                self.seen.look(&lease.spec.unwrap_or_default(), now);
                // Counted from before the write: the others count from when they see it.
                self.renewed = Some(now);
                Ok(())
            }
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.renewed = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the others have it at once.
    async fn release(&mut self) {
        let release = async {
            let mut lease = self.api.get(&self.name).await?;
            if lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == Some(&self.identity) {
                let spec = lease.spec.get_or_insert_default();
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(RETRY_PERIOD, release).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "cannot release the lease"),
            Err(_) => {
                tracing::warn!(lease = self.name, "the API server does not answer: the lease will expire")
            }
        }
    }
}

//! The steps, from an empty namespace to a fleet that has grown, rolled over and shrunk.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use kube::Client;
use serde_json::json;
use socketfleet_plot::thousands;
use socketfleet_tests::{ClientOptions, Clients, Cluster, Stats, repository};
use tokio::sync::Mutex;
use tokio::time::{Instant, interval};

use crate::record::{Record, Sample, Sampler};
use crate::screen::Screen;

const NAMESPACE: &str = "demo";
const FLEET: &str = "chat";
/// Tag under which the server's image is rolled out a second time.
pub const NEW_TAG: &str = "dev2";
const SOCKETS: u64 = 3000;
const SOCKETS_AT_NIGHT: u64 = 600;
const ROOM_SIZE: u64 = 8;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

pub struct Story {
    pub cluster: Arc<Cluster>,
    pub client: Client,
    pub screen: Arc<Mutex<Screen>>,
    pub record: Arc<Mutex<Record>>,
}

/// What the report sums up.
pub struct Outcome {
    /// What the clients counted in all, after everything sent had been awaited.
    pub clients: Stats,
    /// Reconnects per client in the rollout.
    pub reconnects_per_rollout: f64,
    /// Seconds from `kubectl apply` to Ready.
    pub seconds_to_ready: f64,
}

impl Outcome {
    /// Whether no message was lost or doubled, and no session either.
    pub fn is_clean(&self) -> bool {
        let Stats { lost, doubled, failed, unrecovered, outstanding, .. } = &self.clients;
        (lost, doubled, failed, unrecovered) == (&0, &0, &0, &0) && *outstanding == Default::default()
    }
}

impl Story {
    pub async fn tell(&self) -> Result<Outcome> {
        let sampler = Sampler::new(&self.client, NAMESPACE, FLEET);

        self.step("Apply", "kubectl apply -f config/samples/chat.yaml: a fleet of 2 to 8 pods (10 s)").await;
        let applied = Instant::now();
        self.apply().await?;
        self.until(&sampler, None, 120, |s| s.phase == "Running" && s.ready >= 2).await?;
        let seconds_to_ready = applied.elapsed().as_secs_f64();
        self.screen.lock().await.say(&format!("   Ready after {seconds_to_ready:.0} s"));

        let rooms = SOCKETS / ROOM_SIZE;
        self.step(
            "Scale out",
            &format!(
                "{} clients in {rooms} rooms arrive: the fleet grows from 2 pods to 6 (90 s)",
                thousands(SOCKETS)
            ),
        )
        .await;
        let options = ClientOptions {
            sockets: SOCKETS,
            room_size: ROOM_SIZE,
            rate: 0.05,
            open_rate: 60.0,
            ..Default::default()
        };
        let clients = Clients::start(&self.client, NAMESPACE, FLEET, &options).await;
        let grown = |s: &Sample| s.clients.joined == SOCKETS && s.ready == s.desired && s.desired >= 6;
        self.until(&sampler, Some(&clients), 300, grown).await?;
        self.for_seconds(&sampler, &clients, 15).await;

        self.step(
            "Roll out",
            "A new image: new sockets go to new pods only, the old ones drain at 200 sockets/s (2 min)",
        )
        .await;
        clients.mark().await;
        let old = self.sample(&sampler, Some(&clients)).await.revision;
        self.patch(&json!({ "server": { "image": format!("localhost/socket-server:{NEW_TAG}") } })).await?;
        self.until(&sampler, Some(&clients), 400, |s| {
            s.revision != old
                && s.pods.iter().all(|p| p.revision == s.revision)
                && s.clients.joined == SOCKETS
        })
        .await?;
        let reconnects_per_rollout = clients.stats().await.reconnects_each();
        self.for_seconds(&sampler, &clients, 10).await;

        self.step(
            "Scale in",
            &format!(
                "All but {SOCKETS_AT_NIGHT} clients leave: pods drain one by one until 2 are left (3 min)"
            ),
        )
        .await;
        clients.want_sockets(SOCKETS_AT_NIGHT).await;
        self.until(&sampler, Some(&clients), 600, |s| {
            s.clients.sockets == SOCKETS_AT_NIGHT
                && s.desired == 2
                && s.pods.len() == 2
                && s.clients.joined == SOCKETS_AT_NIGHT
        })
        .await?;

        self.step("Count", "The clients fall silent, and wait for everything that was ever sent").await;
        let clients = clients.settle().await;
        Ok(Outcome { clients, reconnects_per_rollout, seconds_to_ready })
    }

    async fn apply(&self) -> Result<()> {
        let cluster = self.cluster.clone();
        let sample = repository().join("config/samples/chat.yaml");
        tokio::task::spawn_blocking(move || {
            // Of an earlier run: begin anew.
            cluster.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"])?;
            cluster.kubectl(&["create", "namespace", NAMESPACE])?;
            cluster.kubectl(&["apply", "--namespace", NAMESPACE, "--filename", &sample.to_string_lossy()])
        })
        .await??;
        Ok(())
    }

    async fn patch(&self, spec: &serde_json::Value) -> Result<()> {
        let (cluster, patch) = (self.cluster.clone(), json!({ "spec": spec }).to_string());
        let patched = tokio::task::spawn_blocking(move || {
            cluster.kubectl(&[
                "patch",
                "socketfleet",
                FLEET,
                "--namespace",
                NAMESPACE,
                "--type=merge",
                "--patch",
                &patch,
            ])
        });
        patched.await?.map(drop)
    }

    async fn step(&self, name: &str, text: &str) {
        self.record.lock().await.step(name);
        self.screen.lock().await.step(text);
    }

    /// Samples until `condition` holds.
    async fn until(
        &self,
        sampler: &Sampler,
        clients: Option<&Clients>,
        limit_seconds: u64,
        condition: impl Fn(&Sample) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(limit_seconds);
        let mut ticks = interval(SAMPLE_EVERY);
        loop {
            ticks.tick().await;
            let sample = self.sample(sampler, clients).await;
            if condition(&sample) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "this step did not end within {limit_seconds} s; `kubectl socketfleet explain {FLEET} -n {NAMESPACE}` and the operator's log tell why"
                );
            }
        }
    }

    async fn for_seconds(&self, sampler: &Sampler, clients: &Clients, seconds: usize) {
        let mut ticks = interval(SAMPLE_EVERY);
        for _ in 0..seconds {
            ticks.tick().await;
            self.sample(sampler, Some(clients)).await;
        }
    }

    async fn sample(&self, sampler: &Sampler, clients: Option<&Clients>) -> Sample {
        let at = self.record.lock().await.seconds();
        let sample = sampler.sample(at, clients).await;
        let mut record = self.record.lock().await;
        record.samples.push(sample.clone());
        self.screen.lock().await.show(&sample, record.last_change().as_ref());
        sample
    }
}

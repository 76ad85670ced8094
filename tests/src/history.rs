//! What became of the pods of a fleet while a test ran.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use socketfleet_api::contract::{PodDrainPhase, labels};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::until::LIMIT;

/// Watches pods from its start on.
pub struct History {
    seen: watch::Receiver<Seen>,
    _watch: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    there: BTreeMap<String, Pod>,
    /// Pods that a list has named so far, while it goes on.
    listed: BTreeMap<String, Pod>,
    deleted: Vec<Pod>,
    /// Phases of drains by the pod's name, in the order in which they were seen.
    phases: BTreeMap<String, Vec<PodDrainPhase>>,
}

impl History {
    /// Of the pods that the label selector matches.
    pub fn of(pods: Api<Pod>, labels: &str) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let mut events = watcher(pods, watcher::Config::default().labels(labels)).default_backoff().boxed();
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            while let Some(event) = events.next().await {
                if let Ok(event) = event {
                    sender.send_modify(|seen| seen.take(event));
                }
            }
        });
        Self { seen, _watch: watch }
    }

    /// The pods that are gone, as they were last seen.
    pub fn deleted(&self) -> Vec<Pod> {
        self.seen.borrow().deleted.clone()
    }

    /// Names of the pods that are gone.
    pub fn gone(&self) -> Vec<String> {
        self.seen.borrow().deleted.iter().map(ResourceExt::name_any).collect()
    }

    /// Waits until a pod is gone, and gives it as it was last seen.
    pub async fn until_deleted(&self, pod: &str) -> Pod {
        self.until(
            |seen| seen.deleted.iter().any(|gone| gone.name_any() == pod),
            || format!("{pod} did not go; gone are {:?}", self.gone()),
        )
        .await;
        self.deleted().into_iter().find(|gone| gone.name_any() == pod).expect("it is gone")
    }

    /// Waits until a pod's drain has come to a phase, or passed it.
    pub async fn until_phase(&self, pod: &str, phase: PodDrainPhase) {
        let reached = |phases: &Vec<PodDrainPhase>| phases.last().is_some_and(|last| *last >= phase);
        self.until(
            |seen| seen.phases.get(pod).is_some_and(reached),
            || format!("{pod} did not become {phase:?}: {:?}", self.phases(pod)),
        )
        .await;
    }

    /// The phases that a pod's drains went through.
    pub fn phases(&self, pod: &str) -> Vec<PodDrainPhase> {
        self.seen.borrow().phases.get(pod).cloned().unwrap_or_default()
    }

    async fn until(&self, condition: impl FnMut(&Seen) -> bool, otherwise: impl Fn() -> String) {
        let mut seen = self.seen.clone();
        // Not `expect`: nothing is borrowed while the words are found.
        let came = matches!(tokio::time::timeout(LIMIT, seen.wait_for(condition)).await, Ok(Ok(_)));
        assert!(came, "{}", otherwise());
    }
}

impl Seen {
    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.note(&pod);
                self.listed.insert(pod.uid().unwrap_or_default(), pod);
            }
            // What went while nobody looked is gone too.
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let before = std::mem::replace(&mut self.there, listed);
                self.deleted
                    .extend(before.into_iter().filter(|(uid, _)| !self.there.contains_key(uid)).map(|p| p.1));
            }
            Event::Apply(pod) => {
                self.note(&pod);
                self.there.insert(pod.uid().unwrap_or_default(), pod);
            }
            Event::Delete(pod) => {
                self.there.remove(&pod.uid().unwrap_or_default());
                self.deleted.push(pod);
            }
        }
    }

    fn note(&mut self, pod: &Pod) {
        let Some(phase) = pod.annotations().get(labels::DRAIN_PHASE).and_then(|p| PodDrainPhase::parse(p))
        else {
            return;
        };
        let phases = self.phases.entry(pod.name_any()).or_default();
        if phases.last() != Some(&phase) {
            phases.push(phase);
        }
    }
}

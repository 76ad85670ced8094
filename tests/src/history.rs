//! What became of the pods of a fleet while a test ran.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::task::JoinSet;

/// Watches pods from its start on.
pub struct History {
    deleted: Arc<Mutex<Vec<Pod>>>,
    _watch: JoinSet<()>,
}

impl History {
    /// Of the pods that the label selector matches.
    pub fn of(pods: Api<Pod>, labels: &str) -> Self {
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let seen = deleted.clone();
        let events = watcher(pods, watcher::Config::default().labels(labels)).default_backoff();
        let mut watch = JoinSet::new();
        watch.spawn(events.for_each(move |event| {
            if let Ok(Event::Delete(pod)) = event {
                seen.lock().expect("no one panics with it").push(pod);
            }
            async {}
        }));
        Self { deleted, _watch: watch }
    }

    /// The pods that are gone, as they were last seen.
    pub fn deleted(&self) -> Vec<Pod> {
        self.deleted.lock().expect("no one panics with it").clone()
    }
}

//! Waiting for what the API server says, by watching it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::watcher::{self, Event, watch_object, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest wait for anything. It only ends tests that would never end: nothing asserts on time.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// Waits on the objects of one kind.
pub trait Until<K> {
    /// Waits until the object satisfies `condition`, and gives it.
    fn until(&self, name: &str, what: &str, condition: impl Fn(&K) -> bool) -> impl Future<Output = K>;
    /// Waits until the object is gone.
    fn until_gone(&self, name: &str) -> impl Future<Output = ()>;
    /// Waits until the objects that the label selector matches satisfy `condition`, and gives them by name.
    fn until_all(
        &self,
        labels: &str,
        what: &str,
        condition: impl Fn(&[K]) -> bool,
    ) -> impl Future<Output = Vec<K>>;
}

impl<K> Until<K> for Api<K>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug + Send + 'static,
{
    async fn until(&self, name: &str, what: &str, condition: impl Fn(&K) -> bool) -> K {
        let mut seen = None;
        let wait = async {
            let mut objects = pin!(watch_object(self.clone(), name));
            loop {
                match objects.try_next().await {
                    Ok(object) => seen = object.flatten(),
                    Err(error) => eprintln!("watching {name}: {error}"),
                }
                if let Some(object) = seen.as_ref().filter(|o| condition(o)) {
                    return object.clone();
                }
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(object) => object,
            Err(_) => panic!("{name} did not get {what}; last seen:\n{}", yaml(&seen)),
        }
    }

    async fn until_gone(&self, name: &str) {
        let wait = async {
            let mut objects = pin!(watch_object(self.clone(), name));
            while !matches!(objects.try_next().await, Ok(Some(None))) {}
        };
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            panic!("{name} did not go away; last seen:\n{}", yaml(&self.get_opt(name).await.ok()));
        }
    }

    async fn until_all(&self, labels: &str, what: &str, condition: impl Fn(&[K]) -> bool) -> Vec<K> {
        let mut objects = BTreeMap::new();
        let wait = async {
            let mut events = pin!(watcher(self.clone(), watcher::Config::default().labels(labels)));
            loop {
                match events.try_next().await {
                    Ok(Some(Event::Apply(o) | Event::InitApply(o))) => {
                        objects.insert(o.name_any(), o);
                    }
                    Ok(Some(Event::Delete(o))) => {
                        objects.remove(&o.name_any());
                    }
                    Ok(Some(Event::Init)) => objects.clear(),
                    Ok(Some(Event::InitDone) | None) => {}
                    Err(error) => eprintln!("watching {labels}: {error}"),
                }
                let all: Vec<K> = objects.values().cloned().collect();
                if condition(&all) {
                    return all;
                }
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(all) => all,
            Err(_) => panic!(
                "{labels} did not get {what}; last seen:\n{}",
                yaml(&objects.values().collect::<Vec<_>>())
            ),
        }
    }
}

/// How often is read what cannot be watched.
const READ_EVERY: Duration = Duration::from_millis(250);

/// Reads again and again until what is read satisfies `condition`, and gives it: for what cannot be watched.
pub async fn until_read<T: Debug>(
    what: &str,
    read: impl AsyncFn() -> T,
    condition: impl Fn(&T) -> bool,
) -> T {
    let mut seen = None;
    let wait = async {
        let mut ticks = tokio::time::interval(READ_EVERY);
        loop {
            ticks.tick().await;
            let read = seen.insert(read().await);
            if condition(read) {
                return;
            }
        }
    };
    let done = tokio::time::timeout(LIMIT, wait).await;
    match (done, seen) {
        (Ok(()), Some(seen)) => seen,
        (_, seen) => panic!("waited for {what} in vain; last seen: {seen:#?}"),
    }
}

fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|error| error.to_string())
}

/// Whether a pod is Ready and not about to be deleted.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.clone().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether the condition of this type has this status.
pub fn condition_is(conditions: &[Condition], type_: &str, status: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == status)
}

use std::fmt::Debug;
use std::hash::Hash;

use futures::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{Lookup, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use socketfleet_api::SocketFleet;

use super::FleetRef;
use crate::triggers::Triggers;

/// A watch that fills a store and names the fleets that an event concerns.
pub(super) struct Watch<K, Fleets>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    /// Where objects are kept.
    pub writer: Writer<K>,
    /// For logs.
    pub kind: &'static str,
    /// Drops what is never looked at.
    pub trim: fn(&mut K),
    /// Whether nobody has to look at a change.
    pub same: fn(&K, &K) -> bool,
    /// The fleets that an object concerns.
    pub fleets_of: Fleets,
    /// The fleets of the scope: all are looked at after a new list, which does not say what has gone.
    pub all_fleets: Store<SocketFleet>,
    /// Who is told.
    pub triggers: Triggers,
}

impl<K, Fleets> Watch<K, Fleets>
where
    K: Lookup + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
    Fleets: Fn(&K) -> Vec<FleetRef> + Send,
{
    /// Watches until the task is aborted.
    pub async fn run<S>(mut self, dyntype: K::DynamicType, events: S, mut tap: impl FnMut(&Event<K>) + Send)
    where
        S: Stream<Item = watcher::Result<Event<K>>> + Send,
    {
        let store = self.writer.as_reader();
        let mut events = std::pin::pin!(events.default_backoff());
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event.modify(self.trim),
                Err(error) => {
                    tracing::warn!(kind = self.kind, %error, "watch broke: it is begun again");
                    continue;
                }
            };
            tap(&event);
            let unchanged = matches!(&event, Event::Apply(new)
                if store.get(&new.to_object_ref(dyntype.clone())).is_some_and(|old| (self.same)(&old, new)));
            self.writer.apply_watcher_event(&event);
            match &event {
                Event::Apply(object) | Event::Delete(object) if !unchanged => {
                    (self.fleets_of)(object).into_iter().for_each(|fleet| self.triggers.fleet(fleet));
                }
                Event::InitDone => {
                    tracing::debug!(kind = self.kind, objects = store.len(), "listed");
                    for fleet in self.all_fleets.state() {
                        self.triggers.fleet(FleetRef::from_obj(&*fleet));
                    }
                }
                Event::Apply(_) | Event::Delete(_) | Event::Init | Event::InitApply(_) => {}
            }
        }
    }
}

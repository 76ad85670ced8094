//! Which objects bear which fleet's label: a look at one fleet reads its objects, not those of all fleets.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use kube::runtime::watcher::Event;
use parking_lot::RwLock;

use super::FleetRef;

/// Names of objects, by fleet.
pub(super) type Names = HashMap<FleetRef, BTreeSet<String>>;

/// A store whose objects are found by their fleet.
pub(super) struct ByFleet<K>
where
    K: Lookup + 'static,
    K::DynamicType: Eq + Hash,
{
    store: Store<K>,
    dyntype: K::DynamicType,
    fleet_of: fn(&K) -> Option<FleetRef>,
    /// Objects lie in the namespace of their fleet: names are enough.
    names: Arc<RwLock<Names>>,
}

// By hand: no K is cloned with it.
impl<K> Clone for ByFleet<K>
where
    K: Lookup + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn clone(&self) -> Self {
        let Self { store, dyntype, fleet_of, names } = self;
        Self { store: store.clone(), dyntype: dyntype.clone(), fleet_of: *fleet_of, names: names.clone() }
    }
}

impl<K> ByFleet<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    /// Of a store's objects, each with the fleet that `fleet_of` says.
    pub fn new(store: Store<K>, dyntype: K::DynamicType, fleet_of: fn(&K) -> Option<FleetRef>) -> Self {
        Self { store, dyntype, fleet_of, names: Arc::default() }
    }

    /// The store itself.
    pub fn store(&self) -> &Store<K> {
        &self.store
    }

    /// The objects of a fleet.
    pub fn of_fleet(&self, namespace: &str, fleet: &str) -> Vec<Arc<K>> {
        let names = self.names.read();
        let Some(names) = names.get(&FleetRef::new(fleet).within(namespace)) else { return Vec::new() };
        let object = |name: &String| {
            self.store.get(&ObjectRef::new_with(name, self.dyntype.clone()).within(namespace))
        };
        names.iter().filter_map(object).collect()
    }

    /// Takes in an event of the store's watch, before the store takes it; `listed` is what a new list has shown so far.
    pub fn follow(&self, listed: &mut Names, event: &Event<K>) {
        match event {
            Event::Apply(object) => {
                let mut names = self.names.write();
                let old = self.store.get(&object.to_object_ref(self.dyntype.clone()));
                if let Some(old) = old.filter(|old| (self.fleet_of)(old) != (self.fleet_of)(object)) {
                    self.remove(&mut names, &old);
                }
                self.insert(&mut names, object);
            }
            Event::Delete(object) => self.remove(&mut self.names.write(), object),
            Event::Init => listed.clear(),
            Event::InitApply(object) => self.insert(listed, object),
            Event::InitDone => *self.names.write() = std::mem::take(listed),
        }
    }

    fn insert(&self, names: &mut Names, object: &K) {
        if let (Some(fleet), Some(name)) = ((self.fleet_of)(object), object.name()) {
            names.entry(fleet).or_default().insert(name.into_owned());
        }
    }

    fn remove(&self, names: &mut Names, object: &K) {
        let (Some(fleet), Some(name)) = ((self.fleet_of)(object), object.name()) else { return };
        if let Some(of_fleet) = names.get_mut(&fleet) {
            of_fleet.remove(&*name);
            if of_fleet.is_empty() {
                names.remove(&fleet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt;
    use kube::runtime::reflector::store::Writer;
    use serde_json::json;
    use socketfleet_api::contract::labels;

    use super::*;
    use crate::cache::fleet_of;

    fn pod(name: &str, fleet: &str) -> Pod {
        let metadata = json!({"name": name, "namespace": "ns", "labels": {labels::FLEET: fleet}});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn objects_are_found_by_their_fleet_through_every_event() {
        let mut writer = Writer::<Pod>::default();
        let index = ByFleet::new(writer.as_reader(), (), fleet_of);
        let mut listed = Names::default();
        let mut event = |event: Event<Pod>| {
            index.follow(&mut listed, &event);
            writer.apply_watcher_event(&event);
        };
        let of = |namespace: &str, fleet: &str| -> Vec<String> {
            index.of_fleet(namespace, fleet).iter().map(|pod| pod.name_any()).collect()
        };
        event(Event::Init);
        event(Event::InitApply(pod("a", "chat")));
        event(Event::InitApply(pod("b", "other")));
        event(Event::InitDone);
        assert_eq!(of("ns", "chat"), ["a"]);
        assert_eq!(of("elsewhere", "chat"), [""; 0]);

        event(Event::Apply(pod("c", "chat")));
        assert_eq!(of("ns", "chat"), ["a", "c"]);
        event(Event::Apply(pod("a", "other")));
        assert_eq!(of("ns", "chat"), ["c"]);
        assert_eq!(of("ns", "other"), ["a", "b"]);
        event(Event::Delete(pod("c", "chat")));
        assert_eq!(of("ns", "chat"), [""; 0]);
        assert_eq!(index.names.read().len(), 1);

        // A new list says what is there; until it is whole, the old one holds.
        event(Event::Init);
        event(Event::InitApply(pod("d", "chat")));
        assert_eq!(of("ns", "other"), ["a", "b"]);
        event(Event::InitDone);
        assert_eq!(of("ns", "other"), [""; 0]);
        assert_eq!(of("ns", "chat"), ["d"]);
    }
}

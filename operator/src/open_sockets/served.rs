//! The number that the autoscaler gets for a fleet. Pure.
//!
//! The HorizontalPodAutoscaler wants ceil(number / target) pods. While the count is in doubt the number is
//! at least what keeps the fleet at its size, and never less than the number served before: a fleet whose
//! pods cannot be counted may grow and does not shrink. A pod that does not answer counts with what it said
//! last, so sockets that are surely there still make the fleet grow.

use std::collections::HashMap;

use socketfleet_api::SocketFleet;

use super::{FleetRef, Totals};

/// What the autoscaler divides by, and how many pods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Open sockets for each pod that are aimed at.
    pub target: u64,
    /// Pods that are wanted or there, whichever is more.
    pub replicas: u64,
}

impl Size {
    /// The size of this fleet.
    pub fn of(fleet: &SocketFleet) -> Self {
        let there = fleet.status.as_ref().map_or(0, |status| status.replicas);
        Self {
            target: u64_or_zero(fleet.spec.target_open_sockets()),
            replicas: u64_or_zero(there.max(fleet.spec.replicas)),
        }
    }
}

fn u64_or_zero(value: i32) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The number to serve, given the one `before`.
pub fn served(totals: &Totals, size: Size, before: Option<u64>) -> u64 {
    match totals.doubt {
        None => totals.open,
        Some(_) => totals.open.max(size.target.saturating_mul(size.replicas)).max(before.unwrap_or(0)),
    }
}

/// The numbers that were served last, by fleet.
#[derive(Debug, Default)]
pub struct Served(HashMap<FleetRef, u64>);

impl Served {
    /// The number to serve now; it is remembered.
    pub fn next(&mut self, fleet: FleetRef, totals: &Totals, size: Size) -> u64 {
        let value = served(totals, size, self.0.get(&fleet).copied());
        self.0.insert(fleet, value);
        value
    }

    /// Forgets fleets that no longer exist.
    pub fn retain(&mut self, exists: impl Fn(&FleetRef) -> bool) {
        self.0.retain(|fleet, _| exists(fleet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_sockets::Doubt;
    use socketfleet_api::fleet::SocketFleetSpec;

    const SIZE: Size = Size { target: 100, replicas: 4 };

    fn sure(open: u64) -> Totals {
        Totals { open, ..Totals::default() }
    }

    fn doubtful(open: u64) -> Totals {
        let doubt = Doubt { unlisted: false, pods: vec![("chat-1".into(), None)], prometheus: None };
        Totals { doubt: Some(doubt), ..sure(open) }
    }

    #[test]
    fn a_sure_count_is_served_as_it_is() {
        assert_eq!(served(&sure(10), SIZE, Some(900)), 10);
    }

    #[test]
    fn in_doubt_the_fleet_keeps_its_size() {
        assert_eq!(served(&doubtful(10), SIZE, None), 400);
    }

    #[test]
    fn in_doubt_the_fleet_may_still_grow() {
        assert_eq!(served(&doubtful(650), SIZE, Some(420)), 650);
    }

    #[test]
    fn in_doubt_the_number_never_falls() {
        let (mut memory, fleet) = (Served::default(), FleetRef::new("chat").within("default"));
        let opens = [500, 700, 650, 0, 300, 720];
        let served: Vec<u64> =
            opens.iter().map(|&open| memory.next(fleet.clone(), &doubtful(open), SIZE)).collect();
        assert_eq!(served, [500, 700, 700, 700, 700, 720]);
        assert_eq!(memory.next(fleet, &sure(30), SIZE), 30);
    }

    #[test]
    fn a_fleet_that_is_growing_keeps_what_is_wanted_and_not_only_what_is_there() {
        let mut fleet =
            SocketFleet::new("chat", SocketFleetSpec { replicas: 9, ..SocketFleetSpec::default() });
        fleet.status = Some(socketfleet_api::SocketFleetStatus { replicas: 5, ..Default::default() });
        assert_eq!(Size::of(&fleet), Size { target: 8_000, replicas: 9 });
    }
}

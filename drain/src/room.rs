//! Room for sockets: where new ones go, and whether the others can take a victim's.

use socketfleet_api::contract::Traffic;

use super::Hold;
use super::census::{Census, View};

/// A full pod takes new sockets again below this share of its capacity.
const REOPEN: f64 = 0.9;
/// Pods that have to go are closed to new sockets while the others are used less than this…
const CLOSE_DOOMED: f64 = 0.8;
/// …and opened again when the others are used more than this.
const REOPEN_DOOMED: f64 = 0.95;

/// Free places on the pods that stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Places of the pods that take new sockets and stay.
    pub capacity: u64,
    /// Of these, free ones.
    pub free: u64,
    /// Sockets that leave their pods now and will need a place.
    pub committed: u64,
}

impl Room {
    pub fn of(census: &Census<'_>) -> Self {
        let mut room = Self { capacity: 0, free: 0, committed: census.committed() };
        for view in census.receivers() {
            room.capacity += view.pod.sockets.map_or(0, |s| s.capacity);
            room.free += view.free();
        }
        room
    }

    /// Whether a pod with this many sockets may begin to drain.
    pub fn admit(&self, pod: &str, sockets: u64, headroom: f64) -> Result<(), Hold> {
        let needed = (sockets as f64 * headroom).ceil() as u64;
        let free = self.free.saturating_sub(self.committed);
        if sockets == 0 || free >= needed {
            Ok(())
        } else {
            Err(Hold::NoRoom { pod: pod.to_owned(), sockets, free, needed })
        }
    }

    /// The room that is left when this pod leaves: its own places do not count.
    pub fn without(mut self, view: &View<'_>) -> Self {
        if view.doom.is_none() && view.works() {
            self.capacity -= view.pod.sockets.map_or(0, |s| s.capacity);
            self.free -= view.free();
        }
        self
    }

    /// A pod leaves: its sockets will need a place.
    pub fn release(&mut self, view: &View<'_>) {
        *self = self.without(view);
        self.committed += view.held.unwrap_or(0);
    }

    /// Share of the capacity that is used.
    fn utilization(&self) -> f64 {
        if self.capacity == 0 { 1.0 } else { 1.0 - self.free as f64 / self.capacity as f64 }
    }
}

/// The traffic label of each pod that is neither over nor on its way out by somebody else's hand.
///
/// Pods that have to go get no new sockets while the others have room, so that a client moves once. A full
/// pod gets none either, but it stays Ready. When all are full all stay open: their servers refuse by the
/// protocol, which tells clients more than a Service without endpoints.
pub(super) fn traffic(census: &Census<'_>, room: &Room) -> Vec<Traffic> {
    let was_closed = |v: &View<'_>| v.pod.marks.traffic == Some(Traffic::Drain);
    let doomed_closed = census.pool().any(|v| v.doom.is_some() && was_closed(v));
    let limit = if doomed_closed { REOPEN_DOOMED } else { CLOSE_DOOMED };
    let close_doomed = room.utilization() < limit;

    let mut labels: Vec<_> = census.views.iter().map(|view| label(view, close_doomed)).collect();
    let takes_sockets =
        |(view, label): (&View<'_>, &Traffic)| *label == Traffic::Accept && view.serves() && view.pod.ready;
    if !census.views.iter().zip(&labels).any(takes_sockets) {
        for label in labels.iter_mut().filter(|l| **l == Traffic::Saturated) {
            *label = Traffic::Accept;
        }
    }
    labels
}

fn label(view: &View<'_>, close_doomed: bool) -> Traffic {
    // A server that was taken back says so before it is sent sockets again.
    if view.leaving() || view.drains() || (view.doom.is_some() && close_doomed) {
        return Traffic::Drain;
    }
    match view.pod.sockets {
        Some(s) if s.open >= s.capacity => Traffic::Saturated,
        Some(s)
            if view.pod.marks.traffic == Some(Traffic::Saturated)
                && s.open as f64 >= s.capacity as f64 * REOPEN =>
        {
            Traffic::Saturated
        }
        // Unknown counts change nothing.
        None if view.pod.marks.traffic == Some(Traffic::Saturated) => Traffic::Saturated,
        _ => Traffic::Accept,
    }
}

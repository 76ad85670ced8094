//! Which fleets are to be looked at: from those who notice to the controller, while there is one.

use std::sync::{Arc, PoisonError, RwLock};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

use crate::cache::FleetRef;

/// Tells the controller of a scope which fleets to look at. While the operator stands by, nothing is kept: a controller
/// that starts looks at all of them.
#[derive(Clone, Default)]
pub struct Triggers(Arc<RwLock<Option<UnboundedSender<FleetRef>>>>);

impl Triggers {
    /// A fleet is worth a look.
    pub fn fleet(&self, fleet: FleetRef) {
        if let Some(sender) = &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            // The controller is ending: a later one looks at all.
            let _ = sender.unbounded_send(fleet);
        }
    }

    /// Begins to tell. The controller takes from the receiver at once and merges what is named more than once, so that it
    /// never holds more than what came in between two polls.
    pub fn connect(&self) -> UnboundedReceiver<FleetRef> {
        let (sender, receiver) = unbounded();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Ends: the receiver sees the end of the stream.
    pub fn disconnect(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

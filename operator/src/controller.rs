//! Turns triggers into looks at fleets: one at a time for each fleet, several fleets at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::runtime::controller::{Action, Config, Error, ReconcileRequest, applier};
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use socketfleet_api::SocketFleet;
use tokio::time::Instant;

use crate::cache::FleetRef;
use crate::context::Context;
use crate::fleet;
use crate::triggers::Triggers;

/// Least time between the starts of two looks at one fleet: a burst of events is one look, and the first event is acted
/// on at once. (The controller's own debounce would delay the first, and for ever while events go on.)
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Looks at all fleets of a scope, then at each that is named, until the triggers are disconnected; what has begun by then
/// is finished.
pub async fn run(ctx: Arc<Context>, triggers: Triggers, concurrency: u16) {
    ctx.cache.ready().await;
    let named = triggers.connect();
    let all: Vec<FleetRef> =
        ctx.cache.fleets.state().iter().map(|fleet| ObjectRef::from_obj(&**fleet)).collect();
    tracing::info!(fleets = all.len(), "looking at all fleets");
    let queue =
        stream::iter(all).chain(named).map(|fleet| Ok::<_, Infallible>(ReconcileRequest::from(fleet)));
    let looks: Arc<Mutex<HashMap<FleetRef, Instant>>> = Arc::default();
    let reconcile = |fleet: Arc<SocketFleet>, ctx: Arc<Context>| Box::pin(look(fleet, ctx, looks.clone()));
    let failed = |fleet: Arc<SocketFleet>, error: &fleet::Error, _| {
        let name = ObjectRef::from_obj(&*fleet);
        match error.is_conflict() {
            true => tracing::debug!(fleet = %name, %error, "looking again"),
            false => {
                tracing::warn!(fleet = %name, step = error.step(), %error, "cannot bring the fleet about")
            }
        }
        Action::requeue(fleet::after_failure(error))
    };
    let config = Config::default().concurrency(concurrency);
    let results = applier(reconcile, failed, ctx.clone(), ctx.cache.fleets.clone(), queue, config);
    results
        .for_each(|result| {
            match result {
                Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                Err(Error::ObjectNotFound(gone)) => {
                    looks.lock().remove(
                        &FleetRef::new(&gone.name).within(gone.namespace.as_deref().unwrap_or_default()),
                    );
                    ctx.forget(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
                }
                Err(error) => tracing::warn!(%error, "controller"),
            }
            std::future::ready(())
        })
        .await;
}

async fn look(
    fleet: Arc<SocketFleet>,
    ctx: Arc<Context>,
    looks: Arc<Mutex<HashMap<FleetRef, Instant>>>,
) -> Result<Action, fleet::Error> {
    let started = Instant::now();
    let name = ObjectRef::from_obj(&*fleet);
    let earliest = looks.lock().get(&name).map(|last| *last + BETWEEN_LOOKS);
    if let Some(earliest) = earliest
        && started < earliest
    {
        // Not slept away here: others would wait for the place.
        return Ok(Action::requeue(earliest - started));
    }
    looks.lock().insert(name, started);
    let result = fleet::reconcile(fleet, ctx.clone()).await;
    let failed = result.as_ref().err().filter(|error| !error.is_conflict());
    ctx.metrics.reconciled(started.elapsed(), failed.map(fleet::Error::step));
    result
}

//! The drain of this server: told from outside, carried out here at the pace.

mod bucket;
mod signals;
pub mod state;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use socketfleet_api::contract::{DrainPhase, DrainReport, DrainRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use signals::Signals;
use state::{Drain, Due, Ending, Pace, Plan};

/// Between two looks at what is due: a pace of hundreds a second is kept smooth.
const TICK: Duration = Duration::from_millis(25);

/// Clients that are closed at the same time are told to come back spread over so much for each of them …
const SPREAD_EACH: Duration = Duration::from_millis(5);
/// … but never later than this.
const SPREAD_MOST: Duration = Duration::from_secs(30);

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The rate is not a rate.
    #[error(
        "reconnectsPerSecond is {0}: give a number from 0, or leave it out to spread evenly until the deadline"
    )]
    Rate(f64),
    /// The drain cannot be taken back.
    #[error(transparent)]
    Ending(#[from] Ending),
}

/// The open connections, as a drain needs them.
pub trait Sockets: Send + Sync + 'static {
    /// How many are open, those that are being closed included.
    fn open(&self) -> u64;
    /// How many are open and have not been told to leave.
    fn untold(&self) -> u64;
    /// Whether new ones are accepted.
    fn set_accepting(&self, accepting: bool);
    /// Whether those who leave now go on elsewhere without a loss, as far as that is promised at all.
    fn recoverable(&self) -> bool;
    /// Tells at most `most` of them to come back, at instants spread over `spread`, and closes each one's
    /// transport once what waits for it has been sent. Returns how many were told.
    fn move_away(&self, most: u64, spread: Duration) -> u64;
}

/// Carries out the drain of some sockets.
pub struct Drainer<S> {
    sockets: S,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    drain: Drain,
    /// The plan's deadline as it was said: converting it back would let it tremble.
    deadline: u64,
    /// The pace is held: nobody who left would be recovered.
    held: bool,
}

impl<S: Sockets> Drainer<S> {
    /// A server that serves.
    pub fn new(sockets: S) -> Arc<Self> {
        Arc::new(Self { sockets, state: Mutex::default(), changed: Notify::new() })
    }

    /// Starts a drain, or changes the one that runs. From its return on no new socket is accepted.
    ///
    /// # Errors
    /// [`Refusal::Rate`].
    pub fn request(&self, request: &DrainRequest) -> Result<DrainReport, Refusal> {
        let &DrainRequest { deadline, reconnects_per_second, reason } = request;
        let pace = match reconnects_per_second {
            None => Pace::Even,
            Some(rate) if rate.is_finite() && rate >= 0.0 => Pace::PerSecond(rate),
            Some(rate) => return Err(Refusal::Rate(rate)),
        };
        let left = Duration::from_millis(deadline.saturating_sub(unix_millis()));
        self.change(|drain, now| {
            // A deadline beyond what an instant can hold is brought near by the machine all the same.
            let deadline = now.checked_add(left).unwrap_or(now + state::LONGEST);
            drain.request(now, Plan { deadline, pace, reason });
        });
        Ok(self.report())
    }

    /// Drains because the process is to end within `limit`.
    pub fn shut_down(&self, limit: Duration) {
        self.change(|drain, now| drain.shut_down(now, limit));
    }

    fn change(&self, change: impl FnOnce(&mut Drain, std::time::Instant)) {
        let now = Instant::now().into_std();
        let mut state = self.state.lock();
        let before = state.drain.plan();
        change(&mut state.drain, now);
        let after = state.drain.plan();
        match after {
            Some(plan) => {
                let left = plan.deadline.saturating_duration_since(now);
                state.deadline = unix_millis() + left.as_millis() as u64;
            }
            None => state.held = false,
        }
        self.sockets.set_accepting(after.is_none());
        drop(state);
        if before.map(|p| p.reason) != after.map(|p| p.reason) {
            let open = self.sockets.open();
            match after {
                Some(plan) => tracing::info!(reason = plan.reason.as_str(), open, "draining"),
                None => tracing::info!(open, "the drain was taken back"),
            }
        }
        self.changed.notify_one();
    }

    /// Takes the drain back; without one nothing happens.
    ///
    /// # Errors
    /// [`Refusal::Ending`] once the process was told to end.
    pub fn cancel(&self) -> Result<DrainReport, Refusal> {
        let mut done = Ok(());
        self.change(|drain, _| done = drain.cancel());
        done?;
        Ok(self.report())
    }

    /// How far it is.
    pub fn report(&self) -> DrainReport {
        let open = self.sockets.open();
        let State { drain, deadline, held: _ } = &*self.state.lock();
        let plan = drain.plan();
        DrainReport {
            phase: drain.phase(open),
            remaining: open,
            moved: drain.moved(),
            forced: drain.forced(),
            deadline: plan.map(|_| *deadline),
            reason: plan.map(|plan| plan.reason),
            reconnects_per_second: plan.and_then(|plan| match plan.pace {
                Pace::Even => None,
                Pace::PerSecond(rate) => Some(rate),
            }),
        }
    }

    /// How far it is, in one word.
    pub fn phase(&self) -> DrainPhase {
        self.state.lock().drain.phase(self.sockets.open())
    }

    /// Closes what is due for as long as it is polled.
    pub async fn run(&self) {
        loop {
            if self.phase() == DrainPhase::Serving {
                self.changed.notified().await;
            }
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut before = DrainPhase::Serving;
            loop {
                ticks.tick().await;
                self.tick();
                let phase = self.phase();
                if phase == DrainPhase::Drained && before != phase {
                    let DrainReport { moved, forced, .. } = self.report();
                    tracing::info!(moved, forced, "drained");
                }
                before = phase;
                if phase == DrainPhase::Serving {
                    break;
                }
            }
        }
    }

    fn tick(&self) {
        let now = Instant::now().into_std();
        let mut state = self.state.lock();
        let Due { sockets, forced } = state.drain.due(now, self.sockets.untold());
        if sockets == 0 {
            return;
        }
        // The bucket has no room for what would have left meanwhile: no burst follows.
        let held = !forced && !self.sockets.recoverable();
        if held != std::mem::replace(&mut state.held, held) {
            match held {
                true => {
                    tracing::warn!("the drain waits: clients that left now would not be recovered elsewhere")
                }
                false => tracing::info!("the drain goes on"),
            }
        }
        if held {
            return;
        }
        let told = self.sockets.move_away(sockets, spread(sockets));
        state.drain.closed(told, forced);
        drop(state);
        if forced && told > 0 {
            tracing::warn!(sockets = told, "the deadline has come: what is left is closed");
        }
    }

    /// Waits until a drain has left no socket open.
    pub async fn drained(&self) {
        while self.phase() != DrainPhase::Drained {
            tokio::time::sleep(TICK).await;
        }
    }
}

/// The time over which `sockets` that leave together are told to come back.
fn spread(sockets: u64) -> Duration {
    SPREAD_EACH.saturating_mul(u32::try_from(sockets).unwrap_or(u32::MAX)).min(SPREAD_MOST)
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;

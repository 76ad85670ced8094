//! The drain as a state machine: pure, `now` is given.
//!
//! It is level-triggered: a request states what is wanted and may be repeated at will; what has been done so
//! far is never undone by saying it again. Whether the server is drained is not remembered but follows from
//! the sockets that are open, so a socket that slipped in cannot be overlooked.

use std::time::{Duration, Instant};

use socketfleet_api::contract::{DrainPhase, DrainReason};

use super::bucket::Bucket;

/// Longest drain that is kept as asked; a deadline further away is brought to this.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// An even spread ends this part of the whole time before the deadline, so that the last sockets leave at
/// the pace and not by force …
const SLACK_PART: u32 = 10;
/// … but at most this long before it.
const SLACK_MAX: Duration = Duration::from_secs(5);

/// Sockets a second that leave at least when the process is to end and nobody has told a pace: a deleted pod with a
/// few sockets does not take its whole grace period, and no fleet is hurt by so many.
const LEAST_AT_SHUTDOWN: f64 = 20.0;

/// How fast sockets leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Evenly over the time that is left.
    Even,
    /// So many a second; 0 holds.
    PerSecond(f64),
}

/// What is wanted of a drain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// From when on whatever is left is closed at once.
    pub deadline: Instant,
    /// How fast until then.
    pub pace: Pace,
    /// Why.
    pub reason: DrainReason,
}

/// What to close now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// At most so many sockets.
    pub sockets: u64,
    /// The deadline has come.
    pub forced: bool,
}

/// The drain cannot be taken back: the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process was told to end: its drain cannot be taken back")]
pub struct Ending;

/// A server's drain.
#[derive(Debug, Default)]
pub struct Drain {
    run: Option<Run>,
    /// Set by the signal that ends the process; no later deadline is accepted from then on.
    ending: Option<Instant>,
}

#[derive(Debug)]
struct Run {
    plan: Plan,
    /// When the present deadline was set: an even spread reaches from here to the deadline.
    since: Instant,
    bucket: Bucket,
    moved: u64,
    forced: u64,
}

impl Drain {
    /// Starts the drain, or changes the pace, deadline and reason of the one that runs.
    pub fn request(&mut self, now: Instant, plan: Plan) {
        let latest = self.ending.unwrap_or(now + LONGEST);
        let plan = Plan { deadline: plan.deadline.min(latest), ..plan };
        match &mut self.run {
            Some(run) => run.change(now, plan),
            None => {
                self.run = Some(Run { plan, since: now, bucket: Bucket::empty(now), moved: 0, forced: 0 });
            }
        }
    }

    /// Drains because the process is to end within `limit`; a drain that runs keeps its deadline if that is
    /// earlier. From here on the drain cannot be taken back.
    pub fn shut_down(&mut self, now: Instant, limit: Duration) {
        let latest = now + limit.min(LONGEST);
        let deadline = self.run.as_ref().map_or(latest, |run| run.plan.deadline.min(latest));
        self.ending = Some(deadline);
        self.request(now, Plan { deadline, pace: Pace::Even, reason: DrainReason::Shutdown });
    }

    /// Takes the drain back: the server serves again.
    ///
    /// # Errors
    /// [`Ending`] after [`shut_down`](Self::shut_down).
    pub fn cancel(&mut self) -> Result<(), Ending> {
        if self.ending.is_some() {
            return Err(Ending);
        }
        self.run = None;
        Ok(())
    }

    /// What to close now of the `open` sockets that have not been told yet.
    pub fn due(&mut self, now: Instant, open: u64) -> Due {
        let Some(run) = &mut self.run else { return Due { sockets: 0, forced: false } };
        if now >= run.plan.deadline {
            return Due { sockets: open, forced: true };
        }
        let sockets = match run.rate(now, open) {
            Some(rate) => run.bucket.available(now, rate).min(open),
            None => open,
        };
        Due { sockets, forced: false }
    }

    /// Says that `sockets` of what was [due](Self::due) are being closed.
    pub fn closed(&mut self, sockets: u64, forced: bool) {
        if let Some(run) = &mut self.run {
            run.moved += sockets;
            if forced {
                run.forced += sockets;
            } else {
                run.bucket.take(sockets);
            }
        }
    }

    /// How far it is while `open` sockets are open, those that are being closed included.
    pub fn phase(&self, open: u64) -> DrainPhase {
        match (&self.run, open) {
            (None, _) => DrainPhase::Serving,
            (Some(_), 0) => DrainPhase::Drained,
            (Some(_), _) => DrainPhase::Draining,
        }
    }

    /// What is wanted at present; `None` while serving.
    pub fn plan(&self) -> Option<Plan> {
        self.run.as_ref().map(|run| run.plan)
    }

    /// Sockets that this drain has closed.
    pub fn moved(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.moved)
    }

    /// Those of [`moved`](Self::moved) that were closed because the deadline had come.
    pub fn forced(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.forced)
    }
}

impl Run {
    fn change(&mut self, now: Instant, plan: Plan) {
        // What the old pace has allowed until now stays allowed; the new one counts from here.
        if let Pace::PerSecond(rate) = self.plan.pace {
            self.bucket.available(now, rate);
        }
        self.bucket.restart(now);
        if plan.deadline != self.plan.deadline {
            self.since = now;
        }
        self.plan = plan;
    }

    /// Sockets a second; `None` when an even spread has come to its end.
    fn rate(&self, now: Instant, open: u64) -> Option<f64> {
        match self.plan.pace {
            Pace::PerSecond(rate) => Some(rate),
            Pace::Even => {
                let whole = self.plan.deadline.saturating_duration_since(self.since);
                let end = self.plan.deadline - (whole / SLACK_PART).min(SLACK_MAX);
                let left = end.saturating_duration_since(now).as_secs_f64();
                let least = if self.plan.reason == DrainReason::Shutdown { LEAST_AT_SHUTDOWN } else { 0.0 };
                (left > 0.0).then(|| (open as f64 / left).max(least))
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A pod's process: its sockets, its drain by the pod contract, its readiness and how the kubelet tells.

use socketfleet_api::contract::{DrainPhase, DrainReason, DrainReport, DrainRequest};

/// Milliseconds of virtual time.
pub type Millis = i64;

/// The process of one pod.
#[derive(Clone, Debug)]
pub struct Server {
    /// When the process runs.
    pub runs_at: Millis,
    /// When it answers `/readyz` with 200; never for a bad revision.
    pub ready_at: Option<Millis>,
    /// Open sockets.
    pub open: u64,
    /// Its drain.
    pub drain: Option<ServerDrain>,
    /// Readiness fails until then for a reason of its own.
    pub unwell_until: Millis,
    /// The container is down until then.
    pub down_until: Millis,
    /// The admin port does not answer until then.
    pub silent_until: Millis,
    /// A change of readiness that the kubelet has not published yet, and when it will.
    pub unpublished: Option<(Millis, bool)>,
    /// Version of the Pod.
    pub version: u64,
}

/// A drain in a server.
#[derive(Clone, Debug)]
pub struct ServerDrain {
    pub deadline: Millis,
    pub pace: Option<f64>,
    pub reason: DrainReason,
    pub moved: u64,
    pub forced: u64,
    /// Fractions of a socket that are due.
    carry: f64,
}

/// What left in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Left {
    /// Sockets closed at the pace.
    pub moved: u64,
    /// Sockets closed at the deadline.
    pub forced: u64,
}

impl Server {
    pub fn starting(now: Millis, start_up: Millis, becomes_ready: bool) -> Self {
        Self {
            runs_at: now + start_up / 2,
            ready_at: becomes_ready.then_some(now + start_up),
            open: 0,
            drain: None,
            unwell_until: 0,
            down_until: 0,
            silent_until: 0,
            unpublished: None,
            version: 1,
        }
    }

    /// The process is there.
    pub fn runs(&self, now: Millis) -> bool {
        now >= self.runs_at && now >= self.down_until
    }

    /// It takes new sockets: it runs, and does not drain.
    pub fn accepts(&self, now: Millis) -> bool {
        self.runs(now) && self.drain.is_none()
    }

    /// What `/readyz` says.
    pub fn is_ready(&self, now: Millis) -> bool {
        let emptied = self.drain.is_some() && self.open == 0;
        self.runs(now) && self.ready_at.is_some_and(|at| now >= at) && now >= self.unwell_until && !emptied
    }

    /// `POST /drain`.
    pub fn told(&mut self, request: &DrainRequest) -> DrainReport {
        let deadline = Millis::try_from(request.deadline).unwrap_or(Millis::MAX);
        match &mut self.drain {
            Some(drain) if drain.reason == DrainReason::Shutdown => {}
            Some(drain) => {
                drain.deadline = deadline;
                drain.pace = request.reconnects_per_second;
            }
            None => self.begin(deadline, request.reconnects_per_second, request.reason),
        }
        self.report()
    }

    /// `DELETE /drain`.
    pub fn taken_back(&mut self) -> DrainReport {
        if self.drain.as_ref().is_some_and(|d| d.reason != DrainReason::Shutdown) {
            self.drain = None;
        }
        self.report()
    }

    /// SIGTERM: the same drain, bounded by the grace period.
    pub fn terminated(&mut self, deadline: Millis) {
        match &mut self.drain {
            Some(drain) => {
                drain.deadline = drain.deadline.min(deadline);
                drain.pace = None;
                drain.reason = DrainReason::Shutdown;
            }
            None => self.begin(deadline, None, DrainReason::Shutdown),
        }
    }

    fn begin(&mut self, deadline: Millis, pace: Option<f64>, reason: DrainReason) {
        self.drain = Some(ServerDrain { deadline, pace, reason, moved: 0, forced: 0, carry: 0.0 });
    }

    /// Its container ends and starts again: sockets and drain are gone. Returns the sockets that were cut.
    pub fn crash(&mut self, now: Millis, down: Millis) -> u64 {
        self.drain = None;
        self.down_until = now + down;
        self.ready_at = self.ready_at.map(|at| at.max(now + down + 1_000));
        std::mem::take(&mut self.open)
    }

    /// `GET /drain`.
    pub fn report(&self) -> DrainReport {
        let Some(drain) = &self.drain else { return DrainReport::serving(self.open) };
        DrainReport {
            phase: if self.open == 0 { DrainPhase::Drained } else { DrainPhase::Draining },
            remaining: self.open,
            moved: drain.moved,
            forced: drain.forced,
            deadline: u64::try_from(drain.deadline).ok(),
            reason: Some(drain.reason),
            reconnects_per_second: drain.pace,
        }
    }

    /// Pace in force, sockets per second.
    pub fn pace(&self, now: Millis) -> f64 {
        match &self.drain {
            None => 0.0,
            Some(_) if self.open == 0 => 0.0,
            Some(drain) => drain
                .pace
                .unwrap_or_else(|| self.open as f64 / ((drain.deadline - now).max(1_000) as f64 / 1_000.0)),
        }
    }

    /// Lets the drain get on by one step.
    pub fn step(&mut self, now: Millis, step: Millis) -> Left {
        let pace = self.pace(now);
        let Some(drain) = &mut self.drain else { return Left::default() };
        let mut left = Left::default();
        if now >= drain.deadline {
            left.forced = std::mem::take(&mut self.open);
        } else {
            drain.carry += pace * step as f64 / 1_000.0;
            left.moved = (drain.carry as u64).min(self.open);
            drain.carry -= left.moved as f64;
            self.open -= left.moved;
        }
        drain.moved += left.moved + left.forced;
        drain.forced += left.forced;
        left
    }
}

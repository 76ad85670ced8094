//! When a connection is pinged and when it is given up. Pure; instants are milliseconds of the engine's clock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const RESTING: u8 = 0;
const WAITING: u8 = 1;
/// As `WAITING`, and another packet has shown once that the client lives.
const REFRESHED: u8 = 2;

/// The heartbeat of one connection: the server pings, the client has a limited time to answer.
#[derive(Debug)]
pub(super) struct Heartbeat {
    state: AtomicU8,
    /// While resting: when to ping. While waiting: when to give up.
    due: AtomicU64,
}

/// What a look at the clock asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing before this instant.
    LookAgain(u64),
    /// Send a ping, then look again at this instant.
    Ping(u64),
    /// The client has not answered.
    TimedOut,
}

/// Both times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub interval: u64,
    pub timeout: u64,
}

impl Heartbeat {
    pub fn new(now: u64, pace: Pace) -> Self {
        Self { state: AtomicU8::new(RESTING), due: AtomicU64::new(now + pace.interval) }
    }

    /// A pong has come.
    pub fn pong(&self, now: u64, pace: Pace) {
        self.due.store(now + pace.interval, Relaxed);
        self.state.store(RESTING, Relaxed);
    }

    /// Another packet has come: once per ping it extends the client's time, as in Node.
    pub fn packet(&self, now: impl FnOnce() -> u64, pace: Pace) {
        if self.state.load(Relaxed) == WAITING {
            self.due.store(now() + pace.timeout, Relaxed);
            self.state.store(REFRESHED, Relaxed);
        }
    }

    /// Looks at the clock. A pong may bring the next ping before the present deadline, so the next look is never
    /// further away than an interval.
    pub fn look(&self, now: u64, pace: Pace) -> Beat {
        let due = self.due.load(Relaxed);
        let resting = self.state.load(Relaxed) == RESTING;
        if now < due {
            return Beat::LookAgain(due.min(now + pace.interval));
        }
        if !resting {
            return Beat::TimedOut;
        }
        self.due.store(now + pace.timeout, Relaxed);
        self.state.store(WAITING, Relaxed);
        Beat::Ping(now + pace.timeout.min(pace.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { interval: 25, timeout: 20 };

    #[test]
    fn a_client_that_answers_is_pinged_for_ever() {
        let heart = Heartbeat::new(0, PACE);
        assert_eq!(heart.look(10, PACE), Beat::LookAgain(25));
        assert_eq!(heart.look(25, PACE), Beat::Ping(45));
        heart.pong(26, PACE);
        assert_eq!(heart.look(45, PACE), Beat::LookAgain(51));
        assert_eq!(heart.look(51, PACE), Beat::Ping(71));
    }

    #[test]
    fn a_silent_client_is_given_up() {
        let heart = Heartbeat::new(0, PACE);
        assert_eq!(heart.look(25, PACE), Beat::Ping(45));
        assert_eq!(heart.look(44, PACE), Beat::LookAgain(45));
        assert_eq!(heart.look(45, PACE), Beat::TimedOut);
    }

    #[test]
    fn another_packet_extends_the_time_once() {
        let heart = Heartbeat::new(0, PACE);
        heart.packet(|| 10, PACE);
        assert_eq!(heart.look(25, PACE), Beat::Ping(45));
        heart.packet(|| 40, PACE);
        heart.packet(|| 50, PACE);
        assert_eq!(heart.look(59, PACE), Beat::LookAgain(60));
        assert_eq!(heart.look(60, PACE), Beat::TimedOut);
    }

    #[test]
    fn an_interval_shorter_than_the_timeout_is_kept() {
        let pace = Pace { interval: 5, timeout: 20 };
        let heart = Heartbeat::new(0, pace);
        assert_eq!(heart.look(5, pace), Beat::Ping(10));
        heart.pong(6, pace);
        assert_eq!(heart.look(10, pace), Beat::LookAgain(11));
        assert_eq!(heart.look(11, pace), Beat::Ping(16));
    }
}

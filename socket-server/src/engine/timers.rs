//! What turns the wheel.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::conn::Key;
use super::heartbeat::Pace;
use super::wheel::Wheel;
use super::{Close, CloseReason, Engine};
use crate::options::EngineOptions;
use crate::ticker;

/// Lists of the wheel: with the default tick a turn takes longer than a heartbeat.
const SLOTS: usize = 256;

/// What a timer is for. It holds no connection: one that is gone is not kept by it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// Time to look at the heartbeat.
    Heartbeat(Key),
    /// A closing connection's last moment.
    Linger(Key),
    /// The layer above asked for it.
    Session(Key),
}

pub(super) struct TimerQueue {
    wheel: Mutex<Wheel<Timer>>,
    started: Instant,
    tick: Duration,
    pub pace: Pace,
}

impl TimerQueue {
    pub fn new(options: &EngineOptions, started: Instant) -> Self {
        let pace = Pace {
            interval: options.ping_interval.as_millis() as u64,
            timeout: options.ping_timeout.as_millis() as u64,
        };
        // Fine enough for short intervals, coarse enough to cost nothing with the usual ones.
        let tick = Duration::from_millis((pace.interval.min(pace.timeout) / 20).clamp(5, 250));
        Self { wheel: Mutex::new(Wheel::new(SLOTS)), started, tick, pace }
    }

    /// Milliseconds since the engine was made.
    pub fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Sets a timer for an instant of this clock.
    pub fn at(&self, millis: u64, timer: Timer) {
        let tick = millis.div_ceil(self.tick.as_millis() as u64);
        self.wheel.lock().insert(tick, timer);
    }

    fn due(&self) -> Vec<Timer> {
        let tick = self.now() / self.tick.as_millis() as u64;
        self.wheel.lock().advance(tick)
    }
}

/// Runs the timers for as long as the engine is used by anybody else.
pub(super) fn run(engine: &Arc<Engine>) {
    let weak = Arc::downgrade(engine);
    ticker::every("timers", engine.timers.tick, move || {
        let Some(engine) = weak.upgrade() else { return ControlFlow::Break(()) };
        engine.timers.due().into_iter().for_each(|timer| fire(&engine, timer));
        ControlFlow::Continue(())
    });
}

fn fire(engine: &Arc<Engine>, timer: Timer) {
    let (Timer::Heartbeat(key) | Timer::Linger(key) | Timer::Session(key)) = timer;
    let Some(conn) = engine.registry.get(key) else { return };
    match timer {
        Timer::Heartbeat(_) => conn.look_at_heartbeat(),
        Timer::Linger(_) => conn.finish_lingering(),
        Timer::Session(_) => conn.session_timer(),
    }
}

impl super::Conn {
    fn look_at_heartbeat(self: &Arc<Self>) {
        use super::heartbeat::Beat;
        let timers = &self.engine().timers;
        let next = match self.heartbeat().look(timers.now(), timers.pace) {
            Beat::LookAgain(at) => at,
            Beat::Ping(at) => {
                self.ping();
                at
            }
            Beat::TimedOut => {
                self.engine().stats.ping_timeouts.inc();
                self.close(Close::now(CloseReason::PingTimeout));
                return;
            }
        };
        timers.at(next, Timer::Heartbeat(self.key()));
    }
}

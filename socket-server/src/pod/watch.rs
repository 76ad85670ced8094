//! Looks after the process while it serves: the event loop's lag, and memory before it runs out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::Pod;
use crate::process::memory::{Sample, Shedding};
use crate::ticker;

/// Between two measurements of the lag.
const TICK: Duration = Duration::from_millis(100);
/// While memory is short, clients are closed once in so many ticks: it takes a moment until they have gone.
const TICKS_PER_CLOSE: u32 = 10;
/// Share of the limit, in percent, up to which the allocator may keep memory that is not in use.
const KEEPS_UP_TO: u64 = 50;

/// After clients have left, the allocator is asked once in so many ticks to give back what they took …
const TICKS_PER_COLLECTION: u32 = 100;
/// … and so often after the last of them: timers and, with the default, sessions go up to two minutes later.
const COLLECTIONS: u32 = 14;

/// What the process's allocator can be told. It keeps freed memory for each thread, and one that idles gives nothing back.
#[derive(Clone, Copy)]
pub struct Allocator {
    /// Whether it may keep what is not in use, or gives it back to the system at once.
    pub keep_unused: fn(bool),
    /// To give back what the calling thread keeps unused.
    pub give_back: fn(),
}

/// Watches for as long as the pod is used by anybody else.
pub fn watch(pod: &Arc<Pod>, allocator: Allocator) {
    let pod = Arc::downgrade(pod);
    let mut memory =
        MemoryWatch { allocator, keeps: true, ticks_to_close: 0, collections: Collections::default() };
    ticker::every("watch", TICK, move || {
        let Some(pod) = pod.upgrade() else { return ControlFlow::Break(()) };
        memory.tick(&pod);
        let due = Instant::now();
        tokio::spawn(async move { pod.timings.event_loop_lag.observe(due.elapsed()) });
        ControlFlow::Continue(())
    });
}

struct MemoryWatch {
    allocator: Allocator,
    keeps: bool,
    ticks_to_close: u32,
    collections: Collections,
}

impl MemoryWatch {
    fn tick(&mut self, pod: &Pod) {
        self.ticks_to_close = self.ticks_to_close.saturating_sub(1);
        let Some(Sample { rss, used }) = pod.probe.sample() else { return };
        pod.rss.store(rss, Relaxed);
        if self.collections.tick(pod.stats().disconnections.get()) {
            self.collect_on_workers();
        }
        let Some(limit) = pod.probe.limit() else { return };
        let keeps = used <= limit / 100 * KEEPS_UP_TO;
        if keeps != std::mem::replace(&mut self.keeps, keeps) {
            (self.allocator.keep_unused)(keeps);
        }
        if !keeps {
            (self.allocator.give_back)();
        }
        let before = pod.sockets.shedding();
        let after = before.next(used, limit);
        if after != before {
            tracing::warn!(?before, ?after, used, limit, "memory: what is given up has changed");
            pod.sockets.shed(after);
        }
        if after > Shedding::None {
            self.collect_on_workers();
        }
        if after >= Shedding::CloseSlowest && self.ticks_to_close == 0 {
            pod.sockets.close_slowest(Shedding::excess(used, limit));
            self.ticks_to_close = TICKS_PER_CLOSE;
        }
    }

    /// Busy or not, the workers share these tasks.
    fn collect_on_workers(&self) {
        let collect = self.allocator.give_back;
        for _ in 0..Handle::current().metrics().num_workers() {
            tokio::spawn(async move { collect() });
        }
    }
}

/// When what clients took that have left is to be given back.
#[derive(Default)]
struct Collections {
    /// How many had left at the last tick.
    left: u64,
    remaining: u32,
    ticks_to_next: u32,
}

impl Collections {
    /// `left` clients have left so far; whether one is due.
    fn tick(&mut self, left: u64) -> bool {
        self.ticks_to_next = self.ticks_to_next.saturating_sub(1);
        if left != std::mem::replace(&mut self.left, left) {
            self.remaining = COLLECTIONS;
        }
        let due = self.remaining > 0 && self.ticks_to_next == 0;
        if due {
            self.remaining -= 1;
            self.ticks_to_next = TICKS_PER_COLLECTION;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_collected_while_clients_leave_and_some_times_after_the_last() {
        let mut collections = Collections::default();
        let mut due = |ticks: u32, left: &dyn Fn(u32) -> u64| {
            (0..ticks).filter(|&tick| collections.tick(left(tick))).collect::<Vec<_>>()
        };
        assert_eq!(due(1_000, &|_| 0), [0u32; 0]);
        assert_eq!(due(350, &|tick| 1 + u64::from(tick)), [0, 100, 200, 300]);
        let rest: Vec<_> = (0..COLLECTIONS).map(|n| 50 + n * TICKS_PER_COLLECTION).collect();
        assert_eq!(due(2_000, &|_| 350), rest);
    }
}

//! What is done again and again for as long as the process runs, beside the runtime.
//!
//! A timer of the runtime's bounds each of its waits for I/O: on a machine that is not busy the kernel then arms its
//! clock before each wait and disarms it after, which costs more than the rest of a delivery. A thread that sleeps
//! arms it once for each tick.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Calls `act` after each `period`, in a thread of its own, until it breaks. What it spawns runs in the runtime that
/// this is called in. A panic ends neither the thread nor what follows.
///
/// # Panics
/// Outside of a runtime, and when the system gives no thread.
pub(crate) fn every(
    name: &'static str,
    period: Duration,
    mut act: impl FnMut() -> ControlFlow<()> + Send + 'static,
) {
    let runtime = tokio::runtime::Handle::current();
    let ticks = move || {
        let _inside = runtime.enter();
        loop {
            std::thread::sleep(period);
            // The hook has told of the panic.
            if let Ok(ControlFlow::Break(())) = catch_unwind(AssertUnwindSafe(&mut act)) {
                return;
            }
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(ticks).expect("the system gives no thread");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_after_a_panic_and_ends_when_told() {
        let (sender, mut ticks) = tokio::sync::mpsc::unbounded_channel();
        let mut count = 0;
        every("test", Duration::from_millis(1), move || {
            count += 1;
            assert_ne!(count, 2, "this panic is part of the test");
            // What is spawned runs in the runtime of the test.
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(count) });
            if count == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let mut seen = Vec::new();
        while let Some(tick) = ticks.recv().await {
            seen.push(tick);
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 3, 4]);
    }
}

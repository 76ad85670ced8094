//! Random histories of a fleet. Whatever happens: no pod is deleted while it holds sockets and has time, no
//! other pod than the emptied one goes, never fewer pods serve than the floor (but for failures that nobody
//! can prevent), the budget of reconnects is never exceeded, and in the end the fleet comes to rest.

use std::thread;

use socketfleet_simulation::chaos::{Story, history};

const HISTORIES: u64 = 10_000;

#[test]
fn ten_thousand_histories_end_well() {
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let stories: Vec<Story> = thread::scope(|scope| {
        let run = |first: u64| move || (first..HISTORIES).step_by(threads as usize).map(history).collect();
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(run(first))).collect();
        let join = |part: thread::ScopedJoinHandle<'_, Result<Vec<_>, String>>| match part.join() {
            Ok(Ok(stories)) => stories,
            Ok(Err(what)) => panic!("{what}"),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        parts.into_iter().flat_map(join).collect()
    });
    // The histories must be worth their name.
    let sum = |of: fn(&Story) -> u64| stories.iter().map(of).sum::<u64>();
    let (drains, cancelled) = (sum(|s| s.drains.into()), sum(|s| s.cancelled.into()));
    let (restarts, moved) = (sum(|s| s.restarts.into()), sum(|s| s.moved));
    let canaries = sum(|s| s.canary.into());
    println!(
        "{drains} drains, {cancelled} taken back, {restarts} restarts, {moved} sockets moved, {canaries} canaries stayed"
    );
    assert!(drains > HISTORIES && cancelled > HISTORIES / 10 && restarts > HISTORIES && moved > HISTORIES);
    assert!(canaries > HISTORIES / 50);
}

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use socketfleet_api::contract::DrainReason;

use super::*;

/// Sockets that leave as soon as they are told.
#[derive(Default)]
struct Fake {
    open: AtomicU64,
    refusing: AtomicBool,
    unrecoverable: AtomicBool,
}

impl Sockets for Arc<Fake> {
    fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }
    fn untold(&self) -> u64 {
        self.open()
    }
    fn set_accepting(&self, accepting: bool) {
        self.refusing.store(!accepting, Relaxed);
    }
    fn recoverable(&self) -> bool {
        !self.unrecoverable.load(Relaxed)
    }
    fn move_away(&self, most: u64, _spread: Duration) -> u64 {
        let told = most.min(self.open());
        self.open.fetch_sub(told, Relaxed);
        told
    }
}

/// A drainer at work over so many sockets.
fn drainer(open: u64) -> (Arc<Fake>, Arc<Drainer<Arc<Fake>>>) {
    let sockets = Arc::new(Fake { open: open.into(), ..Fake::default() });
    let drainer = Drainer::new(sockets.clone());
    let running = drainer.clone();
    tokio::spawn(async move { running.run().await });
    (sockets, drainer)
}

fn request(seconds: u64, rate: Option<f64>) -> DrainRequest {
    DrainRequest {
        deadline: unix_millis() + seconds * 1000,
        reconnects_per_second: rate,
        reason: DrainReason::ScaleIn,
    }
}

#[tokio::test(start_paused = true)]
async fn drains_at_the_pace_and_reports_it() {
    let (sockets, drainer) = drainer(100);
    let asked = request(60, Some(10.0));
    let report = drainer.request(&asked).expect("accepted");
    assert_eq!((report.phase, report.remaining, report.moved), (DrainPhase::Draining, 100, 0));
    assert_eq!((report.deadline, report.reason), (Some(asked.deadline), Some(DrainReason::ScaleIn)));
    assert!(sockets.refusing.load(Relaxed), "no new socket once the request was answered");
    tokio::time::sleep(Duration::from_millis(5_010)).await;
    assert_eq!(drainer.report().moved, 50);
    drainer.drained().await;
    let report = drainer.report();
    assert_eq!(
        (report.phase, report.remaining, report.moved, report.forced),
        (DrainPhase::Drained, 0, 100, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn cancel_accepts_again_and_a_second_drain_works() {
    let (sockets, drainer) = drainer(100);
    drainer.request(&request(60, Some(10.0))).expect("accepted");
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    let report = drainer.cancel().expect("accepted");
    assert_eq!((report.phase, report.deadline, report.reason), (DrainPhase::Serving, None, None));
    assert!(!sockets.refusing.load(Relaxed));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(sockets.open(), 90);
    drainer.request(&request(60, None)).expect("accepted");
    drainer.drained().await;
    assert_eq!(drainer.report().forced, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_none_is_refused() {
    let (_, drainer) = drainer(1);
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(drainer.request(&request(60, Some(rate))), Err(Refusal::Rate(_))), "{rate}");
    }
    assert_eq!(drainer.phase(), DrainPhase::Serving);
}

#[tokio::test(start_paused = true)]
async fn deadlines_past_and_beyond_all_measure_do_no_harm() {
    let (_, past) = drainer(10);
    past.request(&DrainRequest { deadline: 0, ..request(0, Some(0.0)) }).expect("accepted");
    past.drained().await;
    assert_eq!(past.report().forced, 10);
    let (_, never) = drainer(10);
    never.request(&DrainRequest { deadline: u64::MAX, ..request(0, Some(0.0)) }).expect("accepted");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(never.report().remaining, 10);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_empties_within_the_limit_and_cannot_be_taken_back() {
    let (sockets, drainer) = drainer(1_000);
    drainer.request(&request(3_600, Some(0.0))).expect("accepted");
    drainer.shut_down(Duration::from_secs(20));
    assert!(matches!(drainer.cancel(), Err(Refusal::Ending(_))));
    assert!(sockets.refusing.load(Relaxed), "a refused cancel changes nothing");
    tokio::time::timeout(Duration::from_secs(20), drainer.drained()).await.expect("empty in time");
    assert_eq!((drainer.report().moved, drainer.report().forced), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn holds_while_nobody_would_be_recovered_and_goes_on_at_the_pace() {
    let (sockets, drainer) = drainer(100);
    drainer.request(&request(60, Some(10.0))).expect("accepted");
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    sockets.unrecoverable.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(drainer.report().moved, 10);
    sockets.unrecoverable.store(false, Relaxed);
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    let moved = drainer.report().moved;
    assert!((20..=21).contains(&moved), "no burst for the time that was held: {moved}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_moves_even_those_who_would_not_be_recovered() {
    let (sockets, drainer) = drainer(100);
    sockets.unrecoverable.store(true, Relaxed);
    drainer.shut_down(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(19)).await;
    assert_eq!(sockets.open(), 100);
    tokio::time::timeout(Duration::from_secs(2), drainer.drained()).await.expect("empty in time");
    assert_eq!((drainer.report().moved, drainer.report().forced), (100, 100));
}

#[test]
fn those_who_leave_together_come_back_apart() {
    assert_eq!(spread(1), Duration::from_millis(5));
    assert_eq!(spread(1_000), Duration::from_secs(5));
    assert_eq!(spread(u64::MAX), SPREAD_MOST);
}

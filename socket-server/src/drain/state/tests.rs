use proptest::prelude::*;

use super::super::bucket::BURST;
use super::*;

const TICK: Duration = Duration::from_millis(25);

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn plan(deadline: Instant, pace: Pace) -> Plan {
    Plan { deadline, pace, reason: DrainReason::ScaleIn }
}

/// Sockets that obey the machine at once.
struct Fake {
    drain: Drain,
    start: Instant,
    now: Instant,
    open: u64,
    /// When how many were closed at the pace, in seconds since the start.
    closes: Vec<(f64, u64)>,
}

impl Fake {
    fn new(open: u64) -> Self {
        let start = Instant::now();
        Self { drain: Drain::default(), start, now: start, open, closes: Vec::new() }
    }

    fn at(&self, s: f64) -> Instant {
        self.start + seconds(s)
    }

    fn request(&mut self, deadline: f64, pace: Pace) {
        let plan = plan(self.at(deadline), pace);
        self.drain.request(self.now, plan);
    }

    fn tick(&mut self, step: Duration) {
        self.now += step;
        let due = self.drain.due(self.now, self.open);
        self.drain.closed(due.sockets, due.forced);
        self.open -= due.sockets;
        if due.sockets > 0 && !due.forced {
            self.closes.push(((self.now - self.start).as_secs_f64(), due.sockets));
        }
    }

    fn run_until(&mut self, s: f64) {
        while self.now < self.at(s) {
            self.tick(TICK);
        }
    }

    fn phase(&self) -> DrainPhase {
        self.drain.phase(self.open)
    }
}

#[test]
fn serves_until_it_is_asked_to_drain() {
    let mut server = Fake::new(10);
    server.run_until(5.0);
    assert_eq!((server.phase(), server.open), (DrainPhase::Serving, 10));
}

#[test]
fn closes_at_the_rate_and_is_drained_when_empty() {
    let mut server = Fake::new(100);
    server.request(60.0, Pace::PerSecond(20.0));
    server.run_until(2.0);
    assert_eq!((server.phase(), server.open), (DrainPhase::Draining, 60));
    server.run_until(5.1);
    assert_eq!((server.phase(), server.open), (DrainPhase::Drained, 0));
    assert_eq!((server.drain.moved(), server.drain.forced()), (100, 0));
}

#[test]
fn an_empty_server_is_drained_at_once() {
    let mut server = Fake::new(0);
    server.request(60.0, Pace::Even);
    assert_eq!(server.phase(), DrainPhase::Drained);
}

#[test]
fn leaves_smoothly_and_not_by_the_second() {
    let mut server = Fake::new(1_000);
    server.request(60.0, Pace::PerSecond(200.0));
    server.run_until(1.0);
    let most = server.closes.iter().map(|(_, n)| *n).max();
    assert_eq!((server.closes.len(), most), (40, Some(5)));
}

#[test]
fn without_a_rate_spreads_over_the_time_left_and_forces_nobody() {
    let mut server = Fake::new(1_000);
    server.request(100.0, Pace::Even);
    server.run_until(47.5);
    assert!((480..=520).contains(&server.open), "half of the spread is over: {} left", server.open);
    server.run_until(95.1);
    assert_eq!((server.open, server.drain.forced()), (0, 0));
}

#[test]
fn zero_holds_and_a_later_rate_lets_go() {
    let mut server = Fake::new(10);
    server.request(60.0, Pace::PerSecond(0.0));
    server.run_until(30.0);
    assert_eq!((server.phase(), server.open), (DrainPhase::Draining, 10));
    server.request(60.0, Pace::PerSecond(1.0));
    server.run_until(35.0);
    assert_eq!(server.open, 5, "held time earns nothing");
}

#[test]
fn repeating_the_request_changes_nothing() {
    let (mut once, mut often) = (Fake::new(100), Fake::new(100));
    once.request(60.0, Pace::PerSecond(7.0));
    for tick in 0..200 {
        if tick % 3 == 0 {
            often.request(60.0, Pace::PerSecond(7.0));
        }
        once.tick(TICK);
        often.tick(TICK);
    }
    assert_eq!((once.open, once.drain.moved()), (often.open, often.drain.moved()));
}

#[test]
fn what_is_left_at_the_deadline_is_forced() {
    let mut server = Fake::new(100);
    server.request(10.0, Pace::PerSecond(1.0));
    server.run_until(10.0);
    assert_eq!(server.open, 0);
    assert_eq!((server.drain.moved(), server.drain.forced()), (100, 91));
}

#[test]
fn cancel_serves_again_and_the_next_drain_counts_afresh() {
    let mut server = Fake::new(100);
    server.request(60.0, Pace::PerSecond(10.0));
    server.run_until(5.0);
    assert_eq!(server.drain.cancel(), Ok(()));
    server.run_until(120.0);
    assert_eq!((server.phase(), server.open, server.drain.moved()), (DrainPhase::Serving, 50, 0));
    server.request(180.0, Pace::PerSecond(10.0));
    server.run_until(121.0);
    assert_eq!(server.drain.moved(), 10);
}

#[test]
fn cancel_is_possible_after_it_was_drained() {
    let mut server = Fake::new(0);
    server.request(60.0, Pace::Even);
    assert_eq!(server.drain.cancel(), Ok(()));
    assert_eq!(server.phase(), DrainPhase::Serving);
}

#[test]
fn shutting_down_bounds_every_deadline_and_cannot_be_taken_back() {
    let mut server = Fake::new(100);
    server.request(600.0, Pace::PerSecond(1.0));
    server.drain.shut_down(server.now, seconds(20.0));
    server.request(900.0, Pace::PerSecond(1.0));
    assert_eq!(server.drain.cancel(), Err(Ending));
    assert_eq!(server.drain.plan().map(|p| p.deadline), Some(server.at(20.0)));
    server.run_until(20.0);
    assert_eq!(server.open, 0);
}

#[test]
fn shutting_down_with_few_sockets_does_not_take_the_whole_time() {
    let mut server = Fake::new(100);
    server.drain.shut_down(server.now, seconds(300.0));
    server.run_until(5.1);
    assert_eq!((server.open, server.drain.forced()), (0, 0));
}

#[test]
fn shutting_down_keeps_an_earlier_deadline() {
    let mut server = Fake::new(1);
    server.request(5.0, Pace::PerSecond(0.0));
    server.drain.shut_down(server.now, seconds(20.0));
    assert_eq!(server.drain.plan().map(|p| p.deadline), Some(server.at(5.0)));
}

#[test]
fn a_deadline_beyond_all_measure_is_brought_near() {
    let mut server = Fake::new(1);
    server.drain.request(server.now, plan(server.now + 2 * LONGEST, Pace::Even));
    assert_eq!(server.drain.plan().map(|p| p.deadline), Some(server.now + LONGEST));
}

proptest! {
    /// Whatever the ticks and however often the rate changes, no span of time sees more closes than the
    /// rates of that span allow, plus one burst.
    #[test]
    fn never_faster_than_told(
        open in 0u64..5_000,
        steps in prop::collection::vec((1u64..400, prop::option::weighted(0.1, 0.0f64..500.0)), 1..200),
    ) {
        let mut server = Fake::new(open);
        let (mut rate, mut highest) = (100.0f64, 100.0f64);
        server.request(1e6, Pace::PerSecond(rate));
        let mut spans = Vec::new();
        for (millis, change) in steps {
            if let Some(new) = change {
                rate = new;
                highest = highest.max(new);
                server.request(1e6, Pace::PerSecond(rate));
            }
            let before = server.open;
            let step = Duration::from_millis(millis);
            server.tick(step);
            spans.push((rate * step.as_secs_f64(), before - server.open));
        }
        let burst = 1.0 + highest * BURST.as_secs_f64();
        for from in 0..spans.len() {
            let (mut allowed, mut closed) = (burst + 0.01, 0);
            for (earned, n) in &spans[from..] {
                allowed += earned;
                closed += n;
                prop_assert!(closed as f64 <= allowed, "{closed} closed where {allowed} were allowed");
            }
        }
    }

    /// Whatever was asked in between, nothing is open once the last deadline has passed.
    #[test]
    fn always_ends_by_the_deadline(
        open in 0u64..5_000,
        requests in prop::collection::vec((0.0f64..50.0, prop::option::of(0.0f64..20.0)), 1..20),
    ) {
        let mut server = Fake::new(open);
        for (deadline, rate) in requests {
            server.request(deadline, rate.map_or(Pace::Even, Pace::PerSecond));
            for _ in 0..40 {
                server.tick(TICK);
            }
            let plan = server.drain.plan().expect("it drains");
            prop_assert!(server.now < plan.deadline || server.open == 0);
        }
        server.run_until(51.0);
        prop_assert_eq!(server.phase(), DrainPhase::Drained);
        prop_assert_eq!(server.drain.moved(), open);
    }

    /// A drain that is taken back closes nobody any more, at whatever point.
    #[test]
    fn cancel_returns_all(open in 1u64..5_000, rate in prop::option::of(0.0f64..100.0), at in 0.0f64..30.0) {
        let mut server = Fake::new(open);
        server.request(40.0, rate.map_or(Pace::Even, Pace::PerSecond));
        server.run_until(at);
        let kept = server.open;
        prop_assert_eq!(server.drain.cancel(), Ok(()));
        server.run_until(100.0);
        prop_assert_eq!((server.phase(), server.open), (DrainPhase::Serving, kept));
    }

    /// An even spread forces nobody, as long as the server's ticks come in time.
    #[test]
    fn an_even_spread_forces_nobody(open in 0u64..5_000, length in 1.0f64..100.0) {
        let mut server = Fake::new(open);
        server.request(length, Pace::Even);
        server.run_until(length);
        prop_assert_eq!((server.open, server.drain.forced()), (0, 0));
    }
}

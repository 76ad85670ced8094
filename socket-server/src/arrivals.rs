//! Who came here from servers that drained, and how long it took them: the evidence of those drains.
//!
//! The server that moves a client writes its name and the time into the client's session; the one that recovers the session
//! counts it under that name. The operator adds up what all servers say of one.

use std::time::{Duration, Instant};

use bytestring::ByteString;
use parking_lot::Mutex;
use socketfleet_api::contract::{self, AWAY_BOUNDS_MS};

/// Servers that are told apart. Of more, the ones that nobody has come from for longest are forgotten.
const SOURCES: usize = 64;
/// How long a server is remembered after the last one came from it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Clients that came from servers that drained.
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<Vec<Source>>);

#[derive(Debug)]
struct Source {
    from: ByteString,
    last: Instant,
    /// In each bucket of the contract, and beyond.
    away: [u64; AWAY_BOUNDS_MS.len() + 1],
}

impl Arrivals {
    /// Counts one that `from` moved away this long ago.
    pub fn count(&self, from: &ByteString, away: Duration, now: Instant) {
        let mut sources = self.0.lock();
        let position = sources.iter().position(|s| s.from == *from);
        let index = position.unwrap_or_else(|| {
            if sources.len() == SOURCES
                && let Some(oldest) = (0..SOURCES).min_by_key(|&i| sources[i].last)
            {
                sources.swap_remove(oldest);
            }
            sources.push(Source { from: from.clone(), last: now, away: Default::default() });
            sources.len() - 1
        });
        let millis = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        let source = &mut sources[index];
        source.away[AWAY_BOUNDS_MS.partition_point(|bound| *bound < millis)] += 1;
        source.last = now;
    }

    /// What `/health` says of them.
    pub fn report(&self, now: Instant) -> Vec<contract::Arrivals> {
        let mut sources = self.0.lock();
        sources.retain(|s| now.duration_since(s.last) < REMEMBERED);
        let one = |s: &Source| contract::Arrivals { from: s.from.to_string(), away: s.away.to_vec() };
        sources.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_buckets_until_nobody_comes_any_more() {
        let (arrivals, start) = (Arrivals::default(), Instant::now());
        for (from, millis) in [("a", 50), ("a", 51), ("b", 70_000)] {
            arrivals.count(&from.into(), Duration::from_millis(millis), start);
        }
        let report = arrivals.report(start);
        assert_eq!((report[0].from.as_str(), &report[0].away[..3]), ("a", &[1, 1, 0][..]));
        assert_eq!(report[1].away.last(), Some(&1));
        arrivals.count(&"b".into(), Duration::ZERO, start + REMEMBERED / 2);
        let left = arrivals.report(start + REMEMBERED);
        assert_eq!(left.iter().map(|s| &*s.from).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let (arrivals, start) = (Arrivals::default(), Instant::now());
        for n in 0..=SOURCES as u64 {
            arrivals.count(&n.to_string().into(), Duration::ZERO, start + Duration::from_secs(n));
        }
        let report = arrivals.report(start + Duration::from_secs(100));
        assert_eq!(report.len(), SOURCES);
        assert!(report.iter().all(|s| s.from != "0"));
    }
}

//! What is due, given the time. Pure.

use jiff::{SignedDuration, Timestamp};

use super::stock::{Facts, Kept};
use super::{Error, Pair, Stock, stock};

/// How long a new CA is in the bundle before its certificate is served, at most: by then every API server
/// has the new bundle.
const OVERLAP_MAX: SignedDuration = SignedDuration::from_mins(10);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Wait {
        /// When to look again.
        until: Timestamp,
    },
    /// There is nothing that can be served: make a pair and serve it at once.
    Replace(&'static str),
    /// Make the next pair and trust its CA.
    Prepare,
    /// Serve the next pair.
    Promote,
}

/// The step that is due at `now` for a certificate for `names`.
pub fn step(stock: &Stock, names: &[String], now: Timestamp) -> Step {
    let Some(current) = &stock.current else { return Step::Replace("there is no certificate yet") };
    if current.facts.expires <= now {
        return Step::Replace("the certificate has expired");
    }
    if current.facts.names != names {
        return Step::Replace("the certificate is for other names");
    }
    if !trusted(stock, current, now) {
        return Step::Replace("the certificate's CA is not in the bundle, or has expired");
    }
    let life = current.facts.expires.duration_since(current.facts.issued);
    match &stock.next {
        Some(next) if next.facts.names != names || !trusted(stock, next, now) => Step::Prepare,
        Some(next) => {
            let due = after(next.facts.issued, overlap(life));
            if due <= now { Step::Promote } else { Step::Wait { until: due } }
        }
        None => {
            let due = after(current.facts.issued, life * 2 / 3);
            if due <= now { Step::Prepare } else { Step::Wait { until: due } }
        }
    }
}

fn trusted(stock: &Stock, kept: &Kept, now: Timestamp) -> bool {
    stock.trusted.iter().any(|ca| ca.facts.subject == kept.facts.issuer && ca.facts.expires > now)
}

/// A certificate that lives for minutes, as in a test, gets its turn before the old one ends.
fn overlap(life: SignedDuration) -> SignedDuration {
    OVERLAP_MAX.min(life / 12)
}

fn after(start: Timestamp, duration: SignedDuration) -> Timestamp {
    start.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// The stock with a new pair that is served at once.
pub fn replaced(stock: &Stock, pair: &Pair, now: Timestamp) -> Result<Stock, Error> {
    Ok(Stock { current: Some(Kept::of(pair)?), next: None, trusted: trusting(stock, pair, now)? })
}

/// The stock with a new pair that is served next.
pub fn prepared(stock: &Stock, pair: &Pair, now: Timestamp) -> Result<Stock, Error> {
    Ok(Stock {
        current: stock.current.clone(),
        next: Some(Kept::of(pair)?),
        trusted: trusting(stock, pair, now)?,
    })
}

/// The stock that serves its next pair. The old CA stays trusted: other replicas serve its certificate
/// until they have seen the change.
pub fn promoted(stock: &Stock) -> Stock {
    Stock { current: stock.next.clone(), next: None, trusted: stock.trusted.clone() }
}

/// The bundle with the pair's CA, without those that have expired.
fn trusting(stock: &Stock, pair: &Pair, now: Timestamp) -> Result<Vec<stock::Ca>, Error> {
    let lives = |facts: &Facts| facts.expires > now;
    let older = stock.trusted.iter().filter(|ca| lives(&ca.facts)).take(3).cloned();
    Ok([stock::Ca::of(pair)?].into_iter().chain(older).collect())
}

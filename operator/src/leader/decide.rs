use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::LEASE_DURATION;

/// The lease as it was last seen, and since when by the own clock.
#[derive(Default)]
pub(super) struct Seen(Option<(LeaseSpec, Instant)>);

impl Seen {
    /// Notes the lease as it is; only a change starts the time anew.
    pub fn look(&mut self, spec: &LeaseSpec, now: Instant) {
        if self.0.as_ref().is_none_or(|(seen, _)| seen != spec) {
            self.0 = Some((spec.clone(), now));
        }
    }

    fn unchanged_for(&self, now: Instant) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |(_, since)| now.duration_since(*since))
    }
}

/// What to do about the lease.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Somebody else has it.
    Wait,
    /// Write this: take it, or renew it.
    Hold(LeaseSpec),
}

/// Pure: whether the lease is ours to take or to renew.
pub(super) fn decide(spec: &LeaseSpec, seen: &Seen, identity: &str, now: Instant) -> Step {
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let duration = spec
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok())
        .map_or(LEASE_DURATION, Duration::from_secs);
    let ours = holder == identity;
    if !ours && !holder.is_empty() && seen.unchanged_for(now) <= duration {
        return Step::Wait;
    }
    let written = MicroTime(Timestamp::now());
    let (acquire_time, transitions) = match ours {
        true => (spec.acquire_time.clone(), spec.lease_transitions),
        false => (Some(written.clone()), Some(spec.lease_transitions.map_or(0, |n| n.saturating_add(1)))),
    };
    Step::Hold(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time,
        renew_time: Some(written),
        lease_transitions: transitions,
        ..LeaseSpec::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        }
    }

    fn holder_and_transitions(step: Step) -> Option<(String, i32)> {
        match step {
            Step::Hold(LeaseSpec { holder_identity: Some(holder), lease_transitions: Some(n), .. }) => {
                Some((holder, n))
            }
            _ => None,
        }
    }

    #[test]
    fn a_lease_that_nobody_has_is_taken() {
        let now = Instant::now();
        assert_eq!(
            holder_and_transitions(decide(&LeaseSpec::default(), &Seen::default(), "a", now)),
            Some(("a".into(), 0))
        );
        let (mut seen, released) = (Seen::default(), held_by(""));
        seen.look(&released, now);
        assert_eq!(holder_and_transitions(decide(&released, &seen, "a", now)), Some(("a".into(), 4)));
    }

    #[test]
    fn ones_own_lease_is_renewed_however_late() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        seen.look(&held_by("a"), now);
        let late = now + Duration::from_secs(100);
        assert_eq!(holder_and_transitions(decide(&held_by("a"), &seen, "a", late)), Some(("a".into(), 3)));
    }

    #[test]
    fn anothers_lease_is_taken_once_it_was_not_renewed_for_its_duration() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let mut lease = held_by("b");
        seen.look(&lease, now);
        assert_eq!(decide(&lease, &seen, "a", now + Duration::from_secs(15)), Step::Wait);
        // A renewal starts the time anew.
        lease.renew_time = Some(MicroTime(Timestamp::UNIX_EPOCH));
        seen.look(&lease, now + Duration::from_secs(14));
        assert_eq!(decide(&lease, &seen, "a", now + Duration::from_secs(29)), Step::Wait);
        let taken = decide(&lease, &seen, "a", now + Duration::from_secs(30));
        assert_eq!(holder_and_transitions(taken), Some(("a".into(), 4)));
    }
}

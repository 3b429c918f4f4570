//! Times at which a name is resolved again.
//!
//! This module uses neither a clock nor a random source.

use std::time::Duration;

use crate::config;

/// Longest pause after consecutive failures, unless `max_interval` is shorter.
///
/// After an outage, a name server is used again before an operator loses patience.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Fraction by which a pause is randomly shortened or lengthened. Without it, names that were first
/// resolved at the same time would always be resolved at the same time.
const JITTER: f64 = 0.1;

/// Outcome of a lookup without targets, as far as it matters for the time of the next lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The name does not exist, and this negative answer is valid for this long (RFC 2308).
    Negative(Duration),
    /// Number of consecutive lookups that have failed, or have returned a negative answer without a
    /// TTL.
    Failures(u32),
}

/// Returns the pause between a lookup and the next one. `result` is the TTL of the answer, or the
/// reason why there is no answer. `random` is at least 0 and below 1.
///
/// The pause is at least `min_interval`, and at most `max_interval`.
pub(super) fn next_lookup(
    result: Result<Duration, Unanswered>,
    settings: &config::Resolve,
    random: f64,
) -> Duration {
    let (min, max) = (settings.min_interval, settings.max_interval);
    // `clamp` would panic if the minimum is greater than the maximum.
    let bounded = |pause: Duration, max: Duration| pause.min(max).max(min);
    let pause = match result {
        Ok(ttl) | Err(Unanswered::Negative(ttl)) => bounded(ttl, max),
        Err(Unanswered::Failures(failures)) => {
            let factor = 1u32.checked_shl(failures.saturating_sub(1));
            bounded(
                min.saturating_mul(factor.unwrap_or(u32::MAX)),
                max.min(MAX_RETRY),
            )
        }
    };
    let factor = 1.0 + JITTER * (2.0 * random - 1.0);
    let jittered = Duration::try_from_secs_f64(pause.as_secs_f64() * factor);
    bounded(jittered.unwrap_or(max), max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIDDLE: f64 = 0.5;

    fn settings(min: Duration, max: Duration) -> config::Resolve {
        config::Resolve {
            min_interval: min,
            max_interval: max,
            ..config::Resolve::default()
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn follows_the_ttl_within_bounds() {
        let settings = settings(secs(2), secs(300));
        for (ttl, expected) in [
            (Duration::ZERO, secs(2)),
            (secs(1), secs(2)),
            (secs(2), secs(2)),
            (secs(60), secs(60)),
            (secs(300), secs(300)),
            (secs(86_400), secs(300)),
            (Duration::MAX, secs(300)),
        ] {
            assert_eq!(next_lookup(Ok(ttl), &settings, MIDDLE), expected, "{ttl:?}");
            let negative = Err(Unanswered::Negative(ttl));
            assert_eq!(next_lookup(negative, &settings, MIDDLE), expected);
        }
    }

    #[test]
    fn waits_longer_after_each_failure() {
        let check = |min, max, failures: u32, expected| {
            let result = Err(Unanswered::Failures(failures));
            let pause = next_lookup(result, &settings(min, max), MIDDLE);
            assert_eq!(pause, expected, "{failures} failures");
        };
        for (failures, expected) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (5, 16),
            (6, 30),
            (33, 30),
            (u32::MAX, 30),
        ] {
            check(secs(1), secs(300), failures, secs(expected));
        }
        check(secs(1), secs(10), 9, secs(10));
        check(secs(60), secs(300), 1, secs(60));
        check(secs(60), secs(300), 9, secs(60));
    }

    #[test]
    fn spreads_lookups() {
        let settings = settings(secs(1), secs(300));
        let check = |ttl, random, expected: f64| {
            let pause = next_lookup(Ok(ttl), &settings, random).as_secs_f64();
            assert!(
                (pause - expected).abs() < 1e-6,
                "{pause} s, not {expected} s"
            );
        };
        check(secs(100), 0.0, 90.0);
        check(secs(100), 0.25, 95.0);
        check(secs(100), 0.75, 105.0);
        check(secs(1), 0.0, 1.0);
        check(secs(1), 0.75, 1.05);
        check(secs(300), 0.75, 300.0);
    }

    #[test]
    fn bounds_that_contradict_do_no_harm() {
        let pause = next_lookup(Ok(secs(5)), &settings(secs(20), secs(10)), MIDDLE);
        assert_eq!(pause, secs(20));
    }

    fn duration() -> impl Strategy<Value = Duration> {
        any::<u64>().prop_flat_map(|bits| (0..=bits).prop_map(Duration::from_millis))
    }

    proptest! {
        #[test]
        fn stays_within_bounds(
            bounds in (duration(), duration()),
            ttl in duration(),
            failures in any::<u32>(),
            random in 0.0..1.0f64,
        ) {
            let (min, max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let settings = settings(min, max);
            for result in [
                Ok(ttl),
                Err(Unanswered::Negative(ttl)),
                Err(Unanswered::Failures(failures)),
            ] {
                let pause = next_lookup(result, &settings, random);
                prop_assert!(pause >= min && pause <= max, "{:?}: {:?}", result, pause);
            }
            let retry = next_lookup(Err(Unanswered::Failures(failures)), &settings, random);
            prop_assert!(retry <= MAX_RETRY.mul_f64(1.0 + JITTER).max(min.saturating_mul(2)));
        }
    }
}

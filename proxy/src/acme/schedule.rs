//! Times at which certificates are ordered. Pure arithmetic: no clock, no disk, no random numbers.
//!
//! Times are in seconds since 1970, because they are compared with the dates in certificates and
//! written to disk.

/// Pause after the first failure.
const MIN_PAUSE: i64 = 60;
/// Maximum pause. The pause doubles with each failure until it reaches this limit.
const MAX_PAUSE: i64 = 24 * 60 * 60;
/// Longest pause that a server can request. Public servers apply their rate limits per week.
const MAX_RETRY_AFTER: i64 = 7 * 24 * 60 * 60;
/// Divisor of the random spread, which keeps many proxies from sending requests at the same moment.
/// A renewal is brought forward by up to `1 / SPREAD` of the lifetime, and a pause is shortened by
/// up to `2 / SPREAD`.
const SPREAD: i64 = 20;

/// The period in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// Returns the time of renewal: when two thirds of the lifetime have passed, or earlier by up to a
/// twentieth of the lifetime.
///
/// `chance` selects the time in that range. A certificate always yields the same `chance`, so after
/// a restart, or in another process, the renewal time is the same.
pub(super) fn renewal(validity: Validity, chance: u16) -> i64 {
    let lifetime = validity.not_after.saturating_sub(validity.not_before);
    let lifetime = lifetime.max(0);
    let due = lifetime / 3 * 2 + lifetime % 3 * 2 / 3;
    let early = part(lifetime / SPREAD, chance);
    validity.not_before.saturating_add(due - early)
}

/// Returns the time of the next attempt after `failures` consecutive failures. `retry_after` is the
/// time that the server has requested.
pub(super) fn next_try(now: i64, failures: u32, retry_after: Option<i64>, chance: u16) -> i64 {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = (MIN_PAUSE << doublings).min(MAX_PAUSE);
    let pause = pause - part(pause / (SPREAD / 2), chance);
    let wanted = retry_after.map_or(0, |time| time.saturating_sub(now).min(MAX_RETRY_AFTER));
    now.saturating_add(pause.max(wanted))
}

/// Caps a time read from disk at [`MAX_RETRY_AFTER`] from now. A later time means that the clock
/// was wrong when the time was written.
pub(super) fn believable(now: i64, next_try: i64) -> i64 {
    next_try.min(now.saturating_add(MAX_RETRY_AFTER))
}

/// Returns a fraction of `whole` that `chance` selects: from 0 to nearly all of it.
fn part(whole: i64, chance: u16) -> i64 {
    whole / 0x1_0000 * i64::from(chance) + whole % 0x1_0000 * i64::from(chance) / 0x1_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn renewals() {
        let check = |not_before, not_after, chance, expected| {
            let validity = Validity {
                not_before,
                not_after,
            };
            let found = renewal(validity, chance);
            assert_eq!(found, expected, "{not_before} {not_after} {chance}");
        };
        check(0, 90 * DAY, 0, 60 * DAY);
        check(0, 90 * DAY, 0x8000, 60 * DAY - 90 * DAY / 40);
        check(1000, 1000 + 90 * DAY, 0, 1000 + 60 * DAY);
        check(0, 6 * DAY, 0, 4 * DAY);
        check(100, 130, 0, 120);
        check(100, 101, 0, 100);
        // Wrong clocks and invalid certificates.
        check(100, 100, 0xffff, 100);
        check(100, 50, 0xffff, 100);
        check(i64::MIN, i64::MAX, 0, i64::MIN + i64::MAX / 3 * 2);
        // The renewal is never later than two thirds of the lifetime, and never more than a
        // twentieth earlier.
        for chance in [0, 1, 0x7fff, 0xffff] {
            let validity = Validity {
                not_before: 0,
                not_after: 90 * DAY,
            };
            let due = renewal(validity, chance);
            assert!((60 * DAY - 90 * DAY / 20..=60 * DAY).contains(&due));
        }
    }

    #[test]
    fn pauses() {
        let check = |failures, retry_after, expected| {
            let found = next_try(1000, failures, retry_after, 0) - 1000;
            assert_eq!(found, expected, "{failures} {retry_after:?}");
        };
        check(0, None, 60);
        check(1, None, 60);
        check(2, None, 120);
        check(5, None, 960);
        check(11, None, 61_440);
        check(12, None, DAY);
        check(u32::MAX, None, DAY);
        check(1, Some(1000 + 3600), 3600);
        check(12, Some(1000 + 3600), DAY);
        check(1, Some(0), 60);
        check(1, Some(i64::MAX), 7 * DAY);
        let shortest = next_try(0, 1, None, 0xffff);
        assert!((54..=60).contains(&shortest), "{shortest}");
    }

    #[test]
    fn times_of_a_wrong_clock() {
        let check = |next_try, expected| assert_eq!(believable(1000, next_try), expected);
        check(0, 0);
        check(1000 + DAY, 1000 + DAY);
        check(i64::MAX, 1000 + 7 * DAY);
    }
}

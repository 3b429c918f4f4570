//! The health of an endpoint, as established by checks and requests.
//!
//! It is kept in atomics that all workers share, so a failure that one worker detects is visible to
//! the others. `endpoint::Endpoint` owns it and publishes each change. It is updated by requests,
//! and by `keeper`, which runs the checks and ends ejections.

mod check;
pub mod keeper;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Outlier;

/// Percentage of its weight that an endpoint has at the start of a slow start.
pub(super) const SLOW_START_FLOOR: u32 = 10;

/// The condition of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing indicates a failure.
    Up,
    /// The endpoint serves. Its last checks have failed, but fewer than `fall`.
    GoingDown,
    /// As many consecutive checks have failed as it takes to consider the endpoint down.
    Down,
    /// No connection to the endpoint can be established.
    Unreachable,
    /// Too many requests have failed at the endpoint.
    Ejected,
    /// The ejection has ended, and one request at a time tests whether the endpoint serves again.
    Trial,
}

impl Condition {
    /// Returns the word for the condition in the log, the metrics and the admin interface.
    pub fn word(self) -> &'static str {
        match self {
            Condition::Up => "up",
            Condition::GoingDown => "going-down",
            Condition::Down => "down",
            Condition::Unreachable => "unreachable",
            Condition::Ejected => "ejected",
            Condition::Trial => "trial",
        }
    }

    /// Returns whether every request can use the endpoint.
    pub fn is_usable(self) -> bool {
        matches!(self, Condition::Up | Condition::GoingDown)
    }
}

/// Whether a request tests an endpoint that is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// An ordinary request.
    Request,
    /// The request that tests whether the endpoint serves again.
    Trial,
}

/// A change to an endpoint's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: Condition,
    pub(super) to: Condition,
}

/// The condition according to checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checked {
    Up = 0,
    GoingDown = 1,
    Down = 2,
}

/// The condition according to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestState {
    Serves = 0,
    Unreachable = 1,
    Ejected = 2,
    Trial = 3,
}

/// The conditions according to checks and requests, packed into one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedCondition(u8);

impl PackedCondition {
    fn new(checked: Checked, state: RequestState) -> PackedCondition {
        PackedCondition(checked as u8 | (state as u8) << 2)
    }

    fn checked(self) -> Checked {
        match self.0 & 3 {
            0 => Checked::Up,
            1 => Checked::GoingDown,
            _ => Checked::Down,
        }
    }

    fn request_state(self) -> RequestState {
        match self.0 >> 2 {
            0 => RequestState::Serves,
            1 => RequestState::Unreachable,
            2 => RequestState::Ejected,
            _ => RequestState::Trial,
        }
    }

    fn condition(self) -> Condition {
        match (self.checked(), self.request_state()) {
            (Checked::Down, _) => Condition::Down,
            (_, RequestState::Unreachable) => Condition::Unreachable,
            (_, RequestState::Ejected) => Condition::Ejected,
            (_, RequestState::Trial) => Condition::Trial,
            (Checked::GoingDown, RequestState::Serves) => Condition::GoingDown,
            (Checked::Up, RequestState::Serves) => Condition::Up,
        }
    }
}

/// The health of an endpoint.
#[derive(Debug)]
pub(super) struct Health {
    created: Instant,
    packed: AtomicU8,
    /// Whether any check has been completed.
    is_checked: AtomicBool,
    /// Number of consecutive checks in favor of a change between up and down.
    checks: AtomicU32,
    /// Number of consecutive failed requests.
    failures: AtomicU32,
    /// Number of consecutive ejections.
    ejections: AtomicU32,
    /// End of the last ejection, in milliseconds since `created`.
    ejected_until: AtomicU64,
    /// Whether a request is testing the endpoint.
    is_trying: AtomicBool,
    /// Percentage of its weight that the endpoint has now.
    share: AtomicU32,
    /// Start of the slow start, in milliseconds since `created`.
    slow_since: AtomicU64,
}

impl Health {
    pub(super) fn new() -> Health {
        Health {
            created: Instant::now(),
            packed: AtomicU8::new(PackedCondition::new(Checked::Up, RequestState::Serves).0),
            is_checked: AtomicBool::new(false),
            checks: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            is_trying: AtomicBool::new(false),
            share: AtomicU32::new(100),
            slow_since: AtomicU64::new(0),
        }
    }

    fn packed(&self) -> PackedCondition {
        PackedCondition(self.packed.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn condition(&self) -> Condition {
        self.packed().condition()
    }

    /// Applies `change` to the conditions according to checks and requests. Returns the change to
    /// the endpoint's resulting condition, or `None` if that stays the same.
    fn change(
        &self,
        change: impl Fn(Checked, RequestState) -> Option<(Checked, RequestState)>,
    ) -> Option<Change> {
        let order = Ordering::AcqRel;
        let changed = self
            .packed
            .fetch_update(order, Ordering::Acquire, |packed| {
                let (checked, state) = change(
                    PackedCondition(packed).checked(),
                    PackedCondition(packed).request_state(),
                )?;
                Some(PackedCondition::new(checked, state).0)
            });
        let from = PackedCondition(changed.ok()?);
        let (checked, state) = change(from.checked(), from.request_state())?;
        let (from, to) = (
            from.condition(),
            PackedCondition::new(checked, state).condition(),
        );
        (from != to).then_some(Change { from, to })
    }

    fn set_request_state(&self, from: &[RequestState], to: RequestState) -> Option<Change> {
        self.change(|checked, state| from.contains(&state).then_some((checked, to)))
    }

    /// Records that no connection could be established.
    pub(super) fn unreachable(&self) -> Option<Change> {
        self.set_request_state(
            &[
                RequestState::Serves,
                RequestState::Ejected,
                RequestState::Trial,
            ],
            RequestState::Unreachable,
        )
    }

    /// Records that a connection was established.
    #[inline]
    pub(super) fn connected(&self) -> Option<Change> {
        // The state is rarely `Unreachable`. Without a write, the cache line stays shared.
        if self.packed().request_state() != RequestState::Unreachable {
            return None;
        }
        self.set_request_state(&[RequestState::Unreachable], RequestState::Serves)
    }

    /// Records that a request got a good response.
    #[inline]
    pub(super) fn answered(&self) {
        // The count is nearly always 0 already. Without a write, the cache line stays shared.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Records that the request that tested the endpoint got a good response.
    pub(super) fn trial_succeeded(&self) -> Option<Change> {
        self.set_request_state(&[RequestState::Trial], RequestState::Serves)
    }

    /// Records a failed request. Returns whether the endpoint should be ejected.
    pub(super) fn failed(&self, outlier: &Outlier, of: Tried) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        // During a trial, only the request that tests the endpoint counts. Requests from before the
        // ejection say nothing about the present state.
        let is_one_too_many = match self.packed().request_state() {
            RequestState::Trial => of == Tried::Trial,
            _ => failures >= outlier.consecutive,
        };
        outlier.consecutive > 0 && is_one_too_many
    }

    /// Ejects the endpoint. Each consecutive ejection is longer than the one before, up to a
    /// maximum. Only one thread at a time may call this.
    pub(super) fn eject(&self, outlier: &Outlier) -> Option<Change> {
        if !matches!(
            self.packed().request_state(),
            RequestState::Serves | RequestState::Trial
        ) {
            return None;
        }
        let now = self.age();
        let last = self.ejected_until.load(Ordering::Relaxed);
        let ejections = self.ejections.load(Ordering::Relaxed);
        // If the endpoint has served for longer than its last ejection lasted, the count of
        // consecutive ejections restarts at 1.
        let served = Duration::from_millis(now.saturating_sub(last));
        let ejections = if served > duration(ejections, outlier) {
            1
        } else {
            ejections.saturating_add(1)
        };
        self.ejections.store(ejections, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        let until = now.saturating_add(millis(duration(ejections, outlier)));
        // The end is stored first, so that every thread that sees the ejection also sees when it
        // ends.
        self.ejected_until.store(until, Ordering::Release);
        self.set_request_state(
            &[RequestState::Serves, RequestState::Trial],
            RequestState::Ejected,
        )
    }

    /// Returns the end of the ejection, if the endpoint is ejected.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        let is_ejected = PackedCondition(self.packed.load(Ordering::Acquire)).request_state()
            == RequestState::Ejected;
        let until = Duration::from_millis(self.ejected_until.load(Ordering::Acquire));
        is_ejected.then(|| self.created + until)
    }

    /// Ends the ejection, and puts the endpoint on trial.
    pub(super) fn allow_trial(&self) -> Option<Change> {
        self.set_request_state(&[RequestState::Ejected], RequestState::Trial)
    }

    /// Returns whether the caller becomes the one request that tests the endpoint. If so, the
    /// caller must call [`end_trial`](Self::end_trial) once it has a result, or when it ends
    /// without one.
    pub(super) fn try_trial(&self) -> bool {
        self.packed().request_state() == RequestState::Trial
            && !self.is_trying.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_trial(&self) {
        self.is_trying.store(false, Ordering::Release);
    }

    /// Records a successful check. An endpoint that is down comes up after `rise` consecutive
    /// successful checks.
    pub(super) fn check_succeeded(&self, rise: u32) -> Option<Change> {
        self.is_checked.store(true, Ordering::Relaxed);
        let is_down = self.packed().checked() == Checked::Down;
        let checks = self.checks.load(Ordering::Relaxed) + 1;
        let is_up = !is_down || checks >= rise;
        let checks = if is_up { 0 } else { checks };
        self.checks.store(checks, Ordering::Relaxed);
        self.change(|checked, state| {
            let checked = if is_up { Checked::Up } else { checked };
            Some((checked, state))
        })
    }

    /// Records a failed check. An endpoint that is up goes down after `fall` consecutive failed
    /// checks, or if its first check fails.
    pub(super) fn check_failed(&self, fall: u32) -> Option<Change> {
        let is_first = !self.is_checked.swap(true, Ordering::Relaxed);
        let was_down = self.packed().checked() == Checked::Down;
        let checks = self.checks.load(Ordering::Relaxed) + 1;
        let is_down = was_down || is_first || checks >= fall;
        let checks = if is_down { 0 } else { checks };
        self.checks.store(checks, Ordering::Relaxed);
        let to = if is_down {
            Checked::Down
        } else {
            Checked::GoingDown
        };
        self.change(|_, state| Some((to, state)))
    }

    /// Clears the results of checks, after checks have been turned off.
    pub(super) fn forget_checks(&self) -> Option<Change> {
        self.is_checked.store(false, Ordering::Relaxed);
        self.checks.store(0, Ordering::Relaxed);
        self.change(|_, state| Some((Checked::Up, state)))
    }

    /// Clears all results of checks and requests, at an operator's request.
    pub(super) fn reset(&self) -> Option<Change> {
        self.failures.store(0, Ordering::Relaxed);
        self.ejections.store(0, Ordering::Relaxed);
        self.is_checked.store(false, Ordering::Relaxed);
        self.checks.store(0, Ordering::Relaxed);
        self.change(|_, _| Some((Checked::Up, RequestState::Serves)))
    }

    /// Returns the percentage of its weight that the endpoint has now.
    #[inline]
    pub(super) fn share(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }

    /// Starts a slow start: from now on the share grows.
    pub(super) fn begin_slow_start(&self) {
        self.slow_since.store(self.age(), Ordering::Relaxed);
        self.share.store(SLOW_START_FLOOR, Ordering::Relaxed);
    }

    /// Updates the share to its current value, for a slow start of this duration.
    pub(super) fn go_on_with_slow_start(&self, duration: Option<Duration>) {
        let since = self.slow_since.load(Ordering::Relaxed);
        let elapsed = u128::from(self.age().saturating_sub(since));
        let whole = duration.map_or(0, |duration| duration.as_millis());
        let share = if elapsed >= whole {
            100
        } else {
            let grown = elapsed * u128::from(100 - SLOW_START_FLOOR) / whole;
            SLOW_START_FLOOR + u32::try_from(grown).unwrap_or(0)
        };
        self.share.store(share, Ordering::Relaxed);
    }

    /// Returns the milliseconds since creation.
    fn age(&self) -> u64 {
        millis(self.created.elapsed())
    }
}

/// Returns the duration of the `count`th consecutive ejection.
fn duration(count: u32, outlier: &Outlier) -> Duration {
    outlier
        .ejection
        .saturating_mul(count)
        .min(outlier.max_ejection)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlier(consecutive: u32) -> Outlier {
        Outlier {
            consecutive,
            ..Outlier::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unreachable_until_a_connection_is_made() {
        let health = Health::new();
        assert_eq!(health.connected(), None);
        let change = health.unreachable().unwrap();
        assert_eq!(
            (change.from, change.to),
            (Condition::Up, Condition::Unreachable)
        );
        assert_eq!(health.unreachable(), None);
        assert_eq!(health.connected().unwrap().to, Condition::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn ejected_for_longer_each_time() {
        let health = Health::new();
        let outlier = outlier(2);
        assert!(!health.failed(&outlier, Tried::Request));
        health.answered();
        assert!(!health.failed(&outlier, Tried::Request));
        assert!(health.failed(&outlier, Tried::Request));
        for seconds in [10, 20, 30] {
            let ejected = Instant::now();
            assert_eq!(health.eject(&outlier).unwrap().to, Condition::Ejected);
            let until = health.ejected_until().unwrap();
            assert_eq!(until - ejected, Duration::from_secs(seconds));
            tokio::time::advance(until - ejected).await;
            assert_eq!(health.allow_trial().unwrap().to, Condition::Trial);
            assert!(health.try_trial());
            assert!(!health.try_trial());
            // Requests from before the ejection are irrelevant. A single failure of the trial is
            // enough.
            assert!(!health.failed(&outlier, Tried::Request));
            assert!(health.failed(&outlier, Tried::Trial));
            health.end_trial();
        }
        assert!(health.try_trial());
        health.answered();
        assert_eq!(health.condition(), Condition::Trial);
        assert_eq!(health.trial_succeeded().unwrap().to, Condition::Up);
        health.end_trial();
        assert!(!health.try_trial());
        // The endpoint has served for long enough to reset the count of ejections.
        tokio::time::advance(Duration::from_secs(31)).await;
        let ejected = Instant::now();
        assert!(health.eject(&outlier).is_some());
        let until = health.ejected_until().unwrap();
        assert_eq!(until - ejected, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn no_ejection_exceeds_the_maximum() {
        let health = Health::new();
        let outlier = Outlier {
            max_ejection: Duration::from_secs(15),
            ..outlier(1)
        };
        for _ in 0..5 {
            assert!(health.eject(&outlier).is_some());
            let until = health.ejected_until().unwrap();
            assert!(until <= Instant::now() + outlier.max_ejection);
            tokio::time::advance(outlier.ejection).await;
            health.allow_trial();
        }
    }

    #[test]
    fn checks() {
        // Results of checks, with rise 2 and fall 3, and the condition after each.
        for (checks, expected) in [
            ("-", "down"),
            ("+-", "up going-down"),
            ("+--+-", "up going-down going-down up going-down"),
            ("+---+", "up going-down going-down down down"),
            ("-++", "down down up"),
            ("-+-+", "down down down down"),
            ("-+-++", "down down down down up"),
        ] {
            let health = Health::new();
            let conditions: Vec<_> = checks
                .chars()
                .map(|check| {
                    match check {
                        '+' => health.check_succeeded(2),
                        _ => health.check_failed(3),
                    };
                    health.condition().word()
                })
                .collect();
            assert_eq!(conditions.join(" "), expected, "{checks}");
        }
    }

    #[test]
    fn checks_and_requests_do_not_overrule_each_other() {
        let health = Health::new();
        health.eject(&outlier(1));
        assert_eq!(health.check_succeeded(1), None);
        assert_eq!(health.condition(), Condition::Ejected);
        assert_eq!(health.check_failed(1).unwrap().to, Condition::Down);
        assert_eq!(health.allow_trial(), None);
        assert_eq!(health.check_succeeded(1).unwrap().to, Condition::Trial);
        // The check can use another port, so its success does not show that requests can connect.
        assert_eq!(health.unreachable().unwrap().to, Condition::Unreachable);
        assert_eq!(health.check_succeeded(1), None);
        assert_eq!(health.connected().unwrap().to, Condition::Up);
    }
}

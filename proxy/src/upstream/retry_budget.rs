//! The retry budget: retries are limited to a share of all requests, so that they do not overwhelm
//! servers that are already overloaded.

use std::cell::Cell;

use tokio::time::Instant;

/// Number of retries in the reserve, which is available whatever the share. It matters at low
/// traffic, where a share of the requests is less than one retry.
const RESERVE: u64 = 10;

/// Maximum number of requests whose shares can accumulate.
const MAX_DEPOSIT: u64 = 1_000;

/// One retry, in hundredths.
const WHOLE: u64 = 100;

/// A worker's retry budget for a backend. Every request deposits its share, and each retry
/// withdraws one whole retry. The reserve is refilled within a second.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// Number of requests since the last call to [`withdraw`](Self::withdraw).
    deposited: Cell<u64>,
    /// Balance of retries that earlier requests have paid for, in hundredths of a retry.
    balance: Cell<u64>,
    reserve: Cell<u64>,
    /// Time when the reserve was last refilled.
    refilled: Cell<Option<Instant>>,
}

impl RetryBudget {
    pub(super) fn new() -> RetryBudget {
        RetryBudget {
            deposited: Cell::new(0),
            balance: Cell::new(0),
            reserve: Cell::new(RESERVE * WHOLE),
            refilled: Cell::new(None),
        }
    }

    /// Counts a request.
    #[inline]
    pub(super) fn deposit(&self) {
        self.deposited.set(self.deposited.get() + 1);
    }

    /// Returns whether a retry is allowed. If so, counts the retry. `percent` is the share.
    pub(super) fn withdraw(&self, percent: u32, now: Instant) -> bool {
        if percent == 0 {
            return false;
        }
        let deposited = self.deposited.take().min(MAX_DEPOSIT);
        let most = MAX_DEPOSIT * u64::from(percent);
        let balance = self.balance.get() + deposited * u64::from(percent);
        self.balance.set(balance.min(most));
        self.refill(now);
        for account in [&self.balance, &self.reserve] {
            if let Some(rest) = account.get().checked_sub(WHOLE) {
                account.set(rest);
                return true;
            }
        }
        false
    }

    fn refill(&self, now: Instant) {
        let full = RESERVE * WHOLE;
        let before = self.refilled.get().unwrap_or(now);
        let elapsed = now.saturating_duration_since(before).as_millis();
        let more = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let more = more.saturating_mul(full) / 1_000;
        // If less than a millisecond has passed, the time counts toward the next refill.
        if more > 0 || self.refilled.get().is_none() {
            self.refilled.set(Some(now));
            let reserve = self.reserve.get().saturating_add(more);
            self.reserve.set(reserve.min(full));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_requests_and_a_reserve() {
        let budget = RetryBudget::new();
        for _ in 0..100 {
            budget.deposit();
        }
        let now = Instant::now();
        let count = |now| (0..1_000).filter(|_| budget.withdraw(20, now)).count();
        assert_eq!(count(now), 20 + 10);
        assert_eq!(count(now), 0);
        assert_eq!(count(now + Duration::from_millis(500)), 5);
        budget.deposit();
        assert!(!budget.withdraw(0, now + Duration::from_hours(1)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget(
            percent in 1..=100_u32,
            steps in prop::collection::vec((0..50_u32, 0..50_u32, 0..2_000_u64), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let budget = RetryBudget::new();
                let begin = Instant::now();
                let (mut requests, mut retries) = (0_u64, 0_u64);
                let mut elapsed = 0;
                for (more, wanted, millis) in steps {
                    elapsed += millis;
                    let now = begin + Duration::from_millis(elapsed);
                    for _ in 0..more {
                        requests += 1;
                        budget.deposit();
                    }
                    for _ in 0..wanted {
                        retries += u64::from(budget.withdraw(percent, now));
                    }
                    let reserve = RESERVE + RESERVE * elapsed / 1_000;
                    let most = requests * u64::from(percent) / 100 + reserve;
                    assert!(retries <= most, "{retries} of {most}");
                }
            });
        }
    }
}

//! Sums of counters under names that outlive the counted things.
//!
//! A change to the configuration can add or remove a frontend, a version or a server. Its counters
//! are booked here under its name, so that no sum ever falls while the process lives. Counters are
//! booked when the counted thing comes into force, and read for the metrics. No request accesses
//! the ledger.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of names in a ledger. Counters of all later names are booked under [`OTHER`].
///
/// Prometheus accepts this many series from one process without complaint. Names come from
/// configurations. Few files contain this many names, but a file that is rewritten again and again
/// can reach the limit over time.
const MAX_ACCOUNTS: usize = 10_000;

/// Name that stands for every name after the first [`MAX_ACCOUNTS`].
const OTHER: &str = "_other";

/// Counters of one thing, which any holder of them can increment.
pub trait Countable {
    /// Values of the counters at one moment.
    type Totals: Default + Clone;

    /// Adds the current values to `totals`.
    fn add_to(&self, totals: &mut Self::Totals);
}

/// Counters by the names of the counted things, outermost name first.
pub struct Ledger<const NAMES: usize, C: Countable + ?Sized> {
    accounts: Mutex<BTreeMap<[String; NAMES], Account<C>>>,
}

/// All counters that were ever booked under one name.
struct Account<C: Countable + ?Sized> {
    /// Sums of the counters that have been dropped because only the ledger still held them.
    closed: C::Totals,
    open: Vec<Arc<C>>,
    /// Number of open counters at which the next booking closes the unused ones.
    next_purge: usize,
}

impl<const NAMES: usize, C: Countable + ?Sized> Ledger<NAMES, C> {
    /// Creates an empty ledger.
    pub const fn new() -> Self {
        Ledger {
            accounts: Mutex::new(BTreeMap::new()),
        }
    }

    /// Books counters under a name. The sum includes everything that they have counted so far.
    /// Booking the same counters again has no effect.
    pub fn book(&self, names: [&str; NAMES], counters: &Arc<C>) {
        let mut names = names.map(str::to_owned);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(&names) {
            names = [const { String::new() }; NAMES].map(|_| OTHER.to_owned());
        }
        let account = accounts.entry(names).or_insert_with(|| Account {
            closed: C::Totals::default(),
            open: Vec::new(),
            next_purge: 1,
        });
        if account.open.len() >= account.next_purge {
            account.close_unused();
            // The next purge happens only once the number has doubled, so the amortized cost of a
            // booking is constant.
            account.next_purge = (2 * account.open.len()).max(1);
        }
        if !account.open.iter().any(|open| Arc::ptr_eq(open, counters)) {
            account.open.push(Arc::clone(counters));
        }
    }

    /// Returns the sums of all counters that were booked, by name.
    pub fn totals(&self) -> Vec<([String; NAMES], C::Totals)> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = accounts.iter_mut().map(|(names, account)| {
            account.close_unused();
            let mut totals = account.closed.clone();
            for counters in &account.open {
                counters.add_to(&mut totals);
            }
            (names.clone(), totals)
        });
        totals.collect()
    }
}

impl<const NAMES: usize, C: Countable + ?Sized> Default for Ledger<NAMES, C> {
    fn default() -> Self {
        Ledger::new()
    }
}

impl<const NAMES: usize, C: Countable + ?Sized> fmt::Debug for Ledger<NAMES, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl<C: Countable + ?Sized> Account<C> {
    /// Adds the counters that only the ledger still holds to `closed`, and drops them. No one can
    /// change their values any more.
    fn close_unused(&mut self) {
        let Account { closed, open, .. } = self;
        open.retain_mut(|counters| {
            let is_used = Arc::get_mut(counters).is_none();
            if !is_used {
                counters.add_to(closed);
            }
            is_used
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Counter;

    impl Countable for Counter {
        type Totals = u64;

        fn add_to(&self, totals: &mut u64) {
            *totals += self.get();
        }
    }

    fn named(name: &str, count: u64) -> ([String; 1], u64) {
        ([name.to_owned()], count)
    }

    #[test]
    fn nothing_that_was_counted_is_lost() {
        let ledger = Ledger::<1, Counter>::new();
        let first = Arc::new(Counter::default());
        let second = Arc::new(Counter::default());
        ledger.book(["a"], &first);
        ledger.book(["a"], &first);
        ledger.book(["b"], &second);
        first.add(3);
        second.add(5);
        assert_eq!(ledger.totals(), [named("a", 3), named("b", 5)]);
        // The first counter still counts, although another counter has the same name now.
        let third = Arc::new(Counter::default());
        ledger.book(["a"], &third);
        first.count();
        third.count();
        assert_eq!(ledger.totals(), [named("a", 5), named("b", 5)]);
        drop((first, second, third));
        for _ in 0..2 {
            assert_eq!(ledger.totals(), [named("a", 5), named("b", 5)]);
        }
        assert!(
            ledger
                .accounts
                .lock()
                .unwrap()
                .values()
                .all(|one| one.open.is_empty())
        );
    }

    #[test]
    fn former_entries_take_no_memory() {
        let ledger = Ledger::<1, Counter>::new();
        for _ in 0..1000 {
            let counters = Arc::new(Counter::default());
            ledger.book(["a"], &counters);
            counters.count();
        }
        assert_eq!(
            ledger.accounts.lock().unwrap()[&["a".to_owned()]]
                .open
                .len(),
            1
        );
        assert_eq!(ledger.totals(), [named("a", 1000)]);
    }

    #[test]
    fn names_are_bounded() {
        let ledger = Ledger::<1, Counter>::new();
        for number in 0..MAX_ACCOUNTS + 10 {
            let counters = Arc::new(Counter::default());
            ledger.book([&number.to_string()], &counters);
            counters.count();
        }
        let totals = ledger.totals();
        assert_eq!(totals.len(), MAX_ACCOUNTS + 1);
        assert_eq!(totals.iter().map(|(_, count)| count).sum::<u64>(), 10_010);
        assert!(totals.contains(&named(OTHER, 10)));
        // A name that already has an account keeps it.
        let counters = Arc::new(Counter::default());
        ledger.book(["0"], &counters);
        counters.count();
        assert!(ledger.totals().contains(&named("0", 2)));
    }
}

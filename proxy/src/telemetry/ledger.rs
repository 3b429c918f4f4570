//! Sums of counters under names that stay, whatever becomes of what is counted.
//!
//! A frontend, a version or a server comes and goes with a change; its counters are booked here
//! under its name, so that no sum ever falls while the process lives. Filled where a thing comes
//! into force, read for the metrics; never on the path of a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Names that a ledger tells apart; whatever comes later is booked under [`OTHER`].
///
/// As many series as Prometheus takes from one process without complaint. Names come from
/// configurations: a file with so many of them is rare, one that is written anew for ever is not.
const MAX_ACCOUNTS: usize = 10_000;

/// Stands for every name after the first [`MAX_ACCOUNTS`].
const OTHER: &str = "_other";

/// Counters of one thing, which whatever holds them may write.
pub trait Countable {
    /// Their values at one moment.
    type Totals: Default + Clone;

    /// Adds the present values.
    fn add_to(&self, totals: &mut Self::Totals);
}

/// Counters by the names of what they count, outermost first.
pub struct Ledger<const NAMES: usize, C: Countable + ?Sized> {
    accounts: Mutex<BTreeMap<[String; NAMES], Account<C>>>,
}

/// All that there ever was under one name.
struct Account<C: Countable + ?Sized> {
    /// Of counters that nobody holds any more.
    closed: C::Totals,
    open: Vec<Arc<C>>,
    /// Counters that there may be before those that nobody holds are looked for.
    next_purge: usize,
}

impl<const NAMES: usize, C: Countable + ?Sized> Ledger<NAMES, C> {
    /// Without any name.
    pub const fn new() -> Self {
        Ledger {
            accounts: Mutex::new(BTreeMap::new()),
        }
    }

    /// Books counters under a name, from their beginning; again has no effect.
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
            // Once for as many new ones as are left: the cost of each stays the same.
            account.next_purge = (2 * account.open.len()).max(1);
        }
        if !account.open.iter().any(|open| Arc::ptr_eq(open, counters)) {
            account.open.push(Arc::clone(counters));
        }
    }

    /// The sums of all counters that were booked, by name.
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
    /// Counters that are held here alone change no more: their values are enough.
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
        // Its holder still counts, though another has its name now.
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
    fn what_has_come_and_gone_takes_no_memory() {
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
        // A name that is known stays as it is.
        let counters = Arc::new(Counter::default());
        ledger.book(["0"], &counters);
        counters.count();
        assert!(ledger.totals().contains(&named("0", 2)));
    }
}

//! Weighted round robin with evenly spread turns (earliest deadline first). The candidate whose
//! turn is due first gets the request. Its next turn is due after an interval that is inversely
//! proportional to its weight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Candidates;

/// Interval between two turns of a candidate of weight 1.
const TURN: u64 = 1 << 32;

/// Latest deadline. Once a deadline is later than this, all deadlines are made relative to the
/// earliest one again.
const LATEST: u64 = u64::MAX / 2;

/// The deadlines of the next turns.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    version: Option<u64>,
    /// Deadlines, each with a tie-breaker and the index of its candidate in `turns`.
    due: BinaryHeap<Reverse<(u64, usize, usize)>>,
    /// The candidates, each with the interval between two of its turns.
    turns: Vec<(usize, u64)>,
}

impl Schedule {
    /// Adopts changed candidates. Candidates that are still included keep their deadlines. Among
    /// equal deadlines, the first from position `start` on comes first.
    pub(super) fn follow(&mut self, candidates: &Candidates, start: usize) {
        if self.version == Some(candidates.version()) {
            return;
        }
        self.version = Some(candidates.version());
        let now = self.due.peek().map_or(0, |Reverse((due, ..))| *due);
        let known = self.due.drain().map(|Reverse((due, _, position))| {
            let (candidate, turn) = self.turns[position];
            // The time that is left of the candidate's current interval.
            (candidate, (due - now).min(turn))
        });
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        let count = candidates.list().len();
        let weighed = candidates.list().iter().zip(candidates.weights());
        self.turns = weighed
            .map(|(candidate, weight)| (*candidate, TURN / u64::from(*weight)))
            .collect();
        let turns = self.turns.iter().enumerate();
        self.due = turns
            .map(|(position, &(candidate, turn))| {
                let found = known.binary_search_by_key(&candidate, |(known, ..)| *known);
                let order = (position + count - start % count) % count;
                // The first turns of candidates of equal weight are spread over the interval, not
                // all due at once.
                let first = u128::from(turn) * (2 * order as u128 + 1) / (2 * count as u128);
                let first = u64::try_from(first).unwrap_or(turn);
                let rest = found.map_or(first, |found| known[found].1.min(turn));
                Reverse((rest, order, position))
            })
            .collect();
    }

    /// Returns the next candidate that is open. Candidates that are not open miss their turn.
    pub(super) fn next(&mut self, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..self.due.len() {
            let mut first = self.due.peek_mut()?;
            let Reverse((due, _, position)) = &mut *first;
            let (candidate, turn) = self.turns[*position];
            *due += turn;
            if *due > LATEST {
                self.version = None;
            }
            drop(first);
            if is_open(candidate) {
                return Some(candidate);
            }
        }
        None
    }
}

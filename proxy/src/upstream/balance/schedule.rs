//! Turns in proportion to weights, evenly spread: the candidate whose next turn is due first gets it,
//! and is due again after a time that is the shorter the more it weighs (earliest deadline first).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Candidates;

/// From one turn to the next of a candidate that weighs 1.
const TURN: u64 = 1 << 32;

/// Deadlines are moved back to the present once they are as late as this.
const LATEST: u64 = u64::MAX / 2;

/// When the next turns are due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    version: Option<u64>,
    /// Deadlines with what breaks ties between them, and the position of the candidate.
    due: BinaryHeap<Reverse<(u64, usize, usize)>>,
    /// The candidates with the time between two of their turns.
    turns: Vec<(usize, u64)>,
}

impl Schedule {
    /// Takes over other candidates. Those that it knows keep their deadlines; ties are broken from
    /// the `start`th on.
    pub(super) fn follow(&mut self, candidates: &Candidates, start: usize) {
        if self.version == Some(candidates.version()) {
            return;
        }
        self.version = Some(candidates.version());
        let now = self.due.peek().map_or(0, |Reverse((due, ..))| *due);
        let known = self.due.drain().map(|Reverse((due, _, position))| {
            let (candidate, turn) = self.turns[position];
            // How much of its turn is still to come.
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
                // Those that weigh the same begin one after the other, not all at once.
                let first = u128::from(turn) * (2 * order as u128 + 1) / (2 * count as u128);
                let first = u64::try_from(first).unwrap_or(turn);
                let rest = found.map_or(first, |found| known[found].1.min(turn));
                Reverse((rest, order, position))
            })
            .collect();
    }

    /// The next candidate that is open. Those that are passed over lose their turn.
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

//! Load balancing: the algorithms of `balance`, which choose the endpoint for a request.
//!
//! The algorithms choose among [`Candidates`] and do not depend on connections: all facts about a
//! candidate come from a [`Field`]. There is one [`Balancer`] for each worker and endpoint set.

mod candidates;
mod schedule;

use std::cell::{Cell, RefCell};

use self::schedule::Schedule;
use super::hash;
use super::random::Random;
use crate::config::Balance;

pub(super) use self::candidates::Candidates;

/// Maximum number of candidates among which the best is found by comparing all. Of more candidates,
/// two are drawn at random and compared, which is nearly as good.
const MAX_COMPARED: usize = 16;

/// Number of random draws before candidates are checked one by one.
const MAX_DRAWS: usize = 8;

/// Number of full candidates in a key's order after which any other candidate is taken. The limit
/// matters because each step in that order is a pass over all candidates.
const MAX_FULL: usize = 8;

/// Facts about candidates, which are identified by number.
pub(super) trait Field {
    /// Returns the number of requests in progress at all candidates together.
    fn total_load(&self) -> u32;

    /// Returns the number of requests in progress at this candidate, over all workers.
    fn load(&self, candidate: usize) -> u32;

    /// Returns whether this request can go to the candidate now.
    fn is_open(&self, candidate: usize) -> bool;

    /// Returns the candidate's response time, in any unit, or `None` if it is unknown.
    fn latency(&self, candidate: usize) -> Option<f64>;

    /// Returns the candidate's identity, which is the same in every process.
    fn token(&self, candidate: usize) -> u64;
}

/// The algorithm that chooses candidates, with its state.
#[derive(Debug)]
pub(super) struct Balancer {
    balance: Balance,
    random: Random,
    /// Index at which the next search starts, so that equal candidates take turns.
    turn: Cell<usize>,
    schedule: RefCell<Schedule>,
}

impl Balancer {
    /// Creates a balancer whose first search starts at `turn`.
    pub(super) fn new(balance: Balance, turn: usize, random: Random) -> Balancer {
        Balancer {
            balance,
            random,
            turn: Cell::new(turn),
            schedule: RefCell::default(),
        }
    }

    /// Returns the index at which the next search starts.
    pub(super) fn turn(&self) -> usize {
        self.turn.get()
    }

    /// Returns the numbers from 0 to `count - 1` in turn, one at each call; 0 if `count` is 0.
    pub(super) fn any(&self, count: usize) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn.checked_rem(count).unwrap_or(0)
    }

    /// Returns whether the algorithm uses response times.
    pub(super) fn needs_latency(&self) -> bool {
        self.balance == Balance::PeakEwma
    }

    /// Chooses an open candidate. `key` is the hash of the part of the request that
    /// [`Balance::Hash`] uses.
    #[inline]
    pub(super) fn choose(
        &self,
        candidates: &Candidates,
        key: Option<u64>,
        field: &impl Field,
    ) -> Option<usize> {
        if let [only] = candidates.list() {
            return field.is_open(*only).then_some(*only);
        }
        self.choose_of_many(candidates, key, field)
    }

    fn choose_of_many(
        &self,
        candidates: &Candidates,
        key: Option<u64>,
        field: &impl Field,
    ) -> Option<usize> {
        match &self.balance {
            Balance::LeastRequests => self.least(candidates, field, |_| 1.0),
            Balance::PeakEwma => {
                self.least(candidates, field, |candidate| {
                    // A candidate with an unknown response time is tried, but by one request at a
                    // time.
                    let is_idle = field.load(candidate) == 0;
                    let unknown = if is_idle { 0.0 } else { f64::MAX };
                    field.latency(candidate).unwrap_or(unknown)
                })
            }
            Balance::RoundRobin => {
                let mut schedule = self.schedule.borrow_mut();
                schedule.follow(candidates, self.turn.get());
                schedule.next(|candidate| field.is_open(candidate))
            }
            Balance::Random => self.draw(candidates, field),
            Balance::First => {
                let mut list = candidates.list().iter().copied();
                list.find(|candidate| field.is_open(*candidate))
            }
            Balance::Hash(hash) => match key {
                Some(key) => by_hash(candidates, key, hash.max_load, field),
                None => self.least(candidates, field, |_| 1.0),
            },
        }
    }

    /// Chooses the candidate with the least (requests in progress + 1) × cost / weight. Compares
    /// all candidates or, if there are many, two random ones.
    fn least(
        &self,
        candidates: &Candidates,
        field: &impl Field,
        cost: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        let list = candidates.list();
        let price = |candidate: usize, weight: u32| {
            (f64::from(field.load(candidate)) + 1.0) * cost(candidate) / f64::from(weight)
        };
        if list.len() > MAX_COMPARED {
            let one = self.draw(candidates, field)?;
            let other = self.draw(candidates, field)?;
            let price = |candidate| price(candidate, candidates.weight_of(candidate));
            return Some(if price(other) < price(one) {
                other
            } else {
                one
            });
        }
        let start = self.turn.get() % list.len().max(1);
        self.turn.set(start + 1);
        let mut best: Option<(usize, f64)> = None;
        for offset in 0..list.len() {
            let position = (start + offset) % list.len();
            let candidate = list[position];
            if !field.is_open(candidate) {
                continue;
            }
            let price = price(candidate, candidates.weights()[position]);
            if best.is_none_or(|(_, least)| price < least) {
                best = Some((candidate, price));
            }
        }
        best.map(|(candidate, _)| candidate)
    }

    /// Chooses a random candidate, in proportion to the weights.
    fn draw(&self, candidates: &Candidates, field: &impl Field) -> Option<usize> {
        for _ in 0..MAX_DRAWS {
            let candidate = candidates.at(self.random.below(candidates.total().max(1)))?;
            if field.is_open(candidate) {
                return Some(candidate);
            }
        }
        // Probably most candidates are closed, so take the first open one, starting at a random
        // position.
        let list = candidates.list();
        let start = self.random.below(list.len().max(1) as u64);
        let (later, sooner) = list.split_at(usize::try_from(start).unwrap_or(0));
        let mut all = sooner.iter().chain(later).copied();
        all.find(|candidate| field.is_open(*candidate))
    }
}

/// Chooses by rendezvous hashing. Each key has its own order of all candidates, and the request
/// goes to the first open candidate in that order. With `max_load`, it goes to the first one whose
/// load is at most that percentage of the candidate's fair share.
fn by_hash(
    candidates: &Candidates,
    key: u64,
    max_load: Option<u32>,
    field: &impl Field,
) -> Option<usize> {
    let best = |full: &[usize]| {
        let weighed = candidates.list().iter().zip(candidates.weights());
        let mut best: Option<(usize, f64)> = None;
        for (&candidate, &weight) in weighed {
            if !field.is_open(candidate) || full.contains(&candidate) {
                continue;
            }
            let score = score(key, field.token(candidate), weight, candidates.is_even());
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((candidate, score));
            }
        }
        best.map(|(candidate, _)| candidate)
    };
    let first = best(&[])?;
    let Some(max_load) = max_load else {
        return Some(first);
    };
    let all = u128::from(field.total_load()) + 1;
    let has_room = |candidate: usize| {
        let weight = candidates.weight_of(candidate);
        let share = all * u128::from(weight) * u128::from(max_load);
        let most = share.div_ceil(u128::from(candidates.total()) * 100);
        u128::from(field.load(candidate)) < most
    };
    let (mut full, mut next) = (Vec::new(), Some(first));
    while let Some(candidate) = next {
        if has_room(candidate) {
            return Some(candidate);
        }
        full.push(candidate);
        if full.len() >= MAX_FULL {
            break;
        }
        next = best(&full);
    }
    // Unless candidates are closed, at least one of them is below the average and has room.
    let mut others = candidates.list().iter().copied();
    let other = others.find(|other| field.is_open(*other) && has_room(*other));
    other.or(Some(first))
}

/// Returns the candidate that a key prefers among those for which `token` returns a value.
pub(super) fn preferred(
    candidates: &Candidates,
    key: u64,
    token: impl Fn(usize) -> Option<u64>,
) -> Option<usize> {
    let weighed = candidates.list().iter().zip(candidates.weights());
    let scored = weighed.filter_map(|(&candidate, &weight)| {
        let score = score(key, token(candidate)?, weight, candidates.is_even());
        Some((candidate, score))
    });
    scored
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(candidate, _)| candidate)
}

/// Returns how much a key prefers a candidate. The share of keys that prefer a given candidate is
/// proportional to its weight (Schindelhauer and Schomaker, Weighted Distributed Hash Tables).
fn score(key: u64, token: u64, weight: u32, is_even: bool) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough")]
    let point = ((hash::of_pair(key, token) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    if is_even {
        return point;
    }
    -f64::from(weight) / point.ln()
}

#[cfg(test)]
mod tests;

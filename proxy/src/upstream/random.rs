//! Fast random numbers, good enough to spread requests, but not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

/// A source of random numbers (`wyrand`).
#[derive(Debug)]
pub(super) struct Random(Cell<u64>);

impl Random {
    /// Creates a source with a random seed.
    pub(super) fn new() -> Random {
        Random::from_seed(RandomState::new().hash_one(0))
    }

    pub(super) fn from_seed(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    #[inline]
    pub(super) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0xa076_1d64_78bd_642f);
        self.0.set(state);
        let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let mixed = (product >> 64) as u64 ^ product as u64;
        mixed
    }

    /// Returns a number below `limit`, which must not be 0.
    #[inline]
    pub(super) fn below(&self, limit: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(limit);
        // The upper half of the product is less than `limit`, so it always fits.
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Returns a number from 0 up to, but not including, 1.
    pub(super) fn fraction(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_even_and_within_their_bounds() {
        let random = Random::from_seed(7);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[usize::try_from(random.below(10)).unwrap()] += 1;
            let fraction = random.fraction();
            assert!((0.0..1.0).contains(&fraction));
        }
        let is_even = |count: &u32| (9_500..10_500).contains(count);
        assert!(counts.iter().all(is_even), "{counts:?}");
    }
}

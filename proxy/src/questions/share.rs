//! Shares of requests.
//!
//! A part and a salt give a point from 0 to 999,999, the same in every process, on every machine
//! and in every version. The point is computed with SipHash-2-4, with a key of sixteen zero bytes,
//! over the salt's length as eight bytes (little-endian), the salt and the part. The 64-bit result
//! is multiplied by a million, divided by 2^64 and rounded down. A request is in the share if its
//! point is less than `per_million`.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// Number of points.
pub(super) const MILLION: u32 = 1_000_000;

/// A share of all values of a part.
#[derive(Clone)]
pub(super) struct Share {
    /// State of the hash function after the salt.
    hasher: SipHasher24,
    per_million: u32,
}

impl Share {
    /// Creates a share. None if `per_million` exceeds a million.
    pub(super) fn new(salt: &str, per_million: u32) -> Option<Share> {
        let mut hasher = SipHasher24::new();
        // A string is never longer than 2^64 - 1 bytes, so this cannot fail.
        let length = u64::try_from(salt.len()).ok()?;
        hasher.write(&length.to_le_bytes());
        hasher.write(salt.as_bytes());
        let share = Share {
            hasher,
            per_million,
        };
        (per_million <= MILLION).then_some(share)
    }

    /// Returns whether `part` is in the share.
    pub(super) fn has(&self, part: &[u8]) -> bool {
        self.point(part) < u64::from(self.per_million)
    }

    fn point(&self, part: &[u8]) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(part);
        let product = u128::from(hasher.finish()) * u128::from(MILLION);
        // The product is less than a million times 2^64, so the conversion cannot fail.
        u64::try_from(product >> 64).unwrap_or(u64::MAX)
    }

    pub(super) fn per_million(&self) -> u32 {
        self.per_million
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("per_million", &self.per_million)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(salt: &str, per_million: u32) -> Share {
        Share::new(salt, per_million).unwrap()
    }

    #[test]
    fn points_never_change() {
        // The expected values were computed by another implementation of SipHash-2-4.
        for (salt, part, expected) in [
            ("", "", 907_377),
            ("", "a", 799_942),
            ("canary", "session-1", 923_004),
            ("canary", "session-2", 848_143),
            ("blue", "session-1", 443_490),
        ] {
            assert_eq!(
                share(salt, 0).point(part.as_bytes()),
                expected,
                "{salt} {part}"
            );
        }
    }

    #[test]
    fn borders_of_salt_and_part_count() {
        assert_ne!(share("ab", 0).point(b"c"), share("a", 0).point(b"bc"));
    }

    #[test]
    fn a_larger_share_contains_a_smaller_one() {
        let sizes = [0, 1, 50_000, 500_000, 999_999, MILLION];
        for number in 0..10_000_u32 {
            let part = number.to_string();
            let is_in = sizes.map(|size| share("s", size).has(part.as_bytes()));
            assert!(is_in.is_sorted(), "{part}: {is_in:?}");
            assert!(!is_in[0] && is_in[5]);
        }
        assert!(Share::new("s", MILLION + 1).is_none());
    }

    #[test]
    fn points_are_even() {
        const CELLS: usize = 100;
        const PARTS: u32 = 100_000;
        for salt in ["", "canary", "another"] {
            let share = share(salt, 0);
            let mut counts = [0_u32; CELLS];
            for number in 0..PARTS {
                let point = share.point(format!("user-{number}").as_bytes());
                counts[usize::try_from(point).unwrap() * CELLS / MILLION as usize] += 1;
            }
            let expected = f64::from(PARTS) / 100.0;
            let squares = counts
                .iter()
                .map(|&count| (f64::from(count) - expected).powi(2));
            let chi_square = squares.sum::<f64>() / expected;
            // With 99 degrees of freedom, the probability beyond each of these bounds is one in ten
            // thousand.
            assert!((54.0..159.0).contains(&chi_square), "{salt}: {chi_square}");
        }
    }
}

//! Hashes that are the same in every process, for choices on which several proxies must agree.
//!
//! The hashes are fast but not secret: a client can find a key that leads to a particular server of
//! a hashed backend.

/// Hashes a key.
pub fn of(bytes: &[u8]) -> u64 {
    mixed(fnv(OFFSET, bytes))
}

/// Hashes a list of byte strings. The boundaries between the strings affect the hash.
pub fn of_parts(parts: &[&[u8]]) -> u64 {
    let hash = parts.iter().fold(OFFSET, |hash, part| {
        // The length after each part marks its end.
        fnv(fnv(hash, part), &part.len().to_le_bytes())
    });
    mixed(hash)
}

/// Hashes a key together with one candidate, for rendezvous hashing.
#[inline]
pub fn of_pair(key: u64, with: u64) -> u64 {
    mixed(key ^ with.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Offset basis of FNV-1a for 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// Applies the final mixing step of `MurmurHash3`, after which each bit of the result depends on
/// every bit of `hash`.
#[inline]
fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_same_in_every_process() {
        assert_eq!(of(b"a"), 0x82a2_a958_a9be_ce5b);
        assert_ne!(of_parts(&[b"ab", b"c"]), of_parts(&[b"a", b"bc"]));
        assert_ne!(of_pair(1, 2), of_pair(2, 1));
    }
}

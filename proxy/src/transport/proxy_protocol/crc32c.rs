//! CRC-32C (RFC 4960, appendix B), in reflected bit order.

/// The Castagnoli polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainder for each value of a byte.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut byte = 0u32;
    while index < table.len() {
        let mut remainder = byte;
        let mut bit = 0;
        while bit < 8 {
            let carry = remainder & 1;
            remainder >>= 1;
            if carry == 1 {
                remainder ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[index] = remainder;
        index += 1;
        byte += 1;
    }
    table
}

/// Returns the checksum of all bytes.
pub(super) fn checksum(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |remainder, byte| {
        let [low, ..] = remainder.to_le_bytes();
        TABLE[usize::from(low ^ byte)] ^ (remainder >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn known_sums() {
        let check = |bytes: &[u8], expected| {
            assert_eq!(checksum(bytes.iter().copied()), expected, "{bytes:?}");
        };
        check(b"", 0);
        check(b"123456789", 0xe306_9283);
        check(&[0; 32], 0x8a91_36aa);
        check(&[0xff; 32], 0x62a8_ab43);
        check(&(0..32).collect::<Vec<u8>>(), 0x46dd_794e);
    }
}

//! Numbers as text, without the machinery of `core::fmt`.

/// Number of decimal digits of the largest `u64`.
const MAX_DECIMAL: usize = 20;
/// Number of hexadecimal digits of the largest `u64`.
const MAX_HEX: usize = 16;

/// Appends `number` in decimal.
#[inline]
pub fn push_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; MAX_DECIMAL];
    let mut at = MAX_DECIMAL;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `number` in hexadecimal, without leading zeros.
#[inline]
pub fn push_hex(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; MAX_HEX];
    let mut at = MAX_HEX;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(number % 16) as usize];
        number /= 16;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_fmt() {
        for number in [
            0,
            1,
            9,
            10,
            15,
            16,
            255,
            4096,
            1_000_000,
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            push_decimal(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
            out.clear();
            push_hex(number, &mut out);
            assert_eq!(out, format!("{number:x}").as_bytes());
        }
    }
}

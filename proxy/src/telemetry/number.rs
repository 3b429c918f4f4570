//! Formatting of numbers in decimal and hexadecimal digits, without `core::fmt`.

use std::time::Duration;

/// The pairs of digits from `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// Number of digits of the largest `u64`.
const MAX_DIGITS: usize = "18446744073709551615".len();

/// Precision of a time that is written in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// At most three decimals.
    Micros,
    /// At most six decimals.
    Nanos,
}

/// Returns the last `COUNT` digits of `number`, padded with zeros on the left.
pub(super) fn digits<const COUNT: usize>(mut number: u32) -> [u8; COUNT] {
    let mut text = [0; COUNT];
    let mut end = COUNT;
    while end >= 2 {
        text[end - 2..end].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
        end -= 2;
    }
    if end == 1 {
        text[0] = PAIRS[(number % 10) as usize][1];
    }
    text
}

/// Appends `number` in decimal digits.
pub(super) fn decimal(out: &mut Vec<u8>, number: u64) {
    if number < 10 {
        // Fast path for a single digit, which is common for a plugin's version and the length of a
        // request body.
        out.push(PAIRS[(number % 10) as usize][1]);
        return;
    }
    let mut text = [0; MAX_DIGITS];
    let start = decimal_before(&mut text, MAX_DIGITS, number);
    out.extend_from_slice(&text[start..]);
}

/// Writes the digits of `number` into `text` so that they end just before index `end`. Returns the
/// index of the first digit.
fn decimal_before(text: &mut [u8], end: usize, mut number: u64) -> usize {
    let mut start = end;
    while number >= 10 {
        start -= 2;
        text[start..start + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    // If the number of digits was even, all of them are written by now; but zero still needs its
    // one digit.
    if number > 0 || start == end {
        start -= 1;
        text[start] = PAIRS[(number % 10) as usize][1];
    }
    start
}

/// Appends `number` in lower-case hexadecimal digits.
pub(super) fn hexadecimal(out: &mut Vec<u8>, number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 16];
    let mut rest = number;
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = DIGITS[(rest % 16) as usize];
        rest /= 16;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends `time` in milliseconds, without trailing zeros.
pub(super) fn milliseconds(out: &mut Vec<u8>, time: Duration, precision: Precision) {
    let nanos = time.subsec_nanos();
    let whole = time.as_secs().saturating_mul(1_000);
    match precision {
        Precision::Micros => {
            let micros = (nanos + 500) / 1_000;
            let whole = whole.saturating_add(u64::from(micros / 1_000));
            fixed::<3>(out, whole, micros % 1_000);
        }
        Precision::Nanos => {
            let whole = whole.saturating_add(u64::from(nanos / 1_000_000));
            fixed::<6>(out, whole, nanos % 1_000_000);
        }
    }
}

#[inline]
fn fixed<const DECIMALS: usize>(out: &mut Vec<u8>, whole: u64, fraction: u32) {
    const MAX_DECIMALS: usize = 6;
    let mut text = [0; MAX_DIGITS + 1 + MAX_DECIMALS];
    let start = decimal_before(&mut text, MAX_DIGITS, whole);
    let mut end = MAX_DIGITS;
    if fraction > 0 {
        text[end] = b'.';
        end += 1 + DECIMALS;
        text[end - DECIMALS..end].copy_from_slice(&digits::<DECIMALS>(fraction));
        while text[end - 1] == b'0' {
            end -= 1;
        }
    }
    out.extend_from_slice(&text[start..end]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_rounded_and_have_no_zeros_at_their_end() {
        let check = |nanos: u64, micros: &str, exact: &str| {
            let time = Duration::from_nanos(nanos);
            let show = |precision| written(|out| milliseconds(out, time, precision));
            assert_eq!(show(Precision::Micros), micros);
            assert_eq!(show(Precision::Nanos), exact);
        };
        check(0, "0", "0");
        check(1, "0", "0.000001");
        check(499, "0", "0.000499");
        check(500, "0.001", "0.0005");
        check(790, "0.001", "0.00079");
        check(21_400, "0.021", "0.0214");
        check(999_999, "1", "0.999999");
        check(1_204_000, "1.204", "1.204");
        check(1_400_000, "1.4", "1.4");
        check(100_000_000, "100", "100");
        check(1_999_999_500, "2000", "1999.9995");
        check(u64::MAX, "18446744073709.552", "18446744073709.551615");
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            prop_assert_eq!(written(|out| decimal(out, number)), number.to_string());
            prop_assert_eq!(written(|out| hexadecimal(out, number)), format!("{number:x}"));
        }

        #[test]
        fn digits_are_padded(number in 0u32..1_000_000) {
            let six = digits::<6>(number);
            prop_assert_eq!(str::from_utf8(&six).unwrap(), format!("{number:06}"));
            let three = digits::<3>(number);
            prop_assert_eq!(str::from_utf8(&three).unwrap(), format!("{:03}", number % 1000));
        }

        #[test]
        fn times_are_the_shortest_floats_that_mean_them(nanos in 0u64..1 << 50) {
            let time = Duration::from_nanos(nanos);
            let exact: f64 = written(|out| milliseconds(out, time, Precision::Nanos))
                .parse()
                .unwrap();
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let expected = nanos as f64 / 1e6;
            prop_assert!((exact - expected).abs() < f64::EPSILON * expected.max(1.0));
        }
    }
}

//! The syntax of field names, values and lists (RFC 9110, section 5).

/// The elements of one line of a comma-separated list, without whitespace around them.
///
/// Empty elements are left out, as RFC 9110, section 5.6.1.2, asks of recipients.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Whether `name` is a field name: a token (RFC 9110, section 5.6.2).
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `value` is a field value as this proxy writes one: no control characters but the
/// tab, and no whitespace at its ends (RFC 9110, section 5.5).
pub fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first())
        && !is_blank(value.last())
        && value
            .iter()
            .all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |value: &str, expected: &[&str]| {
            let found: Vec<&[u8]> = tokens(value.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|token| token.as_bytes()).collect();
            assert_eq!(found, expected, "{value}");
        };
        check("", &[]);
        check(" , ,", &[]);
        check("close", &["close"]);
        check("a, b\t,,c d ", &["a", "b", "c d"]);
    }

    #[test]
    fn names_and_values() {
        for (name, expected) in [
            ("X-A_b.c~1", true),
            ("", false),
            ("a b", false),
            ("a:", false),
        ] {
            assert_eq!(is_name(name.as_bytes()), expected, "{name:?}");
        }
        for (value, expected) in [
            (&b""[..], true),
            (b"a\tb \xff", true),
            (b" a", false),
            (b"a\t", false),
            (b"a\r\nb", false),
            (b"a\0", false),
            (b"\x7f", false),
        ] {
            assert_eq!(is_value(value), expected, "{}", value.escape_ascii());
        }
    }
}

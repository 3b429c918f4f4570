//! The syntax of field names, values and lists (RFC 9110, section 5).

/// Returns the elements of one line of a comma-separated list, without whitespace around them.
///
/// Skips empty elements, as RFC 9110, section 5.6.1.2, requires of recipients.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Returns a field value without the whitespace around it, which is not part of it (RFC 9110,
/// section 5.5).
pub fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Returns the members of one line of a comma-separated list, without whitespace around them.
///
/// Like [`tokens`], but a comma in a quoted string does not separate members (RFC 9110, section
/// 5.6.4). A quoted string keeps its quotes. An unclosed one extends to the end of the line.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    let all = std::iter::from_fn(move || {
        let line = rest?;
        let end = unquoted_comma(line);
        rest = end.and_then(|end| line.get(end + 1..));
        Some(&line[..end.unwrap_or(line.len())])
    });
    all.map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

fn unquoted_comma(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    let mut bytes = line.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => {
                bytes.next();
            }
            b',' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Returns whether `name` is a field name: a token (RFC 9110, section 5.6.2).
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte))
}

/// Returns whether `value` is a field value that this proxy can write: no control characters except
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
    fn lists_with_quoted_strings() {
        let check = |value: &str, expected: &[&str]| {
            let found: Vec<&[u8]> = members(value.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|member| member.as_bytes()).collect();
            assert_eq!(found, expected, "{value}");
        };
        check("", &[]);
        check(" , ,", &[]);
        check("a, b\t,,c d ", &["a", "b", "c d"]);
        check(r#""a,b", c"#, &[r#""a,b""#, "c"]);
        check(r#"a="b\",c",d"#, &[r#"a="b\",c""#, "d"]);
        check(r#"a\",b,c"#, &[r#"a\",b,c"#]);
        check(r#"a,"b,c"#, &["a", r#""b,c"#]);
        check("\"\\", &["\"\\"]);
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

//! Compares rules that no question covers with the lines of a field.
//!
//! Owns the meaning of `ignore_port` and `label_boundary` for any value. Works on octets, since a
//! value need not be UTF-8. Does not allocate, since this runs for each uncached request. Used by
//! `lib`.

use crate::config::{Boundary, Port, Rule};

/// Reports whether one of the values in `lines` ends as `rule` requires.
pub(crate) fn matches(rule: &Rule, lines: &[Vec<u8>]) -> bool {
    // Host is not a list: before routing, the proxy rejects requests that have a comma in Host or
    // several Host lines.
    if rule.header == "host" {
        return lines.iter().any(|line| is_match(rule, line.trim_ascii()));
    }
    let mut values = lines.iter().flat_map(|line| values(line));
    values.any(|value| is_match(rule, value))
}

fn is_match(rule: &Rule, value: &[u8]) -> bool {
    let value = match rule.port {
        Port::Kept => value,
        Port::Ignored => without_port(value),
    };
    rule.suffixes.iter().any(|suffix| {
        let suffix = suffix.as_bytes();
        ends_with(value, suffix)
            && (rule.boundary == Boundary::Anywhere || starts_label(value, suffix))
    })
}

/// Returns a host without its port: `a` for `a:80`, `[::1]` for `[::1]:80`. An address such as
/// `::1` stays as it is, since it needs brackets before a port.
fn without_port(value: &[u8]) -> &[u8] {
    let host = if value.starts_with(b"[") {
        let bracket = value.iter().position(|&octet| octet == b']');
        bracket
            .and_then(|bracket| value.split_at_checked(bracket + 1))
            .filter(|(_, port)| port.starts_with(b":"))
            .map(|(host, _)| host)
    } else {
        let mut parts = value.split(|&octet| octet == b':');
        let host = parts.next();
        // Exactly one colon means exactly one more part.
        host.filter(|_| parts.next().is_some() && parts.next().is_none())
    };
    host.unwrap_or(value)
}

/// Returns the values of a line that is a comma-separated list, without surrounding blanks. A comma
/// inside a quoted string does not separate values (RFC 9110, section 5.6.1).
fn values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = comma(line);
        rest = end.and_then(|end| line.get(end + 1..));
        let value = end.and_then(|end| line.get(..end)).unwrap_or(line);
        Some(value.trim_ascii())
    })
}

/// Returns the position of the first comma outside of quotes.
fn comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut octets = line.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                octets.next();
            }
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Reports whether `value`, in any case, ends with `suffix`, which is in lower case.
fn ends_with(value: &[u8], suffix: &[u8]) -> bool {
    let Some(start) = value.len().checked_sub(suffix.len()) else {
        return false;
    };
    // Compares from the front: names of one site have the same end, so a difference is found sooner
    // at the front.
    let mut pairs = value.iter().skip(start).zip(suffix);
    pairs.all(|(octet, expected)| octet.to_ascii_lowercase() == *expected)
}

/// Reports whether `suffix` starts at a label of `value`, which must end with `suffix`.
fn starts_label(value: &[u8], suffix: &[u8]) -> bool {
    suffix.starts_with(b".")
        || value.len() == suffix.len()
        || value
            .get(value.len().wrapping_sub(suffix.len() + 1))
            .is_some_and(|&octet| octet == b'.')
}

//! Rules that no question covers, compared with the lines of a field.
//!
//! Owns what `ignore_port` and `label_boundary` mean for any value. Octets throughout: a value need
//! not be UTF-8. No allocation: this runs for each uncached request. Used by `lib`.

use crate::config::{Boundary, Port, Rule};

/// Whether one of the values in `lines` ends as `rule` asks.
pub(crate) fn matches(rule: &Rule, lines: &[Vec<u8>]) -> bool {
    // Host is no list: a comma in it is refused before routing, as is a second line.
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

/// A host without its port: `a` of `a:80`, `[::1]` of `[::1]:80`. An address such as `::1`, which
/// must have brackets to be followed by a port, is left as it is.
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
        // With exactly one colon there is exactly one more part.
        host.filter(|_| parts.next().is_some() && parts.next().is_none())
    };
    host.unwrap_or(value)
}

/// The values of a line that is a list: what stands between commas, without the blanks
/// around it. A comma in a quoted text separates nothing (RFC 9110, section 5.6.1).
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

/// Where the first comma is that stands outside of quotes.
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

/// Whether `value` ends with `suffix`, which is in lower case, whatever its own case.
fn ends_with(value: &[u8], suffix: &[u8]) -> bool {
    let Some(start) = value.len().checked_sub(suffix.len()) else {
        return false;
    };
    // From the front: names of one site differ there, and end alike.
    let mut pairs = value.iter().skip(start).zip(suffix);
    pairs.all(|(octet, expected)| octet.to_ascii_lowercase() == *expected)
}

/// Whether `suffix`, with which `value` ends, starts where a label of `value` does.
fn starts_label(value: &[u8], suffix: &[u8]) -> bool {
    suffix.starts_with(b".")
        || value.len() == suffix.len()
        || value
            .get(value.len().wrapping_sub(suffix.len() + 1))
            .is_some_and(|&octet| octet == b'.')
}

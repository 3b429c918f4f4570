//! The options of `Connection`, read once per message.

use thiserror::Error;

use crate::http::field::FieldKind;
use crate::http::fields::{Fields, Forwarding};
use crate::http::syntax::tokens;

/// Maximum number of options in one message. Each option names a field to search for, so without a
/// limit a head of 64 KiB could cost millions of comparisons. Real messages have one to three
/// options.
const MAX_OPTIONS: usize = 64;

/// `Connection` lists more than `MAX_OPTIONS` (64) options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many connection options")]
pub struct TooManyOptions;

/// Connection options that HTTP itself defines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    /// Whether `close` is present.
    pub(super) close: bool,
    /// Whether `keep-alive` is present.
    pub(super) keep_alive: bool,
    /// Whether `upgrade` is present.
    pub(super) upgrade: bool,
}

/// Reads `Connection` and marks the fields that it names as not forwarded (RFC 9110, section
/// 7.6.1).
#[inline]
pub(super) fn apply(fields: &mut Fields) -> Result<ConnectionOptions, TooManyOptions> {
    let mut options = ConnectionOptions::default();
    // Nearly every message has exactly one of these two values, or no line at all.
    let is_plain = match fields.only_value_of(FieldKind::Connection) {
        Some(value) if value.eq_ignore_ascii_case(b"keep-alive") => {
            options.keep_alive = true;
            true
        }
        Some(value) if value.eq_ignore_ascii_case(b"close") => {
            options.close = true;
            true
        }
        _ => !fields.has(FieldKind::Connection),
    };
    if !is_plain {
        apply_lines(fields, &mut options)?;
    }
    Ok(options)
}

#[cold]
fn apply_lines(fields: &mut Fields, options: &mut ConnectionOptions) -> Result<(), TooManyOptions> {
    let mut count = 0;
    for index in 0..fields.len() {
        let line = fields.received()[index];
        if line.kind() != FieldKind::Connection {
            continue;
        }
        let mut at = line.value().start();
        let end = line.value().end();
        while at < end {
            // Uses indices because marking lines rules out a borrowed iterator.
            let rest = fields.bytes().get(at..end).unwrap_or_default();
            let length = rest.iter().position(|&byte| byte == b',');
            let length = length.unwrap_or(rest.len());
            count += 1;
            if count > MAX_OPTIONS {
                return Err(TooManyOptions);
            }
            if !options.record(rest[..length].trim_ascii()) {
                drop_named(fields, at, at + length);
            }
            at += length + 1;
        }
    }
    Ok(())
}

impl ConnectionOptions {
    /// Records `option` and returns whether HTTP itself defines it. An empty option counts as
    /// defined.
    fn record(&mut self, option: &[u8]) -> bool {
        match option.len() {
            0 => return true,
            2 if option.eq_ignore_ascii_case(b"te") => return true,
            5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
            7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
            _ => return false,
        }
        true
    }
}

#[cold]
fn drop_named(fields: &mut Fields, start: usize, end: usize) {
    let name = fields.bytes().get(start..end).unwrap_or_default();
    let name = name.trim_ascii().to_vec();
    fields.drop_named(&name);
}

/// Forwards `TE: trailers`, because this proxy passes on trailers (RFC 9110, section 10.1.4). If
/// the line lists `trailers` among several codings, only `trailers` is forwarded.
pub fn pass_te(fields: &mut Fields) {
    if !fields.has(FieldKind::Te) {
        return;
    }
    let is_trailers = |value: &[u8]| value.eq_ignore_ascii_case(b"trailers");
    if fields.only_value_of(FieldKind::Te).is_some_and(is_trailers) {
        fields.set_forwarding(FieldKind::Te, Forwarding::Forward);
        return;
    }
    let has_trailers = fields
        .values_of(FieldKind::Te)
        .flat_map(tokens)
        .any(is_trailers);
    if has_trailers {
        let trailers = fields.append(b"trailers");
        fields.forward_only(FieldKind::Te, trailers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn options_and_what_they_name() {
        let check = |lines: &[(&str, &str)], expected: (bool, bool, bool), left: &[&str]| {
            let mut fields = fields(lines);
            let found = apply(&mut fields).unwrap();
            let found = (found.close, found.keep_alive, found.upgrade);
            assert_eq!(found, expected, "{lines:?}");
            let names: Vec<_> = fields.iter().map(|(name, _)| name.to_vec()).collect();
            let left: Vec<_> = left.iter().map(|name| name.as_bytes().to_vec()).collect();
            assert_eq!(names, left, "{lines:?}");
        };
        check(&[("A", "1")], (false, false, false), &["A"]);
        check(&[("Connection", "Close")], (true, false, false), &[]);
        check(
            &[
                ("X-Hop", "1"),
                ("connection", "keep-alive,, X-Hop"),
                ("x-hop", "2"),
                ("B", "3"),
            ],
            (false, true, false),
            &["B"],
        );
        check(
            &[
                ("Connection", "upgrade"),
                ("Connection", "a"),
                ("A", "1"),
                ("Upgrade", "x"),
            ],
            (false, false, true),
            &[],
        );
        check(
            &[
                (
                    "Connection",
                    "Content-Length, Host, Via, Trailer, Transfer-Encoding",
                ),
                ("Content-Length", "5"),
                ("Host", "a"),
                ("Via", "b"),
                ("Trailer", "c"),
            ],
            (false, false, false),
            &["Content-Length", "Host", "Via", "Trailer"],
        );
    }

    #[test]
    fn options_are_bounded() {
        let most = "a,".repeat(MAX_OPTIONS);
        assert!(apply(&mut fields(&[("Connection", &most)])).is_ok());
        let found = apply(&mut fields(&[("Connection", &most), ("Connection", "b")]));
        assert_eq!(found, Err(TooManyOptions));
    }

    #[test]
    fn te() {
        let check = |lines: &[(&str, &str)], expected: &[&str]| {
            let mut fields = fields(lines);
            pass_te(&mut fields);
            let found: Vec<_> = fields.values(b"te").collect();
            let expected: Vec<_> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, expected, "{lines:?}");
        };
        check(&[], &[]);
        check(&[("TE", "gzip")], &[]);
        check(&[("TE", "Trailers")], &["Trailers"]);
        check(&[("TE", "gzip;q=0.5, trailers")], &["trailers"]);
        check(&[("TE", "gzip"), ("TE", "trailers")], &["trailers"]);
    }
}

//! `X-Forwarded-*`, by which a proxy describes a request's origin, and `Max-Forwards`.
//!
//! Applied to the head when it is admitted: plugins and the server then read the same
//! lines.

use super::field::{FieldKind, HeaderFlags};
use super::fields::Forwarding;
use super::message::{MethodKind, RequestHead};
use super::number::push_decimal;

/// Whether the peer's own word about the request's origin is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A known proxy: its lines stay, and ours are added.
    Trusted,
    /// Any other peer: its lines are replaced.
    Untrusted,
}

/// Sets `X-Forwarded-For`, `-Proto` and `-Host`. The scheme is the head's.
///
/// `client` is the peer's address as text; None for a Unix socket.
pub fn set_x_forwarded(head: &mut RequestHead, client: Option<&[u8]>, trust: Trust) {
    let scheme = head.scheme().as_str();
    let fields = head.fields_mut();
    let had_some = fields.flags().intersects(HeaderFlags::X_FORWARDED);
    if had_some && trust == Trust::Untrusted {
        for kind in [
            FieldKind::XForwardedFor,
            FieldKind::XForwardedProto,
            FieldKind::XForwardedHost,
        ] {
            fields.set_forwarding(kind, Forwarding::Drop);
        }
    }
    if let Some(client) = client {
        fields.push_kind(FieldKind::XForwardedFor, client);
    }
    if !had_some || !fields.forwards(FieldKind::XForwardedProto) {
        fields.push_kind(FieldKind::XForwardedProto, scheme.as_bytes());
    }
    if !had_some || !fields.forwards(FieldKind::XForwardedHost) {
        fields.push_copy(FieldKind::XForwardedHost, FieldKind::Host);
    }
}

/// The consequence of a request's `Max-Forwards` (RFC 9110, section 7.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxForwards {
    /// Forward it.
    Forward,
    /// Answer it here: the count was 0.
    Answer,
}

/// Counts `Max-Forwards` of a TRACE or OPTIONS request down. For other methods it means
/// nothing, and a value that is no number passes as it is.
pub fn count_max_forwards(head: &mut RequestHead) -> MaxForwards {
    let is_counted = matches!(head.method_kind(), MethodKind::Trace | MethodKind::Options);
    if !is_counted || !head.fields().has(FieldKind::MaxForwards) {
        return MaxForwards::Forward;
    }
    let fields = head.fields_mut();
    // Of several lines the smallest counts, and it alone goes on.
    let counts = fields.values_of(FieldKind::MaxForwards);
    match counts.filter_map(parse).min() {
        None => MaxForwards::Forward,
        Some(0) => MaxForwards::Answer,
        Some(count) => {
            let mut text = Vec::new();
            push_decimal(count - 1, &mut text);
            let value = fields.append(&text);
            fields.forward_only(FieldKind::MaxForwards, value);
            MaxForwards::Forward
        }
    }
}

/// `1*DIGIT`; a number that does not fit is the largest that does.
fn parse(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        value.iter().fold(0, |count: u64, digit| {
            count
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::{Scheme, Version};

    fn head(method: &str, lines: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.start(method.as_bytes(), b"/", Version::Http11);
        for (name, value) in lines {
            head.fields_mut().push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[track_caller]
    fn same(head: &RequestHead, expected: &[(&str, &str)]) {
        let found: Vec<_> = head.fields().iter().collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn x_forwarded() {
        let check = |trust, lines: &[(&str, &str)], expected: &[(&str, &str)]| {
            let mut head = head("GET", lines);
            set_x_forwarded(&mut head, Some(b"192.0.2.1"), trust);
            same(&head, expected);
        };
        check(
            Trust::Untrusted,
            &[
                ("Host", "a"),
                ("x-forwarded-for", "6.6.6.6"),
                ("X-Forwarded-Host", "b"),
            ],
            &[
                ("Host", "a"),
                ("X-Forwarded-For", "192.0.2.1"),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "a"),
            ],
        );
        check(
            Trust::Trusted,
            &[
                ("Host", "a"),
                ("X-Forwarded-For", "6.6.6.6"),
                ("X-Forwarded-Proto", "https"),
            ],
            &[
                ("Host", "a"),
                ("X-Forwarded-For", "6.6.6.6"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-For", "192.0.2.1"),
                ("X-Forwarded-Host", "a"),
            ],
        );
        check(
            Trust::Untrusted,
            &[],
            &[
                ("X-Forwarded-For", "192.0.2.1"),
                ("X-Forwarded-Proto", "http"),
            ],
        );
    }

    #[test]
    fn a_line_that_connection_names_is_said_anew() {
        let mut head = head("GET", &[("Host", "a"), ("X-Forwarded-Proto", "https")]);
        head.fields_mut().drop_named(b"x-forwarded-proto");
        head.set_scheme(Scheme::Https);
        set_x_forwarded(&mut head, None, Trust::Trusted);
        same(
            &head,
            &[
                ("Host", "a"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "a"),
            ],
        );
    }

    #[test]
    fn max_forwards() {
        let check = |method, values: &[&str], expected, left: &[&str]| {
            let lines: Vec<_> = values
                .iter()
                .map(|value| ("Max-Forwards", *value))
                .collect();
            let mut head = head(method, &lines);
            assert_eq!(
                count_max_forwards(&mut head),
                expected,
                "{method} {values:?}"
            );
            let found: Vec<_> = head.fields().values(b"max-forwards").collect();
            let left: Vec<_> = left.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, left, "{method} {values:?}");
        };
        check("TRACE", &["5"], MaxForwards::Forward, &["4"]);
        check("OPTIONS", &["10"], MaxForwards::Forward, &["9"]);
        check("OPTIONS", &["000"], MaxForwards::Answer, &["000"]);
        check("OPTIONS", &["x"], MaxForwards::Forward, &["x"]);
        check("OPTIONS", &[], MaxForwards::Forward, &[]);
        check("GET", &["0"], MaxForwards::Forward, &["0"]);
        check("TRACE", &["7", "3"], MaxForwards::Forward, &["2"]);
        check(
            "TRACE",
            &["99999999999999999999999"],
            MaxForwards::Forward,
            &["18446744073709551614"],
        );
    }
}

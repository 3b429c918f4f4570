//! The fields by which a proxy describes a request's origin to servers, and `Max-Forwards`.
//!
//! They are set when the head is admitted, so plugins and the server read the same lines.

use super::field::{FieldKind, HeaderFlags};
use super::fields::Forwarding;
use super::message::{MethodKind, RequestHead};
use super::number::push_decimal;
use super::origin;

/// Whether the peer is trusted to describe the request's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A known proxy: its lines are kept, and this proxy adds its own.
    Trusted,
    /// Any other peer: its lines are dropped.
    Untrusted,
}

/// Drops the fields by which servers identify clients if an untrusted sender wrote them.
///
/// Lookalikes are dropped even if the peer is trusted: proxies pass on fields that they do not
/// recognize, and none writes such names itself.
#[inline]
pub fn drop_claims(head: &mut RequestHead, trust: Trust) {
    let claims = match trust {
        Trust::Trusted => HeaderFlags::of(&[FieldKind::OriginLookalike]),
        Trust::Untrusted => HeaderFlags::ORIGIN,
    };
    head.fields_mut().drop_kinds(claims);
}

/// Sets `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, one line of each. The scheme
/// is that of the head.
///
/// `peer` is the address of the connection's peer as text; empty for a Unix socket. `client` is the
/// client that a trusted peer named, or `None` if it named none. Call [`drop_claims`] first.
pub fn set_x_forwarded(head: &mut RequestHead, peer: &[u8], client: Option<&[u8]>, trust: Trust) {
    let scheme = head.scheme().as_str();
    let flags = head.fields().flags();
    let is_kept = trust == Trust::Trusted && flags.intersects(HeaderFlags::KNOWN_ORIGIN);
    if is_kept {
        return extend_x_forwarded(head, peer, client);
    }
    let fields = head.fields_mut();
    if !peer.is_empty() {
        fields.push_kind(FieldKind::XForwardedFor, peer);
    }
    fields.push_kind(FieldKind::XForwardedProto, scheme.as_bytes());
    fields.push_copy(FieldKind::XForwardedHost, FieldKind::Host);
}

/// Extends the fields of a trusted peer that has already described the origin.
#[cold]
fn extend_x_forwarded(head: &mut RequestHead, peer: &[u8], client: Option<&[u8]>) {
    let scheme = head.scheme();
    let fields = head.fields_mut();
    if let Some(client) = client.filter(|_| !fields.has(FieldKind::XForwardedFor)) {
        // Only `Forwarded` named the client, and not every server reads that field.
        fields.push_kind(FieldKind::XForwardedFor, client);
    }
    fields.push_joined(FieldKind::XForwardedFor, peer);
    let is_plain = fields
        .only_value_of(FieldKind::XForwardedProto)
        .is_some_and(|value| !value.contains(&b',') && origin::last_scheme(fields).is_some());
    if !is_plain {
        fields.set_forwarding(FieldKind::XForwardedProto, Forwarding::Drop);
        fields.push_kind(FieldKind::XForwardedProto, scheme.as_str().as_bytes());
    }
    if fields.forwards(FieldKind::XForwardedHost) {
        fields.forward_last(FieldKind::XForwardedHost);
    } else {
        fields.push_copy(FieldKind::XForwardedHost, FieldKind::Host);
    }
}

/// Treatment of a request because of its `Max-Forwards` (RFC 9110, section 7.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxForwards {
    /// Forward the request.
    Forward,
    /// Respond here: the count was 0.
    RespondLocally,
}

/// Decrements `Max-Forwards` of a TRACE or OPTIONS request. Other methods ignore the field, and a
/// value that is not a number passes unchanged.
pub fn count_max_forwards(head: &mut RequestHead) -> MaxForwards {
    let is_counted = matches!(head.method_kind(), MethodKind::Trace | MethodKind::Options);
    if !is_counted || !head.fields().has(FieldKind::MaxForwards) {
        return MaxForwards::Forward;
    }
    let fields = head.fields_mut();
    // If there are several lines, the smallest count wins and is the only one forwarded.
    let counts = fields.values_of(FieldKind::MaxForwards);
    match counts.filter_map(parse).min() {
        None => MaxForwards::Forward,
        Some(0) => MaxForwards::RespondLocally,
        Some(count) => {
            let mut text = Vec::new();
            push_decimal(count - 1, &mut text);
            let value = fields.append(&text);
            fields.forward_only(FieldKind::MaxForwards, value);
            MaxForwards::Forward
        }
    }
}

/// Parses `1*DIGIT`. A number that is too large becomes the largest `u64`.
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
    fn a_strangers_claims_are_replaced() {
        let ours = [
            ("Host", "a"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "a"),
        ];
        for claims in [
            &[][..],
            &[("x-forwarded-for", "6.6.6.6"), ("X-Forwarded-Host", "b")],
            &[("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6")],
            &[("X_Forwarded_For", "6.6.6.6"), ("X-Forwarded-Port", "1")],
            &[
                ("X-Forwarded_Proto", "https"),
                ("X-Forwarded-Proto", "https"),
            ],
        ] {
            let lines: Vec<_> = [("Host", "a")].iter().chain(claims).copied().collect();
            let mut head = head("GET", &lines);
            drop_claims(&mut head, Trust::Untrusted);
            set_x_forwarded(&mut head, b"192.0.2.1", None, Trust::Untrusted);
            same(&head, &ours);
        }
        let mut head = head("GET", &[]);
        set_x_forwarded(&mut head, b"", None, Trust::Untrusted);
        same(&head, &[("X-Forwarded-Proto", "http")]);
    }

    #[test]
    fn a_trusted_proxys_lines_are_extended() {
        let check = |peer: &str, client: Option<&str>, lines: &[(&str, &str)], added: &[_]| {
            let mut head = head("GET", &[&[("Host", "a")], lines].concat());
            head.set_scheme(Scheme::Https);
            drop_claims(&mut head, Trust::Trusted);
            let client = client.map(str::as_bytes);
            set_x_forwarded(&mut head, peer.as_bytes(), client, Trust::Trusted);
            same(&head, &[&[("Host", "a")], added].concat());
        };
        let list = |value| ("X-Forwarded-For", value);
        let proto = ("X-Forwarded-Proto", "https");
        let host = ("X-Forwarded-Host", "a");
        let peer = "10.0.0.1";
        check(peer, None, &[], &[list(peer), proto, host]);
        check(
            peer,
            Some("6.6.6.6"),
            &[list("6.6.6.6"), proto],
            &[proto, list("6.6.6.6, 10.0.0.1"), host],
        );
        check(
            peer,
            Some("5.5.5.5"),
            &[list("6.6.6.6"), list(""), ("x-forwarded-for", "5.5.5.5,")],
            &[list("6.6.6.6, 5.5.5.5,, 10.0.0.1"), proto, host],
        );
        // A Unix socket has no address to append.
        let one = [list("6.6.6.6"), list("5.5.5.5")];
        check("", None, &one, &[list("6.6.6.6, 5.5.5.5"), proto, host]);
        check("", None, &[list("")], &[proto, host]);
        // `Forwarded` named the client.
        let forwarded = ("Forwarded", "for=6.6.6.6");
        check(
            peer,
            Some("6.6.6.6"),
            &[
                forwarded,
                ("X-Real-IP", "6.6.6.6"),
                ("X_Real_IP", "7.7.7.7"),
            ],
            &[
                forwarded,
                ("X-Real-IP", "6.6.6.6"),
                list("6.6.6.6, 10.0.0.1"),
                proto,
                host,
            ],
        );
        for scheme in ["http, https", "on", ""] {
            let lines = [("X-Forwarded-Proto", scheme)];
            check(peer, None, &lines, &[list(peer), proto, host]);
        }
        let twice = [("X-Forwarded-Host", "b"), ("x-forwarded-host", "c")];
        check(peer, None, &twice, &[twice[1], list(peer), proto]);
        let wss = ("X-Forwarded-Proto", "wss");
        check(peer, None, &[wss], &[wss, list(peer), host]);
    }

    #[test]
    fn connection_cannot_remove_a_proxys_fields() {
        let mut head = head(
            "GET",
            &[("X-Forwarded-For", "1.1.1.1"), ("X-Real-IP", "1.1.1.1")],
        );
        for name in ["x-forwarded-for", "x-real-ip"] {
            head.fields_mut().drop_named(name.as_bytes());
        }
        same(
            &head,
            &[("X-Forwarded-For", "1.1.1.1"), ("X-Real-IP", "1.1.1.1")],
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
        check("OPTIONS", &["000"], MaxForwards::RespondLocally, &["000"]);
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

//! Names of the fields by which servers identify clients, in every spelling.
//!
//! Owns the list: fields that widely used frameworks, servers and networks read for the address,
//! scheme, host, port or certificate of a client (Rails and Rack, Django, Spring, Symfony, Express,
//! ASP.NET, Jetty, gunicorn, request-ip; Cloudflare, Akamai, Fastly), and those of RFC 9440.
//! `docs/run/configuration.md` lists them for operators.

use super::FieldKind;

/// Length of the shortest name.
pub(super) const MIN_LENGTH: usize = 8;

/// Classifies names on the list, and names that become the same CGI variable as one of them.
///
/// `name` is a token that is not the name of a one-name kind.
#[inline(never)]
pub(super) fn classify(name: &[u8]) -> FieldKind {
    let is = |lower: &[u8]| resembles(name, lower);
    let is_listed = match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
        (_, b'x') if is_x_forwarded(name) => true,
        (8, b'x') => is(b"x-scheme"),
        (9, b'c') => is(b"client-ip"),
        (9, b'x') => is(b"x-real-ip"),
        (11, b'c') => is(b"client-cert"),
        (11, b'x') => is(b"x-client-ip"),
        (12, b'x') => is(b"x-url-scheme"),
        (13, b'f') => is(b"forwarded-for"),
        (14, b't') => is(b"true-client-ip"),
        (15, b'f') => is(b"front-end-https"),
        (15, b'x') => is(b"x-proxied-https"),
        (16, b'c') => is(b"cf-connecting-ip"),
        (16, b'f') => is(b"fastly-client-ip"),
        (17, b'c') => is(b"client-cert-chain"),
        (18, b'c') => is(b"cf-connecting-ipv6"),
        (19, b'x') => is(b"x-cluster-client-ip"),
        (24, b'x') => is(b"x-original-forwarded-for"),
        _ => false,
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    match is_listed {
        false => FieldKind::Other,
        true if name.iter().all(is_plain) => FieldKind::Origin,
        true => FieldKind::OriginLookalike,
    }
}

/// Returns whether `name` is `X-Forwarded` or begins with `X-Forwarded-`. Proxies keep inventing
/// new names with this prefix.
fn is_x_forwarded(name: &[u8]) -> bool {
    let (Some(start), end) = (name.get(..11), name.get(11)) else {
        return false;
    };
    resembles(start, b"x-forwarded") && !end.is_some_and(u8::is_ascii_alphanumeric)
}

/// Returns whether a server that names CGI variables after fields reads `name` as `lower`.
///
/// RFC 3875, section 4.1.18, replaces `-` by `_`. Some servers (lighttpd) replace everything except
/// letters and digits.
#[inline]
fn resembles(name: &[u8], lower: &[u8]) -> bool {
    let is_alike = |(byte, lower): (&u8, &u8)| match lower {
        b'-' => !byte.is_ascii_alphanumeric(),
        _ => byte | 0x20 == *lower,
    };
    name.len() == lower.len() && name.iter().zip(lower).all(is_alike)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::field::HeaderFlags;

    const NAMES: &[&str] = &[
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "Client-Cert",
        "Client-Cert-Chain",
        "Client-IP",
        "Fastly-Client-IP",
        "Forwarded-For",
        "Front-End-Https",
        "True-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Forwarded",
        "X-Forwarded-By",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Protocol",
        "X-Forwarded-Proxy-User",
        "X-Forwarded-Scheme",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-Tls-Client-Cert-Info",
        "X-Forwarded-User",
        "X-Original-Forwarded-For",
        "X-Proxied-Https",
        "X-Real-IP",
        "X-Scheme",
        "X-Url-Scheme",
    ];

    #[test]
    fn names_of_the_list() {
        for name in NAMES {
            for spelling in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                let kind = FieldKind::of(spelling.as_bytes());
                assert_eq!(kind, FieldKind::Origin, "{spelling}");
            }
            assert!(name.len() >= MIN_LENGTH);
        }
        for name in [
            "Client-ID",
            "Content-Language",
            "Forwarded2",
            "From",
            "True-Client-I",
            "X-Forward-For",
            "X-Forwarde",
            "X-Forwardedfor",
            "X-Frame-Options",
            "X-Real-IP2",
            "X-Requested-With",
            "XForwarded-For",
        ] {
            assert_eq!(FieldKind::of(name.as_bytes()), FieldKind::Other, "{name}");
        }
        assert!(FieldKind::Origin.is_protected());
    }

    /// Returns the name of the variable that a CGI server derives from a field name.
    fn variable(name: &str, is_lenient: bool) -> String {
        let octet = |octet: char| match octet {
            '-' => '_',
            octet if is_lenient && !octet.is_ascii_alphanumeric() => '_',
            octet => octet.to_ascii_uppercase(),
        };
        name.chars().map(octet).collect()
    }

    proptest! {
        /// No spelling that a server reads as a name on the list evades the list.
        #[test]
        fn no_spelling_evades_the_list(
            index in 0..NAMES.len() + 3,
            noise in "[A-Z!#$%&'*+.^_`|~-]{40}",
        ) {
            let known = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"];
            let name = NAMES.iter().chain(&known).nth(index).unwrap();
            let spelling: String = name
                .chars()
                .zip(noise.chars())
                .map(|(octet, noise)| match (octet, noise) {
                    ('-', noise) if noise.is_ascii_alphabetic() => '-',
                    ('-', noise) => noise,
                    (octet, 'A'..='M') => octet.to_ascii_uppercase(),
                    (octet, _) => octet.to_ascii_lowercase(),
                })
                .collect();
            prop_assert_eq!(variable(&spelling, true), variable(name, true));
            let kind = FieldKind::of(spelling.as_bytes());
            prop_assert!(HeaderFlags::ORIGIN.has(kind), "{} is {:?}", spelling, kind);
            let is_disguised = !spelling.eq_ignore_ascii_case(name);
            prop_assert_eq!(kind == FieldKind::OriginLookalike, is_disguised, "{}", spelling);
        }
    }
}

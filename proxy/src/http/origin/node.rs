//! Addresses and schemes as proxies write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::http::message::Scheme;

/// Parses the address of a node into canonical form, without its port and zone. IPv6 can be in
/// brackets, and must be if it has a port.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return v6(address).filter(|_| is_whole);
    }
    match text.split_once(':') {
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        Some((address, port)) if !port.contains(':') => {
            let address = address.parse::<Ipv4Addr>().ok();
            address.filter(|_| is_port(port)).map(IpAddr::from)
        }
        Some(_) => v6(text),
    }
}

/// Parses an IPv6 address. Ignores a zone (RFC 4007, section 11), which has a meaning only on the
/// host that wrote it.
fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        None => text,
        Some((address, zone)) => {
            let is_zone = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            (!zone.is_empty() && zone.bytes().all(is_zone)).then_some(address)?
        }
    };
    let address = address.parse::<Ipv6Addr>().ok()?;
    Some(IpAddr::from(address).to_canonical())
}

/// Returns whether `text` is a port number or an obfuscated port (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match text.strip_prefix('_') {
        Some(text) => !text.is_empty() && text.bytes().all(is_allowed),
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

/// Parses a scheme, ignoring case. For WebSockets, some proxies send `ws` and `wss`.
pub(super) fn scheme(text: &[u8]) -> Option<Scheme> {
    let is = |scheme: &[u8]| text.eq_ignore_ascii_case(scheme);
    if is(b"https") || is(b"wss") {
        Some(Scheme::Https)
    } else if is(b"http") || is(b"ws") {
        Some(Scheme::Http)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:0", "192.0.2.1"),
            ("192.0.2.1:65535", "192.0.2.1"),
            ("192.0.2.1:_http", "192.0.2.1"),
            ("2001:DB8:0:0:0::1", "2001:db8::1"),
            ("2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:80", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25en-0.1]:80", "fe80::1"),
            ("::", "::"),
        ] {
            let found = address(text.as_bytes()).map(|address| address.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "unix:",
            "192.0.2",
            "192.0.2.01",
            "192.0.2.256",
            "0xc0.0.2.1",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1 ",
            "192.0.2.1/32",
            "192.0.2.1%eth0",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "[2001:db8::1]:",
            "2001:db8::1]",
            "[[::1]]",
            "fe80::1%",
            "fe80::1%a%b",
            "fe80::1%a]",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            ":::",
            "1::2::3",
            "\u{661}92.0.2.1",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(b"192.0.2.1\xff"), None);
    }

    #[test]
    fn schemes() {
        for (text, expected) in [
            ("http", Some(Scheme::Http)),
            ("HTTPS", Some(Scheme::Https)),
            ("ws", Some(Scheme::Http)),
            ("wss", Some(Scheme::Https)),
            ("", None),
            ("on", None),
            ("https ", None),
            ("ftp", None),
        ] {
            assert_eq!(scheme(text.as_bytes()), expected, "{text}");
        }
    }
}

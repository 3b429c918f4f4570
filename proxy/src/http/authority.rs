//! Host and port as text: valid values of Host, and how to derive one from an authority.

/// Returns whether `value` is a valid Host: empty, or `uri-host [ ":" port ]` (RFC 9110, section
/// 7.2; RFC 3986, section 3.2.2).
pub fn is_host(value: &[u8]) -> bool {
    // A plain name, the usual case, takes one pass. An IP literal, a port or an escape takes a
    // second.
    value.iter().all(|&byte| is_name_byte(byte)) || is_host_and_port(value)
}

fn is_host_and_port(value: &[u8]) -> bool {
    let (host, port) = split_port(value);
    // The grammar allows any number of digits.
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    port.is_none_or(is_port) && (is_ip_literal(host) || is_reg_name(host))
}

/// Returns the part of an absolute target's authority that becomes Host.
///
/// Omits the scheme's default port, as browsers do. Returns `None` if `authority` is invalid or has
/// no host (RFC 9110, section 4.2.1).
pub fn host_of(authority: &[u8], default_port: u16) -> Option<&[u8]> {
    let (host, port) = split_port(authority);
    if host.is_empty() || !is_host(authority) {
        return None;
    }
    let is_default = port.is_some_and(|port| parse_port(port) == Some(default_port));
    Some(if is_default { host } else { authority })
}

/// Returns the host of an authority, without its port and without a trailing dot. An IPv6 address
/// keeps its brackets.
pub fn host_name(authority: &[u8]) -> &[u8] {
    let (host, _) = split_port(authority);
    host.strip_suffix(b".").unwrap_or(host)
}

/// Splits `value` into the host and, if a colon follows it, the port.
pub fn split_port(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let start = if value.first() == Some(&b'[') {
        value.iter().position(|&byte| byte == b']').unwrap_or(0)
    } else {
        0
    };
    match value[start..].iter().position(|&byte| byte == b':') {
        Some(colon) => (&value[..start + colon], Some(&value[start + colon + 1..])),
        None => (value, None),
    }
}

fn parse_port(port: &[u8]) -> Option<u16> {
    std::str::from_utf8(port).ok()?.parse().ok()
}

/// Returns whether `host` is `"[" ( IPv6address / IPvFuture ) "]"`. Checks only the characters of
/// an address of a future version.
fn is_ip_literal(host: &[u8]) -> bool {
    let Some(inner) = host
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
    else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(inner) else {
        return false;
    };
    if let Some(future) = text.strip_prefix(['v', 'V']) {
        return future.split_once('.').is_some_and(|(version, address)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
                && address
                    .bytes()
                    .all(|byte| is_name_byte(byte) || byte == b',' || byte == b':')
        });
    }
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Returns whether `host` is `*( unreserved / pct-encoded / sub-delims )` without the comma.
///
/// No name contains a comma. If a list of hosts were accepted as one name, two readers could pick
/// different hosts.
fn is_reg_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            (byte, tail) if is_name_byte(*byte) => tail,
            _ => return false,
        };
    }
    true
}

/// Returns whether `byte` is one of `unreserved / sub-delims`, without the comma.
#[inline]
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[byte as usize]
}

static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~!$&'()*+;=";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_values() {
        let check = |value: &[u8], expected: bool| {
            assert_eq!(is_host(value), expected, "{}", value.escape_ascii());
        };
        for value in [
            "",
            "io.test.tld",
            "IO.TEST.TLD",
            "io.test.tld:8080",
            "io.test.tld:",
            "io.test.tld.",
            "[::1]",
            "[::1]:80",
            "127.0.0.1:9",
            "x_y.io.test.tld",
            "a%20b",
            "a!$&'()*+;=b",
            "[v1.a:b]",
            "[v1f.a,b]",
        ] {
            check(value.as_bytes(), true);
        }
        for value in [
            "io.test.tld,other.tld",
            "other.tld, io.test.tld",
            "user@io.test.tld",
            "a/b",
            "a b",
            "a:b",
            "a:1:2",
            "a:-1",
            "a:+1",
            "[::1",
            "::1",
            "[::1]x",
            "[g::1]",
            "[]",
            "a%2",
            "a%zz",
            "a\\b",
            "a?b",
            "a#b",
            "<a>",
            "\"a\"",
            "[v.a]",
            "[127.0.0.1]",
        ] {
            check(value.as_bytes(), false);
        }
        check(b"\xe4.test.tld", false);
    }

    #[test]
    fn host_names() {
        for (authority, expected) in [
            ("a.b", "a.b"),
            ("a.b:80", "a.b"),
            ("a.b.:80", "a.b"),
            ("a.b..", "a.b."),
            (".", ""),
            ("", ""),
            (":80", ""),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(
                host_name(authority.as_bytes()),
                expected.as_bytes(),
                "{authority}"
            );
        }
    }

    #[test]
    fn authorities() {
        let check = |authority: &str, port, expected: Option<&str>| {
            let found = host_of(authority.as_bytes(), port);
            assert_eq!(found, expected.map(str::as_bytes), "{authority}");
        };
        check("a", 80, Some("a"));
        check("a:80", 80, Some("a"));
        check("a:080", 80, Some("a"));
        check("a:443", 80, Some("a:443"));
        check("a:", 80, Some("a:"));
        check("[::1]:80", 80, Some("[::1]"));
        check("", 80, None);
        check(":80", 80, None);
        check("user@a", 80, None);
        check("user:pw@a", 80, None);
        check("a:x", 80, None);
    }
}

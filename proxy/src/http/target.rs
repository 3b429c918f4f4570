//! The request target and the Host field: which authority a request is for.

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use thiserror::Error;

/// Why a request's target or Host cannot be accepted: each is answered 400, but
/// [`TargetError::Connect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// A request MUST have one Host line at most (RFC 9112, section 3.2).
    #[error("several Host lines")]
    SeveralHosts,
    /// An HTTP/1.1 request MUST have one (RFC 9112, section 3.2).
    #[error("no Host line in an HTTP/1.1 request")]
    NoHost,
    /// The value is not `uri-host [ ":" port ]` (RFC 9110, section 7.2).
    #[error("Host is not a host with an optional port")]
    InvalidHost,
    /// The target's authority is not one: user information, no host, a bad port.
    #[error("the target's authority is not a host with an optional port")]
    InvalidAuthority,
    /// A target that fits neither its method nor any form (RFC 9112, section 3.2).
    #[error("the request target has no form that its method allows")]
    InvalidForm,
    /// Neither `http` nor `https`.
    #[error("the target's scheme is not http")]
    UnknownScheme,
    /// A tunnel through the proxy to anywhere is nothing that a reverse proxy has.
    #[error("CONNECT")]
    Connect,
}

/// The request target in origin form (or `*`). Where the target was in absolute form its
/// authority replaces Host (RFC 9112, section 3.2.2).
///
/// # Errors
/// [`TargetError`].
pub fn resolve(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &mut HeaderMap,
) -> Result<PathAndQuery, TargetError> {
    if method == Method::CONNECT {
        return Err(TargetError::Connect);
    }
    check_host(version, headers)?;
    if let Some(authority) = uri.authority() {
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            // Authority form is CONNECT's alone (RFC 9112, section 3.2.3).
            None => return Err(TargetError::InvalidForm),
            Some(_) => return Err(TargetError::UnknownScheme),
        };
        headers.insert(HOST, host_of(authority, default_port)?);
    }
    let target = uri.path_and_query().ok_or(TargetError::InvalidForm)?;
    if uri.authority().is_some() && target.as_str().starts_with('?') {
        // An empty path is `/` in origin form (RFC 9112, section 3.2.1); http writes it so, but
        // does not have it so.
        return PathAndQuery::try_from(target.to_string()).map_err(|_| TargetError::InvalidForm);
    }
    // hyper's parser lets `*` stand for any method (RFC 9112, section 3.2.4).
    let is_asterisk = target.as_str() == "*";
    if is_asterisk && method != Method::OPTIONS || !is_asterisk && !target.as_str().starts_with('/')
    {
        return Err(TargetError::InvalidForm);
    }
    Ok(target.clone())
}

fn check_host(version: Version, headers: &HeaderMap) -> Result<(), TargetError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(TargetError::SeveralHosts),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(TargetError::InvalidHost),
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (None, _) => Err(TargetError::NoHost),
    }
}

/// The authority as Host's value, without the scheme's own port, as browsers send it.
fn host_of(authority: &Authority, default_port: u16) -> Result<HeaderValue, TargetError> {
    let text = authority.as_str();
    if text.is_empty() || !is_host(text.as_bytes()) {
        return Err(TargetError::InvalidAuthority);
    }
    let (host, port) = split_port(text.as_bytes());
    if host.is_empty() {
        return Err(TargetError::InvalidAuthority);
    }
    let kept = if port.is_some_and(|port| parse_port(port) == Some(default_port)) {
        host
    } else {
        text.as_bytes()
    };
    HeaderValue::from_bytes(kept).map_err(|_| TargetError::InvalidAuthority)
}

/// Whether `value` is what Host may hold: empty, or `uri-host [ ":" port ]` (RFC 9110,
/// section 7.2; RFC 3986, section 3.2.2).
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = split_port(value);
    // The grammar has any number of digits.
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    port.is_none_or(is_port) && (is_ip_literal(host) || is_reg_name(host))
}

/// The host and, where there is a colon after it, the port.
fn split_port(value: &[u8]) -> (&[u8], Option<&[u8]>) {
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

/// `"[" ( IPv6address / IPvFuture ) "]"`; of a future version only the characters.
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
                    .all(|byte| is_unreserved_or_sub_delim(byte) || byte == b':')
        });
    }
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// `*( unreserved / pct-encoded / sub-delims )`, without the comma: no name has one, and
/// a list of hosts read as one name is how two readers come to differ.
fn is_reg_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            (b',', _) => return false,
            (byte, tail) if is_unreserved_or_sub_delim(*byte) => tail,
            _ => return false,
        };
    }
    true
}

fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

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
    fn targets() {
        let check = |method: &str,
                     target: &str,
                     host: &[&str],
                     expected: Result<(&str, &str), TargetError>| {
            let mut headers = HeaderMap::new();
            for host in host {
                headers.append(HOST, HeaderValue::from_str(host).unwrap());
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let uri: Uri = target.parse().unwrap();
            let found = resolve(&method, &uri, Version::HTTP_11, &mut headers).map(|target| {
                let host = headers[HOST].to_str().unwrap();
                (target.to_string(), host.to_owned())
            });
            let expected = expected.map(|(target, host)| (target.to_owned(), host.to_owned()));
            assert_eq!(found, expected, "{method} {target} {host:?}");
        };
        check("GET", "/a?b", &["x"], Ok(("/a?b", "x")));
        check(
            "GET",
            "http://io.test.tld/",
            &["other.tld"],
            Ok(("/", "io.test.tld")),
        );
        check(
            "GET",
            "http://io.test.tld:80/",
            &["x"],
            Ok(("/", "io.test.tld")),
        );
        check("GET", "https://a:443/", &["x"], Ok(("/", "a")));
        check("GET", "http://a:443/", &["x"], Ok(("/", "a:443")));
        check("GET", "http://[::1]:80/x", &["x"], Ok(("/x", "[::1]")));
        check("GET", "http://a?b", &["x"], Ok(("/?b", "a")));
        check("OPTIONS", "*", &["x"], Ok(("*", "x")));
        check("GET", "*", &["x"], Err(TargetError::InvalidForm));
        check("GET", "a:80", &["x"], Err(TargetError::InvalidForm));
        check("CONNECT", "a:80", &["a:80"], Err(TargetError::Connect));
        check(
            "GET",
            "http://user@a/",
            &["x"],
            Err(TargetError::InvalidAuthority),
        );
        check("GET", "ftp://a/", &["x"], Err(TargetError::UnknownScheme));
        check("GET", "http://a/", &[], Err(TargetError::NoHost));
        check("GET", "/", &["a", "a"], Err(TargetError::SeveralHosts));
        check("GET", "/", &["a b"], Err(TargetError::InvalidHost));
        check("GET", "/", &[""], Ok(("/", "")));
    }
}

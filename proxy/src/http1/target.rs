//! Request targets: their four forms (RFC 9112, section 3.2), and Host.

use thiserror::Error;

use crate::http::authority::{host_of, is_host};
use crate::http::field::FieldKind;
use crate::http::message::{MethodKind, RequestHead, Version};
use crate::http::span::Span;

/// Why a request's target or Host is refused: answered 400, but [`TargetError::Connect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// A tunnel to anywhere, which a reverse proxy does not offer: answered 405.
    #[error("CONNECT is not supported")]
    Connect,
    /// More than one Host line (RFC 9112, section 3.2).
    #[error("several Host lines")]
    SeveralHosts,
    /// None in HTTP/1.1 (RFC 9112, section 3.2).
    #[error("no Host line in an HTTP/1.1 request")]
    NoHost,
    /// Not `uri-host [ ":" port ]` (RFC 9110, section 7.2).
    #[error("Host is not a host with an optional port")]
    InvalidHost,
    /// User information, no host, or a bad port.
    #[error("the target's authority is not a host with an optional port")]
    InvalidAuthority,
    /// A target in a form that its method does not have (RFC 9112, section 3.2).
    #[error("the target has no form that its method allows")]
    InvalidTarget,
    /// A fragment is no part of a target (RFC 9112, section 3.2).
    #[error("the target has a fragment")]
    Fragment,
    /// Neither `http` nor `https`.
    #[error("the target's scheme is not http")]
    UnknownScheme,
}

/// Leaves the head with a target in origin form or `*`, and with an authority in Host.
///
/// Raw characters that a URI does not have, such as `"<>|{}^`, a backslash or UTF-8, pass
/// as they are: clients send them, and HAProxy and nginx take the former (HAProxy refuses
/// UTF-8, nginx and Envoy do not). httparse has refused whitespace, control characters and bytes
/// that are not UTF-8.
#[inline]
pub(super) fn resolve(head: &mut RequestHead) -> Result<(), TargetError> {
    if head.method_kind() == MethodKind::Connect {
        return Err(TargetError::Connect);
    }
    check_host(head)?;
    let target = head.target();
    // No client may send a fragment (RFC 9112, section 3.2). Some servers cut it off and
    // some take it for a part of the path; HAProxy refuses it, as we do.
    if has_byte(target, b'#') {
        return Err(TargetError::Fragment);
    }
    match target {
        [b'/', ..] => Ok(()),
        b"*" if head.method_kind() == MethodKind::Options => Ok(()),
        _ => resolve_absolute(head),
    }
}

/// Without a branch for each byte, so that 16 are compared at once.
fn has_byte(bytes: &[u8], wanted: u8) -> bool {
    let matches = bytes.iter().map(|&byte| u8::from(byte == wanted));
    matches.fold(0, |all, one| all | one) != 0
}

fn check_host(head: &RequestHead) -> Result<(), TargetError> {
    let mut hosts = head.fields().values_of(FieldKind::Host);
    match (hosts.next(), hosts.next()) {
        // RFC 9112, section 3.2: MUST be answered 400, all three.
        (Some(_), Some(_)) => Err(TargetError::SeveralHosts),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(TargetError::InvalidHost),
        (None, _) if head.version() == Version::Http10 => Ok(()),
        (None, _) => Err(TargetError::NoHost),
    }
}

/// `http://authority[path][?query]`: the authority replaces Host (RFC 9112, section 3.2.2).
#[cold]
fn resolve_absolute(head: &mut RequestHead) -> Result<(), TargetError> {
    let target = head.target();
    let start = head.target_span().start();
    let scheme_end = target.windows(3).position(|part| part == b"://");
    // Authority form is CONNECT's alone, the asterisk that of OPTIONS.
    let scheme_end = scheme_end.ok_or(TargetError::InvalidTarget)?;
    let default_port = match &target[..scheme_end] {
        scheme if scheme.eq_ignore_ascii_case(b"http") => 80,
        scheme if scheme.eq_ignore_ascii_case(b"https") => 443,
        scheme if scheme.iter().all(u8::is_ascii_alphanumeric) => {
            return Err(TargetError::UnknownScheme);
        }
        _ => return Err(TargetError::InvalidTarget),
    };
    let authority_start = scheme_end + 3;
    let rest = &target[authority_start..];
    let path_start = rest.iter().position(|&byte| matches!(byte, b'/' | b'?'));
    let path_start = path_start.unwrap_or(rest.len());
    let host = host_of(&rest[..path_start], default_port);
    let host_length = host.ok_or(TargetError::InvalidAuthority)?.len();
    let host_start = start + authority_start;
    let host = Span::new(host_start, host_start + host_length);
    let path = Span::new(host_start + path_start, start + target.len());
    let target = match rest.get(path_start) {
        Some(b'/') => path,
        // An empty path is `/` in origin form (RFC 9112, section 3.2.1), and `*` for
        // OPTIONS without a query (section 3.2.4).
        None if head.method_kind() == MethodKind::Options => head.fields_mut().append(b"*"),
        None => head.fields_mut().append(b"/"),
        Some(_) => {
            let query = head.fields().text(path).to_vec();
            let slash = head.fields_mut().append(b"/");
            let query = head.fields_mut().append(&query);
            Span::new(slash.start(), query.end())
        }
    };
    head.set_target(target);
    if head.fields().has(FieldKind::Host) {
        head.fields_mut().forward_only(FieldKind::Host, host);
    } else {
        let host = head.fields().text(host).to_vec();
        head.fields_mut().push_kind(FieldKind::Host, &host);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(
        method: &str,
        target: &str,
        version: Version,
        hosts: &[&str],
    ) -> Result<(String, Option<String>), TargetError> {
        let mut head = RequestHead::default();
        head.start(method.as_bytes(), target.as_bytes(), version);
        for host in hosts {
            head.fields_mut().push(b"Host", host.as_bytes());
        }
        resolve(&mut head)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(head.target()), head.authority().map(text)))
    }

    #[test]
    fn targets() {
        use TargetError::*;
        let check = |method: &str, target: &str, hosts: &[&str], expected| {
            let found = resolved(method, target, Version::Http11, hosts);
            let expected: Result<(&str, &str), TargetError> = expected;
            let expected = expected.map(|(target, host)| (target.into(), Some(host.into())));
            assert_eq!(found, expected, "{method} {target} {hosts:?}");
        };
        check("GET", "/a?b", &["x"], Ok(("/a?b", "x")));
        check("GET", "//a/b", &["x"], Ok(("//a/b", "x")));
        check(
            "GET",
            "/\"<>|{}^`\\\u{e9}",
            &["x"],
            Ok(("/\"<>|{}^`\\\u{e9}", "x")),
        );
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
        check("GET", "HTTP://A/b//c?d", &["x"], Ok(("/b//c?d", "A")));
        check("GET", "https://a:443/", &["x"], Ok(("/", "a")));
        check("GET", "http://a:443/", &["x"], Ok(("/", "a:443")));
        check("GET", "http://[::1]:80/x", &["x"], Ok(("/x", "[::1]")));
        check("GET", "http://a?b", &["x"], Ok(("/?b", "a")));
        check("GET", "http://a?b/c", &["x"], Ok(("/?b/c", "a")));
        check("GET", "http://a", &[""], Ok(("/", "a")));
        check("OPTIONS", "http://a", &["x"], Ok(("*", "a")));
        check("OPTIONS", "http://a/", &["x"], Ok(("/", "a")));
        check("OPTIONS", "http://a?", &["x"], Ok(("/?", "a")));
        check("OPTIONS", "*", &["x"], Ok(("*", "x")));
        check("GET", "/", &[""], Ok(("/", "")));
        check("GET", "*", &["x"], Err(InvalidTarget));
        check("GET", "a:80", &["x"], Err(InvalidTarget));
        check("GET", "a", &["x"], Err(InvalidTarget));
        check("GET", "?a", &["x"], Err(InvalidTarget));
        check("GET", "://a/", &["x"], Err(UnknownScheme));
        check("GET", "ftp://a/", &["x"], Err(UnknownScheme));
        check("GET", "a?http://b/", &["x"], Err(InvalidTarget));
        check("CONNECT", "a:80", &["a:80"], Err(Connect));
        check("GET", "http://user@a/", &["x"], Err(InvalidAuthority));
        check("GET", "http:///", &["x"], Err(InvalidAuthority));
        check("GET", "http://a,b/", &["x"], Err(InvalidAuthority));
        for target in [
            "/#",
            "/a#b",
            "http://a#x",
            "http://a/#x",
            "http://a?#",
            "*#",
        ] {
            check("GET", target, &["x"], Err(Fragment));
        }
        check("GET", "http://a/", &[], Err(NoHost));
        check("GET", "/", &["a", "a"], Err(SeveralHosts));
        check("GET", "/", &["a b"], Err(InvalidHost));
    }

    #[test]
    fn http_1_0() {
        let check = |target: &str, hosts: &[&str], expected: (&str, Option<&str>)| {
            let found = resolved("GET", target, Version::Http10, hosts).unwrap();
            assert_eq!((found.0.as_str(), found.1.as_deref()), expected, "{target}");
        };
        check("/a", &[], ("/a", None));
        check("/a", &["b"], ("/a", Some("b")));
        check("http://b/a", &[], ("/a", Some("b")));
    }
}

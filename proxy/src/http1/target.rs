//! Request targets: their four forms (RFC 9112, section 3.2), and Host.

use thiserror::Error;

use crate::http::authority::{host_of, is_host};
use crate::http::field::FieldKind;
use crate::http::message::{MethodKind, RequestHead, Version};
use crate::http::span::Span;

/// Reason for rejecting a request's target or Host. Rejected with 400, except
/// [`TargetError::Connect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// The client requests a forward tunnel, which a reverse proxy does not offer. Rejected with
    /// 405.
    #[error("CONNECT is not supported")]
    Connect,
    /// There is more than one Host line (RFC 9112, section 3.2).
    #[error("several Host lines")]
    SeveralHosts,
    /// An HTTP/1.1 request has no Host line (RFC 9112, section 3.2).
    #[error("no Host line in an HTTP/1.1 request")]
    NoHost,
    /// Host is not `uri-host [ ":" port ]` (RFC 9110, section 7.2).
    #[error("Host is not a host with an optional port")]
    InvalidHost,
    /// The authority has user information, no host, or an invalid port.
    #[error("the target's authority is not a host with an optional port")]
    InvalidAuthority,
    /// The target has a form that the method does not allow (RFC 9112, section 3.2).
    #[error("the target has a form that its method does not allow")]
    InvalidTarget,
    /// The target has a fragment, which is never part of a target (RFC 9112, section 3.2).
    #[error("the target has a fragment")]
    Fragment,
    /// The scheme is neither `http` nor `https`.
    #[error("the target's scheme is not http")]
    UnknownScheme,
}

/// Converts the target to origin form or `*`, and puts its authority into Host.
///
/// Raw characters that are not allowed in a URI, such as `"<>|{}^`, a backslash or UTF-8, pass
/// unchanged, because clients send them. HAProxy and nginx accept the ASCII ones. HAProxy rejects
/// UTF-8; nginx and Envoy do not. httparse has rejected whitespace, control characters and bytes
/// that are not UTF-8.
#[inline]
pub(super) fn resolve(head: &mut RequestHead) -> Result<(), TargetError> {
    if head.method_kind() == MethodKind::Connect {
        return Err(TargetError::Connect);
    }
    check_host(head)?;
    let target = head.target();
    // Clients must not send a fragment (RFC 9112, section 3.2). Some servers cut it off, and some
    // treat it as part of the path. This proxy rejects it, as HAProxy does.
    if has_byte(target, b'#') {
        return Err(TargetError::Fragment);
    }
    match target {
        [b'/', ..] => Ok(()),
        b"*" if head.method_kind() == MethodKind::Options => Ok(()),
        _ => resolve_absolute(head),
    }
}

/// Returns whether `bytes` contains `wanted`. Has no branch per byte, so that 16 bytes are compared
/// at once.
fn has_byte(bytes: &[u8], wanted: u8) -> bool {
    let matches = bytes.iter().map(|&byte| u8::from(byte == wanted));
    matches.fold(0, |all, one| all | one) != 0
}

fn check_host(head: &RequestHead) -> Result<(), TargetError> {
    let mut hosts = head.fields().values_of(FieldKind::Host);
    match (hosts.next(), hosts.next()) {
        // RFC 9112, section 3.2: the response to each of these three errors MUST be 400.
        (Some(_), Some(_)) => Err(TargetError::SeveralHosts),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(TargetError::InvalidHost),
        (None, _) if head.version() == Version::Http10 => Ok(()),
        (None, _) => Err(TargetError::NoHost),
    }
}

/// Resolves `http://authority[path][?query]`. The authority replaces Host (RFC 9112, section
/// 3.2.2).
#[cold]
fn resolve_absolute(head: &mut RequestHead) -> Result<(), TargetError> {
    let target = head.target();
    let start = head.target_span().start();
    let scheme_end = target.windows(3).position(|part| part == b"://");
    // Only CONNECT uses the authority form, and only OPTIONS the asterisk form.
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
        // An empty path becomes `/` in origin form (RFC 9112, section 3.2.1), or `*` for OPTIONS
        // without a query (section 3.2.4).
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

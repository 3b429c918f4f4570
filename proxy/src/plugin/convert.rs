//! Between a guest's values and the host's: what a plugin may say, and how HTTP says it.
//!
//! Pure functions. What a guest gives is octets until it has passed through here.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, StatusCode};

use super::bindings::exports::pointsman::router::plugin as guest;
use super::bindings::pointsman::router::request::EditError;
use super::fault::{Fault, text};
use super::outcome::{Backends, Cacheability, Decision, Response};

/// Most field lines of a plugin's own answer.
const MAX_RESPONSE_FIELDS: usize = 128;

/// Longest target that a plugin may set, in bytes. Servers refuse longer ones.
const MAX_TARGET: usize = 8 * 1024;

/// Whether a field frames, upgrades or negotiates the connection, which is the proxy's
/// (RFC 9110, sections 7.6.1, 7.8, 8.6 and 10.1.1; RFC 9112, section 6.1; RFC 6455,
/// section 11.3).
fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [HeaderName; 7] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
    ];
    const RESERVED_NAMES: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];
    RESERVED.contains(name)
        || RESERVED_NAMES.contains(&name.as_str())
        || name.as_str().starts_with("sec-websocket-")
}

/// Whether an edit keeps the number of a field's lines at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditKind {
    Set,
    AppendOrRemove,
}

/// The field that an edit is about.
pub(super) fn edit_name(name: &str, kind: EditKind) -> Result<HeaderName, EditError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::InvalidSyntax)?;
    // A request has exactly one host line (RFC 9112, section 3.2).
    if is_reserved(&name) || (kind == EditKind::AppendOrRemove && name == header::HOST) {
        return Err(EditError::Forbidden);
    }
    Ok(name)
}

/// The value that an edit gives to the field `name`.
pub(super) fn edit_value(name: &HeaderName, value: Vec<u8>) -> Result<HeaderValue, EditError> {
    if name == header::HOST && !is_host(&value) {
        return Err(EditError::InvalidSyntax);
    }
    HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| EditError::InvalidSyntax)
}

/// Whether `value` is one `uri-host [":" port]` (RFC 9110, section 7.2).
///
/// Without the punctuation that the grammar also allows: no name has it, and a comma would
/// look like two hosts to some reader.
fn is_host(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(byte);
    if !value.iter().all(is_plain) {
        return false;
    }
    let Ok(authority) = Authority::try_from(value) else {
        return false;
    };
    let Some(rest) = authority.as_str().strip_prefix(authority.host()) else {
        return false;
    };
    let port_is_number = match rest.strip_prefix(':') {
        Some(port) => port.is_empty() || port.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    !authority.host().is_empty() && port_is_number
}

/// The target that an edit sets: origin form (RFC 9112, section 3.2.1).
pub(super) fn edit_target(value: String) -> Result<PathAndQuery, EditError> {
    // Stricter than `http`, which lets octets beyond ASCII and fragments pass.
    let is_target = value.starts_with('/')
        && value.len() <= MAX_TARGET
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_target {
        return Err(EditError::InvalidSyntax);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(value)).map_err(|_| EditError::InvalidSyntax)
}

pub(super) fn cacheability(value: guest::Cacheability) -> Cacheability {
    match value {
        guest::Cacheability::Cacheable => Cacheability::Cacheable,
        guest::Cacheability::Uncacheable => Cacheability::Uncacheable,
    }
}

/// A guest's decision, if it is one that the proxy may carry out.
pub(super) fn decision(
    decision: guest::Decision,
    backends: &dyn Backends,
    max_response: usize,
) -> Result<Decision, Fault> {
    match decision {
        guest::Decision::Backend(name) => backends
            .find(&name)
            .map(Decision::Backend)
            .ok_or_else(|| Fault::UnknownBackend(text(&name))),
        guest::Decision::DefaultBackend => Ok(Decision::Default),
        guest::Decision::Respond(answer) => response(answer, max_response).map(Decision::Respond),
    }
}

fn response(answer: guest::Response, limit: usize) -> Result<Response, Fault> {
    let status = StatusCode::from_u16(answer.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or(Fault::Status(answer.status))?;
    let fields: usize = answer
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let size = fields + answer.body.len();
    if size > limit {
        return Err(Fault::ResponseTooLarge { size, limit });
    }
    // No content in a 204, 205 or 304 (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
    if matches!(answer.status, 204 | 205 | 304) && !answer.body.is_empty() {
        return Err(Fault::ResponseBody(answer.status));
    }
    if answer.headers.len() > MAX_RESPONSE_FIELDS {
        let (name, _) = &answer.headers[MAX_RESPONSE_FIELDS];
        return Err(field_fault(name, "is one too many"));
    }
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for (raw_name, value) in answer.headers {
        let name = HeaderName::from_bytes(raw_name.as_bytes())
            .map_err(|_| field_fault(&raw_name, "is not a field name"))?;
        if is_reserved(&name) {
            return Err(field_fault(&raw_name, "only the proxy may set"));
        }
        let value = HeaderValue::from_maybe_shared(Bytes::from(value))
            .map_err(|_| field_fault(&raw_name, "has a value that HTTP does not allow"))?;
        headers.append(name, value);
    }
    Ok(Response {
        status,
        headers,
        body: Bytes::from(answer.body),
    })
}

fn field_fault(name: &str, reason: &'static str) -> Fault {
    Fault::ResponseHeader {
        name: text(name),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_fields_are_forbidden_in_any_case() {
        let check = |name: &str, kind, expected: Result<&str, EditError>| {
            let found = edit_name(name, kind);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(EditError::Forbidden), Err(EditError::Forbidden))
                | (Err(EditError::InvalidSyntax), Err(EditError::InvalidSyntax)) => {}
                (found, expected) => panic!("{name}: {found:?}, not {expected:?}"),
            }
        };
        for name in [
            "Connection",
            "content-length",
            "TRANSFER-ENCODING",
            "upgrade",
            "te",
            "trailer",
            "Keep-Alive",
            "proxy-connection",
            "expect",
            "HTTP2-Settings",
            "Sec-WebSocket-Key",
            "sec-websocket-anything",
        ] {
            check(name, EditKind::Set, Err(EditError::Forbidden));
        }
        check("host", EditKind::AppendOrRemove, Err(EditError::Forbidden));
        check("Host", EditKind::Set, Ok("host"));
        check("X-Tenant", EditKind::AppendOrRemove, Ok("x-tenant"));
        for name in ["", "a b", "a:", ":authority", "a\nb", "ä"] {
            check(name, EditKind::Set, Err(EditError::InvalidSyntax));
        }
    }

    #[test]
    fn a_host_is_one_host() {
        let check =
            |value: &str, expected| assert_eq!(is_host(value.as_bytes()), expected, "{value}");
        for value in [
            "a",
            "a.test",
            "a.test:80",
            "a:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:443",
            "a_b",
        ] {
            check(value, true);
        }
        for value in [
            "",
            ":80",
            "a b",
            "a,b",
            "u@a",
            "a/b",
            "a?b",
            "a:b",
            "a:70000",
            "a:80:80",
            "[::1",
            "::1",
            "a\r\nx: y",
            "ä",
        ] {
            check(value, false);
        }
    }

    #[test]
    fn values_have_no_control_characters() {
        let name = HeaderName::from_static("x");
        let check = |value: &[u8], expected| {
            assert_eq!(
                edit_value(&name, value.to_vec()).is_ok(),
                expected,
                "{value:?}"
            );
        };
        check(b"", true);
        check(b"a\tb", true);
        check(b"\xff\x80", true);
        check(b"a\r\nb", false);
        check(b"a\0b", false);
        check(b"a\x7fb", false);
    }

    #[test]
    fn a_target_is_in_origin_form() {
        let check = |value: &str, expected| {
            assert_eq!(edit_target(value.to_owned()).is_ok(), expected, "{value}");
        };
        check("/", true);
        check("/a?b=c&d=%20", true);
        check("//a", true);
        for value in [
            "",
            "*",
            "a",
            "?a",
            "http://a/",
            "/a b",
            "/a#b",
            "/a\r\n",
            "/ä",
            "/\u{7f}",
        ] {
            check(value, false);
        }
        check(&format!("/{}", "a".repeat(MAX_TARGET)), false);
    }

    #[test]
    fn answers_are_checked() {
        let answer = |status, headers: &[(&str, &[u8])], body: &[u8]| {
            let headers = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect();
            let body = body.to_vec();
            response(
                guest::Response {
                    status,
                    headers,
                    body,
                },
                20,
            )
        };
        let kind = |result: Result<Response, Fault>| result.map_err(|fault| fault.kind());
        for status in [0, 99, 100, 101, 199, 600, 999, u16::MAX] {
            assert_eq!(kind(answer(status, &[], b"")), Err("status"), "{status}");
        }
        for status in [204, 205, 304] {
            assert_eq!(kind(answer(status, &[], b"x")), Err("response-body"));
            assert!(answer(status, &[], b"").is_ok());
        }
        for (name, value) in [
            ("connection", b"close".as_slice()),
            ("content-length", b"1"),
            ("a b", b""),
            ("x", b"a\r\nb"),
        ] {
            assert_eq!(
                kind(answer(200, &[(name, value)], b"")),
                Err("response-header")
            );
        }
        assert_eq!(
            kind(answer(200, &[("a", b"b")], &[0; 19])),
            Err("response-too-large")
        );
        let many = vec![("", b"".as_slice()); MAX_RESPONSE_FIELDS + 1];
        assert_eq!(kind(answer(200, &many, b"")), Err("response-header"));
        let good = answer(599, &[("Set-Cookie", b"a"), ("set-cookie", b"b")], &[]);
        assert!(matches!(
            good,
            Err(Fault::ResponseTooLarge {
                size: 22,
                limit: 20
            })
        ));
        let good = answer(599, &[("A", b"1"), ("a", b"2")], b"x").unwrap();
        assert_eq!(good.headers.get_all("a").iter().count(), 2);
    }
}

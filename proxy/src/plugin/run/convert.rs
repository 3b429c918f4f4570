//! Between a guest's values and the host's: what a plugin may say, and how HTTP says it.
//!
//! Pure functions. What a guest gives is octets until it has passed through here.

use bytes::Bytes;

use super::bindings::exports::pointsman::router::plugin as guest;
use super::bindings::pointsman::router::request::EditError;
use super::fault::{self, Fault};
use super::types::{Backends, Cacheability, FieldLine, Response, Route};
use crate::http::authority;
use crate::http::edit::{self, Edit};
use crate::http::field::FieldKind;
use crate::http::syntax;

/// Most field lines of a plugin's own answer.
const MAX_RESPONSE_FIELDS: usize = 128;

/// Longest target that a plugin may set, in bytes. Servers refuse longer ones.
const MAX_TARGET: usize = 8 * 1024;

/// One edit of a request's head, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edited {
    /// Of any field but Host.
    Field(Edit),
    /// Another Host.
    Host(Box<[u8]>),
    /// Another target.
    Target(Box<[u8]>),
}

impl Edited {
    /// Bytes of names and values.
    pub(super) fn size(&self) -> usize {
        match self {
            Edited::Field(edit) => edit.name().len() + edit.value().map_or(0, <[u8]>::len),
            Edited::Host(text) | Edited::Target(text) => text.len(),
        }
    }
}

/// Whether a field frames, upgrades or negotiates the connection, which is the proxy's
/// (RFC 9110, sections 7.6.1, 7.8, 8.6 and 10.1.1; RFC 9112, section 6.1; RFC 6455,
/// section 11.3). `name` is in lower case.
fn is_reserved(name: &[u8]) -> bool {
    let kind = FieldKind::of(name);
    let is_framing = matches!(
        kind,
        FieldKind::ContentLength | FieldKind::Expect | FieldKind::Trailer
    );
    is_framing || kind.is_hop_by_hop() || name.starts_with(b"sec-websocket-")
}

/// Replaces a field's lines by one.
pub(super) fn set_header(name: String, value: &[u8]) -> Result<Edited, EditError> {
    let name = edit_name(name)?;
    if name == "host" {
        return is_host(value)
            .then(|| Edited::Host(value.into()))
            .ok_or(EditError::InvalidSyntax);
    }
    field_edit(Edit::set(name.as_bytes(), trimmed(value)))
}

/// Adds a line to a field.
pub(super) fn append_header(name: String, value: &[u8]) -> Result<Edited, EditError> {
    let name = not_host(edit_name(name)?)?;
    field_edit(Edit::append(name.as_bytes(), trimmed(value)))
}

/// Removes a field.
pub(super) fn remove_header(name: String) -> Result<Edited, EditError> {
    let name = not_host(edit_name(name)?)?;
    field_edit(Edit::remove(name.as_bytes()))
}

fn field_edit(edit: Result<Edit, edit::EditError>) -> Result<Edited, EditError> {
    edit.map(Edited::Field).map_err(|error| match error {
        edit::EditError::Name | edit::EditError::Value => EditError::InvalidSyntax,
        edit::EditError::Reserved => EditError::Forbidden,
    })
}

/// The field that an edit is about, in lower case.
fn edit_name(mut name: String) -> Result<String, EditError> {
    if !syntax::is_name(name.as_bytes()) {
        return Err(EditError::InvalidSyntax);
    }
    name.make_ascii_lowercase();
    if is_reserved(name.as_bytes()) {
        return Err(EditError::Forbidden);
    }
    Ok(name)
}

/// A request has exactly one host line (RFC 9112, section 3.2).
fn not_host(name: String) -> Result<String, EditError> {
    match name.as_str() {
        "host" => Err(EditError::Forbidden),
        _ => Ok(name),
    }
}

/// A value without the blanks around it, which are no part of it (RFC 9110, section 5.5).
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `value` is one `uri-host [":" port]` (RFC 9110, section 7.2).
///
/// Without the punctuation that the grammar also allows: no name has it, and a comma would
/// look like two hosts to some reader.
fn is_host(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(byte);
    let (host, port) = authority::split_port(value);
    let is_number = |port: &[u8]| {
        let port = std::str::from_utf8(port).unwrap_or_default();
        port.parse::<u16>().is_ok()
    };
    value.iter().all(is_plain)
        && !host.is_empty()
        && port.is_none_or(|port| port.is_empty() || is_number(port))
        && authority::is_host(value)
}

/// The target that an edit sets: origin form (RFC 9112, section 3.2.1).
pub(super) fn set_target(value: String) -> Result<Edited, EditError> {
    let is_target = value.starts_with('/')
        && value.len() <= MAX_TARGET
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_target {
        return Err(EditError::InvalidSyntax);
    }
    Ok(Edited::Target(value.into_bytes().into()))
}

pub(super) fn cacheability(value: guest::Cacheability) -> Cacheability {
    match value {
        guest::Cacheability::Cacheable => Cacheability::Cacheable,
        guest::Cacheability::Uncacheable => Cacheability::Uncacheable,
    }
}

/// The route of a guest's decision, if the proxy may take it.
pub(super) fn route(
    decision: guest::Decision,
    backends: &dyn Backends,
    max_response: usize,
) -> Result<Route, Fault> {
    match decision {
        guest::Decision::Backend(name) => backends
            .find(&name)
            .map(Route::Backend)
            .ok_or_else(|| Fault::UnknownBackend(fault::name(&name))),
        guest::Decision::DefaultBackend => Ok(Route::Default),
        guest::Decision::Respond(answer) => response(answer, max_response).map(Route::Respond),
    }
}

fn response(answer: guest::Response, limit: usize) -> Result<Response, Fault> {
    if !(200..600).contains(&answer.status) {
        return Err(Fault::Status(answer.status));
    }
    let lines = answer.headers.iter();
    let size: usize = lines.map(|(name, value)| name.len() + value.len()).sum();
    let size = size + answer.body.len();
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
    let lines = answer.headers.iter();
    let fields = lines.map(|(name, value)| response_line(name, value));
    Ok(Response {
        status: answer.status,
        fields: fields.collect::<Result<_, _>>()?,
        body: Bytes::from(answer.body),
    })
}

fn response_line(name: &str, value: &[u8]) -> Result<FieldLine, Fault> {
    if !syntax::is_name(name.as_bytes()) {
        return Err(field_fault(name, "is not a field name"));
    }
    let lower = name.to_ascii_lowercase().into_bytes();
    if is_reserved(&lower) {
        return Err(field_fault(name, "only the proxy may set"));
    }
    let value = trimmed(value);
    if !syntax::is_value(value) {
        return Err(field_fault(name, "has a value that HTTP does not allow"));
    }
    Ok(FieldLine {
        name: lower.into(),
        value: value.into(),
    })
}

fn field_fault(name: &str, reason: &'static str) -> Fault {
    Fault::ResponseHeader {
        name: fault::name(name),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_fields_are_forbidden_in_any_case() {
        type Check = fn(&str) -> Result<Edited, EditError>;
        let set: Check = |name| set_header(name.to_owned(), b"a");
        let append: Check = |name| append_header(name.to_owned(), b"a");
        let remove: Check = |name| remove_header(name.to_owned());
        let forbidden = |result| matches!(result, Err(EditError::Forbidden));
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
            for edit in [set, append, remove] {
                assert!(forbidden(edit(name)), "{name}");
            }
        }
        assert!(forbidden(append("host")) && forbidden(remove("Host")));
        assert!(matches!(set("Host"), Ok(Edited::Host(host)) if *host == *b"a"));
        let Ok(Edited::Field(edit)) = append("X-Tenant") else {
            panic!("an edit of a field");
        };
        assert_eq!(edit.to_string(), "append x-tenant: a");
        for name in ["", "a b", "a:", ":authority", "a\nb", "ä"] {
            let found = set(name);
            assert!(matches!(found, Err(EditError::InvalidSyntax)), "{name}");
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
        let check = |value: &[u8], expected: Option<&[u8]>| {
            let found = set_header("x".to_owned(), value).ok();
            let expected = expected.map(|value| Edited::Field(Edit::set(b"x", value).unwrap()));
            assert_eq!(found, expected, "{}", value.escape_ascii());
        };
        check(b"", Some(b""));
        check(b"a\tb", Some(b"a\tb"));
        check(b" a\t ", Some(b"a"));
        check(b" ", Some(b""));
        check(b"\xff\x80", Some(b"\xff\x80"));
        check(b"a\r\nb", None);
        check(b"\na", None);
        check(b"a\0b", None);
        check(b"a\x7fb", None);
    }

    #[test]
    fn a_target_is_in_origin_form() {
        let check = |value: &str, expected| {
            assert_eq!(set_target(value.to_owned()).is_ok(), expected, "{value}");
        };
        check("/", true);
        check("/a?b=c&d=%20", true);
        check("//a", true);
        check("/\"<>|{}^`\\", true);
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
        assert_eq!(good.values(b"A").collect::<Vec<_>>(), [b"1", b"2"]);
    }
}

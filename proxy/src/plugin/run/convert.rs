//! Converts between a guest's values and the host's, and checks that HTTP allows them.
//!
//! Contains pure functions. Values from a guest are untrusted octets until these functions have
//! checked them.

use bytes::Bytes;

use super::backends::Backends;
use super::bindings::exports::pointsman::router::plugin as guest;
use super::decision::{FieldLine, Otherwise, Response, Route, ServerChoice, Target};
use super::fault::{self, Fault};
use super::reads::Cacheability;
use crate::http::authority;
use crate::http::edit::{Edit, EditError};
use crate::http::field::FieldKind;
use crate::http::syntax;

/// Maximum number of field lines of a plugin's local reply.
const MAX_RESPONSE_FIELDS: usize = 128;

/// Longest target that a plugin may set, in bytes. Many servers reject longer ones.
const MAX_TARGET: usize = 8 * 1024;

/// One checked edit of a request's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edited {
    /// Edit of any field except Host.
    Field(Edit),
    /// A new Host.
    Authority(Box<[u8]>),
    /// A new target, or a new prefix for it.
    Target(Target),
}

impl Edited {
    /// Returns the total number of bytes of names and values.
    pub(super) fn size(&self) -> usize {
        match self {
            Edited::Field(edit) => edit.name().len() + edit.value().map_or(0, <[u8]>::len),
            Edited::Authority(text) => text.len(),
            Edited::Target(target) => target.size(),
        }
    }
}

/// Returns whether a field frames a message, upgrades the connection or negotiates on it. Only the
/// proxy may set such fields (RFC 9110, sections 7.6.1, 7.8, 8.6 and 10.1.1; RFC 9112, section 6.1;
/// RFC 6455, section 11.3). `name` is in lower case.
fn is_reserved(name: &[u8]) -> bool {
    let kind = FieldKind::of(name);
    let is_framing = matches!(
        kind,
        FieldKind::ContentLength | FieldKind::Expect | FieldKind::Trailer
    );
    is_framing || kind.is_hop_by_hop() || name.starts_with(b"sec-websocket-")
}

/// Replaces a field's lines by one line.
pub(super) fn set_header(name: &str, value: &[u8]) -> Result<Edited, String> {
    set_response_header(name, value).map(Edited::Field)
}

/// Adds a line to a field.
pub(super) fn append_header(name: &str, value: &[u8]) -> Result<Edited, String> {
    append_response_header(name, value).map(Edited::Field)
}

/// Removes a field.
pub(super) fn remove_header(name: &str) -> Result<Edited, String> {
    remove_response_header(name).map(Edited::Field)
}

/// Replaces a response field's lines by one line.
pub(super) fn set_response_header(name: &str, value: &[u8]) -> Result<Edit, String> {
    field_edit(name, |name| Edit::set(name, syntax::trimmed(value)))
}

/// Adds a line to a response field.
pub(super) fn append_response_header(name: &str, value: &[u8]) -> Result<Edit, String> {
    field_edit(name, |name| Edit::append(name, syntax::trimmed(value)))
}

/// Removes a response field.
pub(super) fn remove_response_header(name: &str) -> Result<Edit, String> {
    field_edit(name, Edit::remove)
}

fn field_edit(
    name: &str,
    edit: impl FnOnce(&[u8]) -> Result<Edit, EditError>,
) -> Result<Edit, String> {
    let lower = name.to_ascii_lowercase();
    let shown = || fault::name(name);
    if lower == "host" {
        return Err("the field \"host\" is set by `set-authority`".to_owned());
    }
    if is_reserved(lower.as_bytes()) {
        return Err(format!("the field {:?} is set by the proxy alone", shown()));
    }
    edit(lower.as_bytes()).map_err(|error| match error {
        EditError::Name => format!("{:?} is not a field name", shown()),
        EditError::Value => format!("the field {:?} cannot have this value", shown()),
        EditError::Reserved => format!("the field {:?} is set by the proxy alone", shown()),
    })
}

/// Returns the answer to a question as a field's value; None if HTTP does not allow it as one.
pub(super) fn field_value(value: &[u8]) -> Option<&[u8]> {
    let value = syntax::trimmed(value);
    syntax::is_value(value).then_some(value)
}

/// Replaces the Host.
pub(super) fn set_authority(value: &[u8]) -> Result<Edited, String> {
    if is_host(value) {
        return Ok(Edited::Authority(value.into()));
    }
    let shown = fault::name(&String::from_utf8_lossy(value));
    Err(format!("{shown:?} is not a host with an optional port"))
}

/// Returns whether `value` is exactly one `uri-host [":" port]` (RFC 9110, section 7.2).
///
/// Rejects the punctuation that the grammar also allows: no real host name contains it, and some
/// recipients would read a comma as a separator between two hosts.
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

/// Replaces the target with one in origin form (RFC 9112, section 3.2.1).
pub(super) fn set_target(value: &str) -> Result<Edited, String> {
    if value.len() > MAX_TARGET {
        return Err(format!("the target is longer than {MAX_TARGET} bytes"));
    }
    if !value.starts_with('/') || !is_target_text(value) {
        return Err(format!(
            "{:?} is not a target in origin form",
            fault::name(value)
        ));
    }
    Ok(Edited::Target(Target::Whole(value.as_bytes().into())))
}

/// Replaces the start of the path.
pub(super) fn replace_path_prefix(length: u32, replacement: &str) -> Result<Edited, String> {
    if replacement.len() > MAX_TARGET {
        return Err(format!("the replacement is longer than {MAX_TARGET} bytes"));
    }
    if !is_target_text(replacement) || replacement.contains('?') {
        return Err(format!(
            "{:?} is not a part of a path",
            fault::name(replacement)
        ));
    }
    Ok(Edited::Target(Target::Prefix {
        length: usize::try_from(length).unwrap_or(usize::MAX),
        replacement: replacement.as_bytes().into(),
    }))
}

fn is_target_text(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

pub(super) fn cacheability(value: guest::Cacheability) -> Cacheability {
    match value {
        guest::Cacheability::Cacheable => Cacheability::Cacheable,
        guest::Cacheability::Uncacheable => Cacheability::Uncacheable,
    }
}

/// Converts a guest's decision to a route, if the proxy can follow it.
///
/// `from_tables` contains the values that lookups returned in this call. If the decision uses one
/// of them as the name of a backend that does not exist, the plugin is not at fault: the name is
/// data.
pub(super) fn route(
    decision: guest::Decision,
    backends: &dyn Backends,
    from_tables: &[Box<[u8]>],
    max_response: usize,
) -> Result<Route, Fault> {
    match decision {
        guest::Decision::Backend(name) => match backends.find(&name) {
            Some(backend) => Ok(Route::Backend(backend)),
            None if from_tables.iter().any(|value| **value == *name.as_bytes()) => {
                Ok(Route::Backend(name.into()))
            }
            None => Err(Fault::UnknownBackend(fault::name(&name))),
        },
        guest::Decision::Server(choice) => server(&choice, backends).map(Route::Server),
        guest::Decision::DefaultBackend => Ok(Route::Default),
        guest::Decision::Respond(answer) => response(answer, max_response).map(Route::Respond),
        guest::Decision::Next => Ok(Route::Next),
    }
}

fn server(choice: &guest::ServerChoice, backends: &dyn Backends) -> Result<ServerChoice, Fault> {
    let backend = backends
        .find(&choice.backend)
        .ok_or_else(|| Fault::UnknownBackend(fault::name(&choice.backend)))?;
    Ok(ServerChoice {
        // A server that does not exist counts as unusable. Servers come and go without a change to
        // the plugin, and their names may come from clients' cookies.
        server: choice.server.as_str().into(),
        backend,
        otherwise: match choice.otherwise {
            guest::Fallback::AnotherServer => Otherwise::AnotherServer,
            guest::Fallback::AskAgain => Otherwise::AskAgain,
        },
    })
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
    // A 204, 205 or 304 has no content (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
    if matches!(answer.status, 204 | 205 | 304) && !answer.body.is_empty() {
        return Err(Fault::ResponseBody(answer.status));
    }
    if answer.headers.len() > MAX_RESPONSE_FIELDS {
        let (name, _) = &answer.headers[MAX_RESPONSE_FIELDS];
        return Err(field_fault(name, "exceeds the maximum number of fields"));
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
    let value = syntax::trimmed(value);
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
        type Check = fn(&str) -> Result<Edited, String>;
        let set: Check = |name| set_header(name, b"a");
        let append: Check = |name| append_header(name, b"a");
        let remove: Check = |name| remove_header(name);
        let forbidden = |result: Result<Edited, String>| {
            result.is_err_and(|error| error.ends_with("is set by the proxy alone"))
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
            for edit in [set, append, remove] {
                assert!(forbidden(edit(name)), "{name}");
            }
        }
        for edit in [set, append, remove] {
            assert!(edit("Host").is_err_and(|error| error.contains("`set-authority`")));
        }
        let Ok(Edited::Field(edit)) = append("X-Tenant") else {
            panic!("an edit of a field");
        };
        assert_eq!(edit.to_string(), "append x-tenant: a");
        for name in ["", "a b", "a:", ":authority", "a\nb", "ä"] {
            let found = set(name);
            assert!(
                found.is_err_and(|error| error.ends_with("is not a field name")),
                "{name}"
            );
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
            let found = set_header("x", value).ok();
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
            assert_eq!(set_target(value).is_ok(), expected, "{value}");
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
    fn a_part_of_a_path_replaces_a_prefix() {
        let check = |value: &str, expected| {
            assert_eq!(replace_path_prefix(3, value).is_ok(), expected, "{value}");
        };
        for value in ["", "/", "/a", "a/", "%20"] {
            check(value, true);
        }
        for value in ["/a?b", "/a#b", "/a b", "ä", "\r\n"] {
            check(value, false);
        }
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

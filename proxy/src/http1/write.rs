//! Writes heads: copies forwarded lines straight from the spans, and generates framing and
//! connection fields.
//!
//! Bytes are appended to the caller's buffer; nothing else is allocated or formatted. Called by the
//! connections to clients and servers, and for local replies, whose heads are started with
//! `ResponseHead::start`.

mod fields;

use super::Persistence;
use super::body::BodyLength;
use crate::http::edit::Edit;
use crate::http::field::{FieldKind, HeaderFlags};
use crate::http::fields::Fields;
use crate::http::message::{RequestHead, ResponseHead, Version};
use crate::http::number::push_decimal;

/// Space for the generated lines, so that the buffer grows at most once.
const ADDED_BYTES: usize = 256;

/// Properties of an outgoing request that its head does not contain.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    /// The body's framing; never [`BodyLength::UntilClose`].
    pub body: BodyLength,
    /// Replacement for the target, in origin form, which the code that created it has checked.
    pub target: Option<&'a [u8]>,
    /// Replacement for Host, checked by `authority::is_host`.
    pub authority: Option<&'a [u8]>,
    /// Host of an HTTP/1.0 request that came without one: the server's configured address.
    pub default_host: &'a [u8],
    /// A plugin's edits, in order.
    pub edits: &'a [Edit],
    /// Whether this proxy adds itself to `Via`.
    pub via: Via,
    /// Whether the server should send `100 Continue`.
    pub expect: Expect,
    /// Whether the server should keep the connection.
    pub persistence: Persistence,
}

/// Whether this proxy adds itself to `Via` (RFC 9110, section 7.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Adds a line with the version in which the request was received.
    Add,
    /// Leaves `Via` as received.
    Omit,
}

/// Handling of `Expect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Forwards the field as received.
    Forward,
    /// Drops the field: the body has arrived, so no `100 Continue` is needed.
    Drop,
}

/// Appends a request's head for HTTP/1.1.
pub fn push_request(head: &RequestHead, with: &OutgoingRequest<'_>, out: &mut Vec<u8>) {
    let fields = head.fields();
    out.reserve(fields.bytes().len() + ADDED_BYTES);
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(with.target.unwrap_or_else(|| head.target()));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut written_anew = HeaderFlags::of(&[FieldKind::ContentLength]);
    match with.authority {
        Some(authority) => {
            written_anew.insert(FieldKind::Host);
            fields::push_line(b"Host", authority, out);
        }
        // RFC 9112, section 3.2: a request MUST have Host.
        None if !fields.has(FieldKind::Host) => fields::push_line(b"Host", with.default_host, out),
        None => {}
    }
    if with.expect == Expect::Drop {
        written_anew.insert(FieldKind::Expect);
    }
    fields::push(fields, written_anew, with.edits, out);
    if with.via == Via::Add
        && !with
            .edits
            .iter()
            .any(|edit| edit.replaces(FieldKind::Via, b"Via"))
    {
        out.extend_from_slice(match head.version() {
            Version::Http10 => b"Via: 1.0 pointsman\r\n",
            Version::Http11 => b"Via: 1.1 pointsman\r\n",
            Version::Http2 => b"Via: 2.0 pointsman\r\n",
        });
    }
    push_framing(with.body, out);
    let option = match with.persistence {
        Persistence::KeepAlive => ConnectionOption::Implied,
        Persistence::Close => ConnectionOption::Close,
    };
    push_connection(fields, option, out);
    out.extend_from_slice(b"\r\n");
}

/// Properties of an outgoing response that its head does not contain.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingResponse<'a> {
    /// Framing to announce: `response::Parsed::declared`, adapted to the client by
    /// [`BodyLength::for_client`].
    pub body: BodyLength,
    /// Connection option to announce.
    pub connection: ConnectionOption,
    /// The current time in HTTP's format, for a head without `Date` (RFC 9110, section 6.6.1).
    /// `None` adds no line.
    pub date: Option<&'a [u8]>,
    /// A plugin's edits, in order.
    pub edits: &'a [Edit],
}

/// Option of `Connection` that announces whether the connection persists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionOption {
    /// No option: the version implies it.
    Implied,
    /// `close`.
    Close,
    /// `keep-alive`: an HTTP/1.0 client needs it to keep the connection (RFC 9112, section 9.3).
    KeepAlive,
}

impl ConnectionOption {
    /// Returns the option that announces `persistence` to a client of this version.
    pub fn for_client(version: Version, persistence: Persistence) -> ConnectionOption {
        match (persistence, version) {
            (Persistence::Close, _) => ConnectionOption::Close,
            (Persistence::KeepAlive, Version::Http10) => ConnectionOption::KeepAlive,
            (Persistence::KeepAlive, _) => ConnectionOption::Implied,
        }
    }
}

/// Appends the head of a final response, or of a 101.
///
/// The version is HTTP/1.1 even for HTTP/1.0 clients (RFC 9110, section 2.5). The caller chooses
/// framing and options that such a client understands.
pub fn push_response(head: &ResponseHead, with: &OutgoingResponse<'_>, out: &mut Vec<u8>) {
    let fields = head.fields();
    out.reserve(fields.bytes().len() + ADDED_BYTES);
    push_status_line(head, out);
    let written_anew = HeaderFlags::of(&[FieldKind::ContentLength]);
    fields::push(fields, written_anew, with.edits, out);
    if let Some(date) = with.date.filter(|_| !fields.has(FieldKind::Date)) {
        fields::push_line(b"Date", date, out);
    }
    push_framing(with.body, out);
    push_connection(fields, with.connection, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim response with only its own fields. Not for HTTP/1.0 clients (RFC 9110,
/// section 15.2).
pub fn push_interim(head: &ResponseHead, out: &mut Vec<u8>) {
    out.reserve(head.fields().bytes().len() + ADDED_BYTES);
    push_status_line(head, out);
    let left_out = HeaderFlags::of(&[FieldKind::ContentLength]);
    fields::push(head.fields(), left_out, &[], out);
    out.extend_from_slice(b"\r\n");
}

fn push_status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(u64::from(head.status()), out);
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

fn push_framing(body: BodyLength, out: &mut Vec<u8>) {
    match body {
        BodyLength::Known(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
}

/// Appends one `Connection` line, which names the forwarded hop-by-hop fields and contains
/// `option`. Appends none if it would be empty.
fn push_connection(fields: &Fields, option: ConnectionOption, out: &mut Vec<u8>) {
    let own: &[u8] = match option {
        ConnectionOption::Implied => b"",
        ConnectionOption::Close => b"close",
        ConnectionOption::KeepAlive => b"keep-alive",
    };
    let te: &[u8] = if fields.forwards(FieldKind::Te) {
        b"te"
    } else {
        b""
    };
    let upgrade: &[u8] = if fields.forwards(FieldKind::Upgrade) {
        b"upgrade"
    } else {
        b""
    };
    let mut before: &[u8] = b"Connection: ";
    for option in [te, upgrade, own] {
        if !option.is_empty() {
            out.extend_from_slice(before);
            out.extend_from_slice(option);
            before = b", ";
        }
    }
    if before == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;

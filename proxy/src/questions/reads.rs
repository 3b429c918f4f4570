//! The contract's narrow reads of a request. Each returns the same value as the part with that
//! name.
//!
//! Called by [`Part`](super::Part), by the functions that plugins import, and by the decision
//! cache, so that all of them read the same values.

use std::borrow::Cow;

use crate::http::field::FieldKind;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::RequestHead;
use crate::http::{authority, cookie, query};

/// Returns the method as sent. Empty for a connection without HTTP.
pub fn method(head: &RequestHead) -> &[u8] {
    head.method()
}

/// Returns `http` or `https`.
pub fn scheme(head: &RequestHead) -> &'static str {
    head.scheme().as_str()
}

/// Returns Host as sent. If the host was taken from an absolute target or `:authority`, the
/// scheme's default port is omitted. Empty if the request has no host, and for a connection without
/// HTTP.
pub fn authority(head: &RequestHead) -> &[u8] {
    if head.is_without_http() {
        return b"";
    }
    head.authority().unwrap_or_default()
}

/// Returns the host of the authority in lower case, without port and trailing dot. An IPv6 address
/// keeps its brackets. For a connection without HTTP, returns the server name of the TLS
/// `ClientHello`.
pub fn host(head: &RequestHead) -> Cow<'_, str> {
    let name = authority::host_name(head.authority().unwrap_or_default());
    // Requests with a non-ASCII host are rejected earlier.
    match String::from_utf8_lossy(name) {
        Cow::Borrowed(name) if !name.bytes().any(|byte| byte.is_ascii_uppercase()) => name.into(),
        name => name.to_ascii_lowercase().into(),
    }
}

/// Returns the target in origin form, or `*`. Valid UTF-8. Empty for a connection without HTTP.
pub fn path_with_query(head: &RequestHead) -> &[u8] {
    head.target()
}

/// Returns the path without the query, as sent. Valid UTF-8. Empty for a connection without HTTP.
pub fn path(head: &RequestHead) -> &[u8] {
    head.path()
}

/// Returns the first value of a query parameter, decoded once.
pub fn query_parameter<'h>(head: &'h RequestHead, name: &[u8]) -> Option<Cow<'h, [u8]>> {
    query::parameter(head.query()?, name)
}

/// Returns the value of each line of the field `name`, in the order received. The case of `name`
/// does not matter. A connection without HTTP has no lines.
pub fn header<'h>(head: &'h RequestHead, name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    // A head without HTTP stores the server name as if it were Host.
    let is_hidden = head.is_without_http() && FieldKind::of(name) == FieldKind::Host;
    let lines = head.fields().values(name);
    lines.filter(move |_| !is_hidden)
}

/// Returns every field line that plugins can see.
pub fn headers(head: &RequestHead) -> impl Iterator<Item = (&[u8], &[u8])> {
    let is_hidden = head.is_without_http();
    let lines = head.fields().iter();
    lines.filter(move |(name, _)| !is_hidden || FieldKind::of(name) != FieldKind::Host)
}

/// Returns the value of the first cookie with this name, as sent.
pub fn cookie<'h>(head: &'h RequestHead, name: &[u8]) -> Option<&'h [u8]> {
    cookie::find(head.fields(), name)
}

/// Returns the client's address in the text form of RFC 5952; empty for a client on a Unix socket.
pub fn client_address(client: &Client) -> &str {
    &client.address
}

/// Returns the server name of the TLS session, in lower case.
pub fn server_name(tls: Option<&TlsFacts>) -> Option<&str> {
    tls?.server_name.as_deref()
}

/// Returns the protocol negotiated by ALPN.
pub fn alpn(tls: Option<&TlsFacts>) -> Option<&[u8]> {
    tls?.alpn.as_deref()
}

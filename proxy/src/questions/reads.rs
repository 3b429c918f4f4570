//! The contract's narrow reads of a request, each the same as the part of that name.
//!
//! Called by [`Part`](super::Part), by the functions that plugins import, and by the decision
//! cache: what they read never differs.

use std::borrow::Cow;

use crate::http::field::FieldKind;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::RequestHead;
use crate::http::{authority, cookie, query};

/// As sent. Empty without HTTP.
pub fn method(head: &RequestHead) -> &[u8] {
    head.method()
}

/// `http` or `https`.
pub fn scheme(head: &RequestHead) -> &'static str {
    head.scheme().as_str()
}

/// Host as sent; that of an absolute target or `:authority` is without the scheme's default port.
/// Empty if there is none, and without HTTP.
pub fn authority(head: &RequestHead) -> &[u8] {
    if head.is_without_http() {
        return b"";
    }
    head.authority().unwrap_or_default()
}

/// The host of the authority: lower case, without port and trailing dot. An IPv6 address keeps
/// its brackets. Without HTTP, the server name of the TLS `ClientHello`.
pub fn host(head: &RequestHead) -> Cow<'_, str> {
    let name = authority::host_name(head.authority().unwrap_or_default());
    // Every admitted host is ASCII.
    match String::from_utf8_lossy(name) {
        Cow::Borrowed(name) if !name.bytes().any(|byte| byte.is_ascii_uppercase()) => name.into(),
        name => name.to_ascii_lowercase().into(),
    }
}

/// Origin form, or `*`. Valid UTF-8. Empty without HTTP.
pub fn path_with_query(head: &RequestHead) -> &[u8] {
    head.target()
}

/// The path alone, as sent. Valid UTF-8. Empty without HTTP.
pub fn path(head: &RequestHead) -> &[u8] {
    head.path()
}

/// The first value of a query parameter, decoded once.
pub fn query_parameter<'h>(head: &'h RequestHead, name: &[u8]) -> Option<Cow<'h, [u8]>> {
    query::parameter(head.query()?, name)
}

/// The value of each line of the field `name`, which matches in any case, in the order received.
/// None without HTTP.
pub fn header<'h>(head: &'h RequestHead, name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    // A head without HTTP keeps its server name as if it were Host.
    let is_hidden = head.is_without_http() && FieldKind::of(name) == FieldKind::Host;
    let lines = head.fields().values(name);
    lines.filter(move |_| !is_hidden)
}

/// Every field line that plugins see.
pub fn headers(head: &RequestHead) -> impl Iterator<Item = (&[u8], &[u8])> {
    let is_hidden = head.is_without_http();
    let lines = head.fields().iter();
    lines.filter(move |(name, _)| !is_hidden || FieldKind::of(name) != FieldKind::Host)
}

/// The value of the first cookie of this name, as sent.
pub fn cookie<'h>(head: &'h RequestHead, name: &[u8]) -> Option<&'h [u8]> {
    cookie::find(head.fields(), name)
}

/// Text form of RFC 5952; empty for a client on a Unix socket.
pub fn client_address(client: &Client) -> &str {
    &client.address
}

/// The server name of the TLS session, in lower case.
pub fn server_name(tls: Option<&TlsFacts>) -> Option<&str> {
    tls?.server_name.as_deref()
}

/// The protocol agreed by ALPN.
pub fn alpn(tls: Option<&TlsFacts>) -> Option<&[u8]> {
    tls?.alpn.as_deref()
}

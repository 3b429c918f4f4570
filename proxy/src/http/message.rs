//! The heads of requests and responses, one type for every protocol version.
//!
//! A head owns one buffer and spans into it (`fields`). HTTP/1's parser copies a complete head into
//! it once. HTTP/2 starts one with [`RequestHead::start`] and pushes its fields. Plugins, the
//! decision cache, logs and the upstream writers read this type. It contains what the message says,
//! not how its body is framed on one connection.

use super::field::FieldKind;
use super::fields::{Fields, Forwarding};
use super::span::Span;

/// Protocol version of a received message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// Returns `1.0`, `1.1` or `2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

/// The scheme that the client used: that of the connection, or the one that a trusted proxy
/// reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// Returns `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// A method that the proxy has a rule for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MethodKind {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`: its responses have no body.
    Head,
    /// `OPTIONS`: can have the target `*`.
    Options,
    /// `TRACE`.
    Trace,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `CONNECT`: a tunnel.
    Connect,
    /// Any other method.
    Other,
}

impl MethodKind {
    /// Classifies a method. Case matters (RFC 9110, section 9.1).
    pub fn of(method: &[u8]) -> MethodKind {
        match method {
            b"GET" => MethodKind::Get,
            b"HEAD" => MethodKind::Head,
            b"OPTIONS" => MethodKind::Options,
            b"TRACE" => MethodKind::Trace,
            b"PUT" => MethodKind::Put,
            b"DELETE" => MethodKind::Delete,
            b"CONNECT" => MethodKind::Connect,
            _ => MethodKind::Other,
        }
    }

    /// Returns whether a request can be sent again if its fate is unknown (RFC 9110, section
    /// 9.2.2).
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, MethodKind::Connect | MethodKind::Other)
    }
}

/// The head of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    fields: Fields,
    method: Span,
    method_kind: MethodKind,
    target: Span,
    scheme: Scheme,
    version: Version,
}

impl RequestHead {
    /// Removes everything except the scheme, which is not part of a head. Keeps the capacity.
    pub fn clear(&mut self) {
        let fields = std::mem::take(&mut self.fields);
        let scheme = self.scheme;
        *self = RequestHead {
            fields,
            scheme,
            ..RequestHead::default()
        };
        self.fields.clear();
    }

    /// Starts a head that does not come from HTTP/1's parser. The caller pushes the fields next,
    /// including Host. `target` is in origin form or `*`.
    pub fn start(&mut self, method: &[u8], target: &[u8], version: Version) {
        self.clear();
        let method = self.fields.append(method);
        let target = self.fields.append(target);
        self.set_line(method, target, version);
    }

    /// Makes this the head of a connection without HTTP. It contains only the host that the client
    /// requests.
    pub fn set_server_name(&mut self, name: &str) {
        self.clear();
        self.fields.push_kind(FieldKind::Host, name.as_bytes());
    }

    /// Returns whether this is the head of a connection without HTTP. Such a head has no method; a
    /// request always has one.
    pub fn is_without_http(&self) -> bool {
        self.method().is_empty()
    }

    /// Loads a parsed head: copies `whole`, which includes the request line. Method, target and
    /// `lines` (names and values) are slices of it.
    #[inline]
    pub fn load<'b>(
        &mut self,
        whole: &'b [u8],
        method: &'b [u8],
        target: &'b [u8],
        version: Version,
        lines: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    ) {
        self.fields.load(whole, lines);
        let method = Span::within(whole, method);
        let target = Span::within(whole, target);
        self.set_line(method, target, version);
    }

    fn set_line(&mut self, method: Span, target: Span, version: Version) {
        self.method = method;
        self.method_kind = MethodKind::of(self.fields.text(method));
        self.target = target;
        self.version = version;
    }

    /// Returns the method as sent.
    #[inline]
    pub fn method(&self) -> &[u8] {
        self.fields.text(self.method)
    }

    /// Returns the kind of the method.
    #[inline]
    pub fn method_kind(&self) -> MethodKind {
        self.method_kind
    }

    /// Returns the target in origin form, or `*` for `OPTIONS *` (RFC 9112, section 3.2). Valid
    /// UTF-8 without whitespace, control characters and `#`.
    #[inline]
    pub fn target(&self) -> &[u8] {
        self.fields.text(self.target)
    }

    /// Returns the span of the target.
    pub fn target_span(&self) -> Span {
        self.target
    }

    /// Replaces the target by another one that is already in the buffer.
    pub fn set_target(&mut self, target: Span) {
        self.target = target;
    }

    /// Returns the target up to its query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let end = target.iter().position(|&byte| byte == b'?');
        &target[..end.unwrap_or(target.len())]
    }

    /// Returns the target after its first `?`, or `None` if there is none.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        let start = target.iter().position(|&byte| byte == b'?')?;
        target.get(start + 1..)
    }

    /// Returns the authority that the request is for: that of the target if it had one, otherwise
    /// Host. `None` if an HTTP/1.0 request named none.
    pub fn authority(&self) -> Option<&[u8]> {
        self.fields.values_of(FieldKind::Host).next()
    }

    /// Returns the scheme that the client used.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Sets the scheme. [`RequestHead::clear`] keeps it, so each request sets its own.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// Returns the version of the received request.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the version as plugins read it. Empty without HTTP.
    pub fn version_text(&self) -> &'static str {
        if self.is_without_http() {
            ""
        } else {
            self.version.as_str()
        }
    }

    /// Sets the version, for a request that no client sent.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Returns the field lines.
    #[inline]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Returns the field lines, for adding and marking.
    #[inline]
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
}

impl ResponseHead {
    /// Starts a head that does not come from HTTP/1's parser: a plugin's response, or a local
    /// reply. The caller pushes the fields next.
    pub fn start(&mut self, status: u16, reason: &[u8], version: Version) {
        self.fields.clear();
        self.reason = self.fields.append(reason);
        self.status = status;
        self.version = version;
    }

    /// Loads a parsed head: copies `whole`, which includes the status line. The reason and `lines`
    /// (names and values) are slices of it.
    #[inline]
    pub fn load<'b>(
        &mut self,
        whole: &'b [u8],
        status: u16,
        reason: &'b [u8],
        version: Version,
        lines: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    ) {
        self.fields.load(whole, lines);
        self.reason = Span::within(whole, reason);
        self.status = status;
        self.version = version;
    }

    /// Turns this into a `101 Switching Protocols` that opens a WebSocket. Keeps the other fields.
    pub fn switch_to_websocket(&mut self, accept: &[u8]) {
        self.status = 101;
        self.reason = self.fields.append(b"Switching Protocols");
        self.fields.push_kind(FieldKind::Upgrade, b"websocket");
        self.fields
            .set_forwarding(FieldKind::Upgrade, Forwarding::Forward);
        self.fields.push_kind(FieldKind::SecWebSocketAccept, accept);
    }

    /// Returns the status, 100 to 999.
    #[inline]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns whether the status is 1xx but not 101, so that another head follows (RFC 9110,
    /// section 15.2).
    #[inline]
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Returns the reason phrase as sent. Can be empty.
    #[inline]
    pub fn reason(&self) -> &[u8] {
        self.fields.text(self.reason)
    }

    /// Returns the version of the received response.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the field lines.
    #[inline]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Returns the field lines, for adding and marking.
    #[inline]
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_without_a_parser() {
        let mut head = RequestHead::default();
        head.set_scheme(Scheme::Https);
        head.start(b"OPTIONS", b"/a/b?c?d", Version::Http2);
        head.fields_mut().push(b"host", b"io.test.tld");
        assert_eq!(head.method(), b"OPTIONS");
        assert_eq!(head.method_kind(), MethodKind::Options);
        assert_eq!(head.path(), b"/a/b");
        assert_eq!(head.query(), Some(&b"c?d"[..]));
        assert_eq!(head.authority(), Some(&b"io.test.tld"[..]));
        head.start(b"PATCH", b"*", Version::Http2);
        assert_eq!((head.path(), head.query()), (&b"*"[..], None));
        assert_eq!(head.authority(), None);
        assert_eq!(head.scheme(), Scheme::Https);
        assert!(!head.method_kind().is_idempotent());
    }

    #[test]
    fn interim_responses() {
        let mut head = ResponseHead::default();
        for (status, expected) in [(100, true), (101, false), (103, true), (200, false)] {
            head.start(status, b"", Version::Http11);
            assert_eq!(head.is_interim(), expected, "{status}");
        }
    }
}

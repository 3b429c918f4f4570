//! The request whose route is being decided.
//!
//! Each read crosses the sandbox boundary, and becomes part of the key under which the decision is
//! cached. Read only what you need. If yes, no or one of a few values is enough, ask a question
//! instead. Reads show the request as the proxy admitted it, without edits. Field values are
//! octets, which need not be UTF-8.

const std = @import("std");
const builtin = @import("builtin");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");
const questions = @import("questions.zig");

const proxy = if (builtin.target.cpu.arch.isWasm()) @import("wasm.zig") else testing.proxy;

const Error = pointsman.EditError;

pub const Request = struct {
    handle: proxy.Handle,

    /// Returns the method as sent, for example `GET` (RFC 9110, section 9). Empty without HTTP
    /// (`mode = "tcp"`).
    pub fn method(self: *Request) []const u8 {
        return proxy.method(self.handle);
    }

    /// Returns the scheme: `http` or `https`. If a trusted proxy sends `X-Forwarded-Proto`, its
    /// value is used.
    pub fn scheme(self: *Request) []const u8 {
        return proxy.scheme(self.handle);
    }

    /// Returns the HTTP version: `1.0`, `1.1`, `2` or `3`. Null without HTTP (`mode = "tcp"`).
    pub fn version(self: *Request) ?[]const u8 {
        return proxy.version(self.handle);
    }

    /// Returns the authority as sent: the host, with the port if there is one. The scheme's default
    /// port is left out if the authority comes from an absolute target or from `:authority`. Empty
    /// without HTTP, or if the client sent no authority (HTTP/1.0).
    pub fn authority(self: *Request) []const u8 {
        return proxy.authority(self.handle);
    }

    /// Returns the host of `authority`, in lower case, without port or trailing dot. Without HTTP
    /// (`mode = "tcp"`), returns the server name of the TLS `ClientHello`.
    pub fn host(self: *Request) []const u8 {
        return proxy.host(self.handle);
    }

    /// Returns the target in origin form, for example `/a?b=c`; `*` for `OPTIONS *` (RFC 9112,
    /// section 3.2). Nothing is decoded.
    pub fn pathWithQuery(self: *Request) []const u8 {
        return proxy.pathWithQuery(self.handle);
    }

    /// Returns the path as sent, without the query. Nothing is decoded.
    pub fn path(self: *Request) []const u8 {
        return proxy.path(self.handle);
    }

    /// Returns the text after the first `?` of the target, for example `b=c`; null if there is no
    /// `?`. Nothing is decoded.
    ///
    /// Reads the whole target; `queryParameter` reads less.
    pub fn query(self: *Request) ?[]const u8 {
        const whole = self.pathWithQuery();
        const mark = std.mem.indexOfScalar(u8, whole, '?') orelse return null;
        return whole[mark + 1 ..];
    }

    /// Returns the first value of the query parameter `name`; null if there is no such parameter.
    /// `%XX` is decoded once, and `+` is read as a space.
    pub fn queryParameter(self: *Request, name: []const u8) ?[]const u8 {
        return proxy.queryParameter(self.handle, name);
    }

    /// Returns the value of the first line of the field `name`; null if there is no such line. The
    /// name is case-insensitive.
    pub fn header(self: *Request, name: []const u8) ?[]const u8 {
        const lines = self.headerLines(name);
        return if (lines.len > 0) lines[0] else null;
    }

    /// Like `header`, but returns text; also null if the value is not UTF-8.
    pub fn headerStr(self: *Request, name: []const u8) ?[]const u8 {
        const value = self.header(name) orelse return null;
        return if (std.unicode.utf8ValidateSlice(value)) value else null;
    }

    /// Returns the value of every line of the field `name`, in the order received.
    pub fn headerLines(self: *Request, name: []const u8) []const []const u8 {
        return proxy.header(self.handle, name);
    }

    /// Returns every field line in the order received, with names as sent.
    pub fn headers(self: *Request) []const pointsman.Field {
        return proxy.headers(self.handle);
    }

    /// Returns the value of the cookie `name`; null if there is no such cookie. The name is
    /// case-sensitive (RFC 6265, section 5.4).
    pub fn cookie(self: *Request, name: []const u8) ?[]const u8 {
        return proxy.cookie(self.handle, name);
    }

    /// Returns the client's address: that of the peer, or the one given by the PROXY protocol or by
    /// a trusted proxy. It is in the text form of RFC 5952, without zone or port; an IPv4-mapped
    /// IPv6 address is given as IPv4. Empty for a client on a Unix socket.
    pub fn clientAddress(self: *Request) []const u8 {
        return proxy.clientAddress(self.handle);
    }

    /// Returns the port of the peer, which differs for each connection. 0 for a client on a Unix
    /// socket, or if a trusted proxy gives the client's address.
    pub fn clientPort(self: *Request) u16 {
        return proxy.clientPort(self.handle);
    }

    /// Returns the server name of the TLS session (SNI), in lower case. Null if the proxy does not
    /// terminate TLS, or if the client sent no name.
    pub fn serverName(self: *Request) ?[]const u8 {
        return proxy.serverName(self.handle);
    }

    /// Returns the protocol negotiated by ALPN, for example `h2`; null if no protocol was
    /// negotiated.
    pub fn alpn(self: *Request) ?[]const u8 {
        return proxy.alpn(self.handle);
    }

    /// Returns the subject of the verified client certificate, a distinguished name (RFC 4514), for
    /// example `CN=example.com,O=Example`. Null without TLS, or if the client presented no
    /// certificate.
    pub fn clientCertificateSubject(self: *Request) ?[]const u8 {
        return proxy.clientCertificateSubject(self.handle);
    }

    /// Returns the issuer of the verified client certificate, a distinguished name (RFC 4514). Null
    /// without a certificate.
    pub fn clientCertificateIssuer(self: *Request) ?[]const u8 {
        return proxy.clientCertificateIssuer(self.handle);
    }

    /// Returns the DNS names and URIs (SPIFFE IDs, for example) of the verified client certificate,
    /// in the order of the certificate. Empty without a certificate.
    pub fn clientCertificateNames(self: *Request) []const []const u8 {
        return proxy.clientCertificateNames(self.handle);
    }

    /// Returns the serial number of the verified client certificate, in hex. Null without a
    /// certificate.
    pub fn clientCertificateSerial(self: *Request) ?[]const u8 {
        return proxy.clientCertificateSerial(self.handle);
    }

    /// Returns the SHA-256 of the verified client certificate, in hex. Null without a certificate.
    pub fn clientCertificateSha256(self: *Request) ?[]const u8 {
        return proxy.clientCertificateSha256(self.handle);
    }

    /// Returns the time at which the verified client certificate expires, in seconds since 1970.
    /// Null without a certificate.
    pub fn clientCertificateNotAfter(self: *Request) ?u64 {
        return proxy.clientCertificateNotAfter(self.handle);
    }

    /// Returns how many decisions for this request have failed before this call; 0 on the first
    /// call.
    pub fn attempt(self: *Request) u32 {
        return proxy.attempt(self.handle);
    }

    /// Returns the part of the body that had arrived when `route` was called; null unless the
    /// frontend waits for the body (`routing.body`). A decision that reads it is not cached.
    pub fn bodyPrefix(self: *Request) ?[]const u8 {
        return proxy.bodyPrefix(self.handle);
    }

    /// Reports whether `bodyPrefix` is the whole body.
    pub fn bodyIsComplete(self: *Request) bool {
        return proxy.bodyIsComplete(self.handle);
    }

    /// Returns the answer to a question: a matcher's value or null, a bool, or a value or null.
    pub fn ask(self: *Request, question: anytype) @TypeOf(question).Answer {
        return question.answer(self.handle);
    }

    /// Replaces every line of the field `name` with one line that has this value.
    ///
    /// An edit fails if HTTP does not allow the name, the value or the target, or if only the proxy
    /// may set the field. The proxy's reason is the text of the error. Edits take effect if `route`
    /// returns a backend, a server, the default backend or `next`.
    pub fn setHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"set-header", self.handle, name, value);
    }

    /// Like `setHeader`, with the answer to `question` as the value. Removes the field if there is
    /// no answer, or if HTTP does not allow the answer as a field value.
    pub fn setHeaderBy(self: *Request, name: []const u8, question: questions.Value) Error!void {
        return proxy.edits.setHeaderBy(self.handle, name, question.id);
    }

    /// Adds one line of the field `name`, after any existing lines.
    pub fn appendHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"append-header", self.handle, name, value);
    }

    /// Removes every line of the field `name`.
    pub fn removeHeader(self: *Request, name: []const u8) Error!void {
        return proxy.edits.remove(.@"remove-header", self.handle, name);
    }

    /// Replaces the Host (HTTP/2: `:authority`) that the server sees.
    pub fn setAuthority(self: *Request, value: []const u8) Error!void {
        return proxy.edits.setAuthority(self.handle, value);
    }

    /// Replaces the target with another one in origin form, for example `/a?b=c`.
    pub fn setPathWithQuery(self: *Request, value: []const u8) Error!void {
        return proxy.edits.setPathWithQuery(self.handle, value);
    }

    /// Replaces the first `length` bytes of the path; the rest of the path and the query stay
    /// unchanged.
    ///
    /// The proxy does this for each request, so one cached decision serves every path below a
    /// prefix. The new path begins with `/`; the proxy adds the slash if it is missing.
    pub fn replacePathPrefix(self: *Request, length: u32, replacement: []const u8) Error!void {
        return proxy.edits.replacePathPrefix(self.handle, length, replacement);
    }

    /// Replaces every line of the field `name` in the final response with one line that has this
    /// value.
    ///
    /// Response edits apply to every final response, whether a server, a plugin or the proxy itself
    /// makes it, but not to interim responses.
    pub fn setResponseHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"set-response-header", self.handle, name, value);
    }

    pub fn appendResponseHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"append-response-header", self.handle, name, value);
    }

    pub fn removeResponseHeader(self: *Request, name: []const u8) Error!void {
        return proxy.edits.remove(.@"remove-response-header", self.handle, name);
    }

    /// Sends requests with the same key to the same server while that server is usable. Only the
    /// first 4 KiB of the key count. If this or another option is set several times, the last call
    /// counts.
    pub fn setAffinity(self: *Request, key: []const u8) void {
        proxy.edits.setAffinity(self.handle, key);
    }

    /// Like `setAffinity`, with the answer to `question` as the key.
    pub fn setAffinityBy(self: *Request, question: questions.Value) void {
        proxy.edits.setAffinityBy(self.handle, question.id);
    }

    /// Overrides a timeout of the backend for this request, in milliseconds. Only the queue timeout
    /// can be 0, which means not to wait.
    pub fn setQueueTimeoutMs(self: *Request, milliseconds: u32) void {
        proxy.edits.setTimeout(.@"set-queue-timeout", self.handle, milliseconds);
    }

    pub fn setConnectTimeoutMs(self: *Request, milliseconds: u32) void {
        proxy.edits.setTimeout(.@"set-connect-timeout", self.handle, milliseconds);
    }

    pub fn setServerTimeoutMs(self: *Request, milliseconds: u32) void {
        proxy.edits.setTimeout(.@"set-server-timeout", self.handle, milliseconds);
    }

    pub fn setTunnelTimeoutMs(self: *Request, milliseconds: u32) void {
        proxy.edits.setTimeout(.@"set-tunnel-timeout", self.handle, milliseconds);
    }

    /// Sets how many times the request can be sent in total, 1 to 16. The request is sent again
    /// only if that is safe.
    pub fn setTries(self: *Request, tries: u32) void {
        proxy.edits.setTries(self.handle, tries);
    }

    /// Adds a name and a value to the access log record and to the trace, but never to a metric's
    /// labels. A request can have at most 16 tags. A value is truncated to 256 bytes.
    pub fn tag(self: *Request, name: []const u8, value: []const u8) void {
        proxy.edits.tag(self.handle, name, value);
    }

    /// Like `tag`, with the answer to `question` as the value.
    pub fn tagBy(self: *Request, name: []const u8, question: questions.Value) void {
        proxy.edits.tagBy(self.handle, name, question.id);
    }
};

test {
    _ = @import("request_test.zig");
}

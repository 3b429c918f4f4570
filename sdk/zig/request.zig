//! The request whose route is being decided.
//!
//! Each read crosses the sandbox, and becomes part of the key under which the decision is cached:
//! read only what you need, and where a yes, a no or a choice is enough, ask a question. Reads show
//! the request as the proxy admitted it, without edits. Values of fields are octets, which need not
//! be UTF-8.

const std = @import("std");
const builtin = @import("builtin");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");
const questions = @import("questions.zig");

const proxy = if (builtin.target.cpu.arch.isWasm()) @import("wasm.zig") else testing.proxy;

const Error = pointsman.EditError;

pub const Request = struct {
    handle: proxy.Handle,

    /// As sent, for example `GET`. Empty without HTTP (`mode = "tcp"`).
    pub fn method(self: *Request) []const u8 {
        return proxy.method(self.handle);
    }

    /// `http` or `https`; a trusted proxy's `X-Forwarded-Proto` counts.
    pub fn scheme(self: *Request) []const u8 {
        return proxy.scheme(self.handle);
    }

    /// `1.0`, `1.1`, `2` or `3`; null without HTTP.
    pub fn version(self: *Request) ?[]const u8 {
        return proxy.version(self.handle);
    }

    /// Host as sent, with its port.
    pub fn authority(self: *Request) []const u8 {
        return proxy.authority(self.handle);
    }

    /// The host of the authority: lower case, without port and trailing dot. Without HTTP it is
    /// the TLS server name.
    pub fn host(self: *Request) []const u8 {
        return proxy.host(self.handle);
    }

    /// Origin form, for example `/a?b=c`; `*` for `OPTIONS *`. Nothing is decoded.
    pub fn pathWithQuery(self: *Request) []const u8 {
        return proxy.pathWithQuery(self.handle);
    }

    /// The path alone, as sent.
    pub fn path(self: *Request) []const u8 {
        return proxy.path(self.handle);
    }

    /// The text after the first `?` of `pathWithQuery`, which this reads.
    pub fn query(self: *Request) ?[]const u8 {
        const whole = self.pathWithQuery();
        const mark = std.mem.indexOfScalar(u8, whole, '?') orelse return null;
        return whole[mark + 1 ..];
    }

    /// First value of a query parameter. `%XX` is decoded once, `+` is read as a blank.
    pub fn queryParameter(self: *Request, name: []const u8) ?[]const u8 {
        return proxy.queryParameter(self.handle, name);
    }

    /// First line of the field `name`, which matches in any case.
    pub fn header(self: *Request, name: []const u8) ?[]const u8 {
        const lines = self.headerLines(name);
        return if (lines.len > 0) lines[0] else null;
    }

    /// The same; null if it is not UTF-8.
    pub fn headerStr(self: *Request, name: []const u8) ?[]const u8 {
        const value = self.header(name) orelse return null;
        return if (std.unicode.utf8ValidateSlice(value)) value else null;
    }

    /// Every line of the field `name`, in the order received.
    pub fn headerLines(self: *Request, name: []const u8) []const []const u8 {
        return proxy.header(self.handle, name);
    }

    /// Every field line in the order received, names as sent.
    pub fn headers(self: *Request) []const pointsman.Field {
        return proxy.headers(self.handle);
    }

    /// Value of one cookie, whose case counts (RFC 6265, section 5.4).
    pub fn cookie(self: *Request, name: []const u8) ?[]const u8 {
        return proxy.cookie(self.handle, name);
    }

    /// Address of the client: the peer, or the address that PROXY protocol or a trusted proxy
    /// gives. Text form of RFC 5952, without zone and port; empty for a Unix socket.
    pub fn clientAddress(self: *Request) []const u8 {
        return proxy.clientAddress(self.handle);
    }

    /// Port of the peer; 0 for a Unix socket. It differs for each connection.
    pub fn clientPort(self: *Request) u16 {
        return proxy.clientPort(self.handle);
    }

    /// Server name of the TLS session (SNI), in lower case.
    pub fn serverName(self: *Request) ?[]const u8 {
        return proxy.serverName(self.handle);
    }

    /// Protocol agreed by ALPN, for example `h2`.
    pub fn alpn(self: *Request) ?[]const u8 {
        return proxy.alpn(self.handle);
    }

    /// Subject of the verified client certificate (RFC 4514); null without one.
    pub fn clientCertificateSubject(self: *Request) ?[]const u8 {
        return proxy.clientCertificateSubject(self.handle);
    }

    pub fn clientCertificateIssuer(self: *Request) ?[]const u8 {
        return proxy.clientCertificateIssuer(self.handle);
    }

    /// DNS names and URIs of the certificate.
    pub fn clientCertificateNames(self: *Request) []const []const u8 {
        return proxy.clientCertificateNames(self.handle);
    }

    /// In hex.
    pub fn clientCertificateSerial(self: *Request) ?[]const u8 {
        return proxy.clientCertificateSerial(self.handle);
    }

    /// SHA-256 of the certificate, in hex.
    pub fn clientCertificateSha256(self: *Request) ?[]const u8 {
        return proxy.clientCertificateSha256(self.handle);
    }

    /// Seconds since 1970.
    pub fn clientCertificateNotAfter(self: *Request) ?u64 {
        return proxy.clientCertificateNotAfter(self.handle);
    }

    /// Number of choices for this request that failed before this call; 0 at first.
    pub fn attempt(self: *Request) u32 {
        return proxy.attempt(self.handle);
    }

    /// The part of the body that had arrived when `route` was called; null unless the frontend
    /// waits for it (`routing.body`). A decision that reads it is not cached.
    pub fn bodyPrefix(self: *Request) ?[]const u8 {
        return proxy.bodyPrefix(self.handle);
    }

    /// Whether `bodyPrefix` is the whole body.
    pub fn bodyIsComplete(self: *Request) bool {
        return proxy.bodyIsComplete(self.handle);
    }

    /// The answer to a question: a matcher's value or null, a bool, or a value or null.
    pub fn ask(self: *Request, question: anytype) @TypeOf(question).Answer {
        return question.answer(self.handle);
    }

    /// Replaces every line of the field by one.
    ///
    /// This and every other edit fails, with the proxy's reason as the error's text, if HTTP does
    /// not allow the name, the value or the target, or if only the proxy may set the field. Edits
    /// take effect if `route` returns a backend, a server, the default backend or `next`.
    pub fn setHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"set-header", self.handle, name, value);
    }

    /// The same with the answer to a question; removes the field if there is none.
    pub fn setHeaderBy(self: *Request, name: []const u8, question: questions.Value) Error!void {
        return proxy.edits.setHeaderBy(self.handle, name, question.id);
    }

    /// Adds one line after those that are there.
    pub fn appendHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"append-header", self.handle, name, value);
    }

    /// Removes every line of the field.
    pub fn removeHeader(self: *Request, name: []const u8) Error!void {
        return proxy.edits.remove(.@"remove-header", self.handle, name);
    }

    /// Replaces the Host that the server sees (HTTP/2: `:authority`).
    pub fn setAuthority(self: *Request, value: []const u8) Error!void {
        return proxy.edits.setAuthority(self.handle, value);
    }

    /// Replaces the target by another in origin form.
    pub fn setPathWithQuery(self: *Request, value: []const u8) Error!void {
        return proxy.edits.setPathWithQuery(self.handle, value);
    }

    /// Replaces the first `length` bytes of the path; the rest and the query stay. One cached
    /// decision serves every path below a prefix.
    pub fn replacePathPrefix(self: *Request, length: u32, replacement: []const u8) Error!void {
        return proxy.edits.replacePathPrefix(self.handle, length, replacement);
    }

    /// Edits the final response, whoever makes it. It also applies to a response that this or a
    /// later plugin makes.
    pub fn setResponseHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"set-response-header", self.handle, name, value);
    }

    pub fn appendResponseHeader(self: *Request, name: []const u8, value: []const u8) Error!void {
        return proxy.edits.line(.@"append-response-header", self.handle, name, value);
    }

    pub fn removeResponseHeader(self: *Request, name: []const u8) Error!void {
        return proxy.edits.remove(.@"remove-response-header", self.handle, name);
    }

    /// Requests with the same key go to the same server while it is usable. Of several calls of
    /// this or another option the last counts.
    pub fn setAffinity(self: *Request, key: []const u8) void {
        proxy.edits.setAffinity(self.handle, key);
    }

    /// The same with the answer to a question as the key.
    pub fn setAffinityBy(self: *Request, question: questions.Value) void {
        proxy.edits.setAffinityBy(self.handle, question.id);
    }

    /// Overrides a timeout of the backend for this request. 0 is valid for the queue only.
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

    /// How often the request may be sent in all, 1 to 16, where that is safe.
    pub fn setTries(self: *Request, tries: u32) void {
        proxy.edits.setTries(self.handle, tries);
    }

    /// A name and a value for the access record and the trace: at most 16 tags of 256 bytes.
    pub fn tag(self: *Request, name: []const u8, value: []const u8) void {
        proxy.edits.tag(self.handle, name, value);
    }

    /// The same with the answer to a question as the value.
    pub fn tagBy(self: *Request, name: []const u8, question: questions.Value) void {
        proxy.edits.tagBy(self.handle, name, question.id);
    }
};

test {
    _ = @import("request_test.zig");
}

//! The double of the proxy for tests: it has the same functions as `wasm.zig`.

const std = @import("std");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");
const parts = @import("double_parts.zig");

pub const Handle = *testing.Head;
pub const allocator = testing.allocator;
pub const edits = @import("double_edits.zig");

/// Records a read.
pub fn note(head: Handle, comptime format: []const u8, arguments: anytype) void {
    const text = std.fmt.allocPrint(allocator(), format, arguments) catch @panic("out of memory");
    head.reads.append(allocator(), text) catch @panic("out of memory");
}

pub fn method(head: Handle) []const u8 {
    note(head, "method", .{});
    return head.method;
}

pub fn scheme(head: Handle) []const u8 {
    note(head, "scheme", .{});
    return parts.scheme(head);
}

pub fn version(head: Handle) ?[]const u8 {
    note(head, "version", .{});
    return head.version;
}

pub fn authority(head: Handle) []const u8 {
    note(head, "authority", .{});
    return parts.authority(head);
}

pub fn host(head: Handle) []const u8 {
    note(head, "host", .{});
    return parts.host(head);
}

pub fn pathWithQuery(head: Handle) []const u8 {
    note(head, "path-with-query", .{});
    return head.path_with_query;
}

pub fn path(head: Handle) []const u8 {
    note(head, "path", .{});
    return parts.path(head);
}

pub fn queryParameter(head: Handle, name: []const u8) ?[]const u8 {
    note(head, "query-parameter {s}", .{name});
    return parts.queryParameter(head, name);
}

pub fn header(head: Handle, name: []const u8) []const []const u8 {
    note(head, "header {s}", .{name});
    return parts.lines(head, name);
}

pub fn headers(head: Handle) []const pointsman.Field {
    note(head, "headers", .{});
    return head.headers;
}

pub fn cookie(head: Handle, name: []const u8) ?[]const u8 {
    note(head, "cookie {s}", .{name});
    return parts.cookie(head, name);
}

pub fn clientAddress(head: Handle) []const u8 {
    note(head, "client-address", .{});
    return head.client_address;
}

pub fn clientPort(head: Handle) u16 {
    note(head, "client-port", .{});
    return head.client_port;
}

pub fn serverName(head: Handle) ?[]const u8 {
    note(head, "server-name", .{});
    return head.server_name;
}

pub fn alpn(head: Handle) ?[]const u8 {
    note(head, "alpn", .{});
    return head.alpn;
}

pub fn clientCertificateSubject(head: Handle) ?[]const u8 {
    note(head, "client-certificate-subject", .{});
    return if (head.client_certificate) |certificate| certificate.subject else null;
}

pub fn clientCertificateIssuer(head: Handle) ?[]const u8 {
    note(head, "client-certificate-issuer", .{});
    return if (head.client_certificate) |certificate| certificate.issuer else null;
}

pub fn clientCertificateNames(head: Handle) []const []const u8 {
    note(head, "client-certificate-names", .{});
    return if (head.client_certificate) |certificate| certificate.names else &.{};
}

pub fn clientCertificateSerial(head: Handle) ?[]const u8 {
    note(head, "client-certificate-serial", .{});
    return if (head.client_certificate) |certificate| certificate.serial else null;
}

pub fn clientCertificateSha256(head: Handle) ?[]const u8 {
    note(head, "client-certificate-sha256", .{});
    return if (head.client_certificate) |certificate| certificate.sha256 else null;
}

pub fn clientCertificateNotAfter(head: Handle) ?u64 {
    note(head, "client-certificate-not-after", .{});
    return if (head.client_certificate) |certificate| certificate.not_after else null;
}

pub fn attempt(head: Handle) u32 {
    note(head, "attempt", .{});
    return head.attempt;
}

pub fn bodyPrefix(head: Handle) ?[]const u8 {
    note(head, "body-prefix", .{});
    return if (head.body) |body| body.prefix else null;
}

pub fn bodyIsComplete(head: Handle) bool {
    note(head, "body-is-complete", .{});
    return if (head.body) |body| body.is_complete else false;
}

pub fn backendNames() []const []const u8 {
    const names = allocator().alloc([]const u8, testing.known.items.len) catch @panic("out of memory");
    for (names, testing.known.items) |*name, backend| name.* = backend.name;
    return names;
}

pub fn backendState(name: []const u8) ?pointsman.backends.State {
    return if (testing.find(name)) |backend| backend.state else null;
}

pub fn backendServers(name: []const u8) ?[]const pointsman.backends.Server {
    return if (testing.find(name)) |backend| backend.servers else null;
}

pub fn log(_: pointsman.log.Level, text: []const u8) void {
    testing.lines.append(allocator(), text) catch @panic("out of memory");
}

pub fn now() pointsman.Time {
    return testing.time;
}

pub fn random() u64 {
    return testing.random_number;
}

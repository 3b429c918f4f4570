//! Tests of a plugin without the proxy: native, in memory.
//!
//!     var plugin = try testing.configure(Canary, "{\"backend\": \"a\"}", &.{"a"});
//!     var head: testing.Head = .{ .headers = &.{.{ .name = "cookie", .value = "canary=1" }} };
//!     var request = head.request();
//!     const decision = try plugin.route(&request);
//!
//! Questions are answered as in the proxy, by simpler code, except regular expressions: a request
//! names the expressions that match it. Asking a question that was not defined, or that is of
//! another kind, panics, as it would trap in the proxy.

const std = @import("std");
const pointsman = @import("pointsman.zig");
const Request = @import("request.zig").Request;
const questions = @import("double_questions.zig");

/// The double of the proxy.
pub const proxy = @import("double.zig");

/// A request head in memory, and the edits made to it.
pub const Head = struct {
    method: []const u8 = "GET",
    /// By default `https` if there is an ALPN protocol or a server name, otherwise `http`.
    scheme: ?[]const u8 = null,
    /// Null without HTTP, as in a frontend with `mode = "tcp"`.
    version: ?[]const u8 = "1.1",
    path_with_query: []const u8 = "/",
    /// The authority and the host are taken from the field `host`. Without HTTP, the host is the
    /// server name.
    headers: []const pointsman.Field = &.{},
    client_address: []const u8 = "127.0.0.1",
    client_port: u16 = 49152,
    server_name: ?[]const u8 = null,
    alpn: ?[]const u8 = null,
    client_certificate: ?Certificate = null,
    attempt: u32 = 0,
    body: ?Body = null,
    /// Salts of the shares that the request is in. The request is always in shares of 1,000,000.
    shares: []const []const u8 = &.{},
    /// The regular expressions that match the request: entries as the plugin wrote them.
    matching: []const []const u8 = &.{},

    /// `set x-a: 1`, `set-by x-a: cookie:session`, `append x-b: 2`, `remove x-c`,
    /// `authority a.test`, `path-with-query /a` or `replace-path-prefix 4 /b`, in order.
    edits: std.ArrayList([]const u8) = .empty,
    /// `set x-a: 1`, `append x-b: 2` or `remove x-c`.
    response_edits: std.ArrayList([]const u8) = .empty,
    /// `affinity KEY`, `affinity-by cookie:session`, `queue-timeout 100` and the like, `tries 3`,
    /// `tag a=1` or `tag-by a=tenants[header:x-tenant]`.
    options: std.ArrayList([]const u8) = .empty,
    /// The reads and questions: `method`, `header cookie`, `suffix over host`, `look-up
    /// tenants[header:x-tenant]`, `usable primary`.
    reads: std.ArrayList([]const u8) = .empty,

    pub fn request(self: *Head) Request {
        return .{ .handle = self };
    }
};

pub const Certificate = struct {
    subject: []const u8 = "",
    issuer: []const u8 = "",
    names: []const []const u8 = &.{},
    serial: []const u8 = "",
    sha256: []const u8 = "",
    not_after: u64 = 0,
};

/// The part of a body that had arrived, and whether it is the whole body.
pub const Body = struct {
    prefix: []const u8,
    is_complete: bool = true,
};

/// Configures a plugin in a proxy with these backends, each with one idle server. Set tables before
/// this call.
pub fn configure(comptime Plugin: type, json: []const u8, names: []const []const u8) !Plugin {
    lines = .empty;
    known = .empty;
    questions.clear();
    for (names) |name| try setBackend(name, .{});
    const Config = @typeInfo(@TypeOf(Plugin.configure)).@"fn".param_types[0].?;
    return Plugin.configure(try pointsman.config.parse(Config, json));
}

/// The lines that the plugin has logged since it was configured.
pub var lines: std.ArrayList([]const u8) = .empty;

/// The time that `now` returns.
pub var time: pointsman.Time = .{ .seconds = 0, .nanoseconds = 0 };

/// The number that `random` returns.
pub var random_number: u64 = 0;

/// A backend of the double.
pub const Backend = struct {
    name: []const u8,
    state: pointsman.backends.State,
    servers: []const pointsman.backends.Server = &.{},
};

/// A row of one of the operator's tables.
pub const Row = struct { table: []const u8, key: []const u8, value: []const u8 };

/// Sets the state of a backend, from the next read or question on.
pub fn setBackend(name: []const u8, state: pointsman.backends.State) !void {
    if (find(name)) |backend| {
        backend.state = state;
    } else try known.append(allocator(), .{ .name = name, .state = state });
}

/// Sets the servers of an existing backend.
pub fn setServers(name: []const u8, servers: []const pointsman.backends.Server) void {
    find(name).?.servers = servers;
}

/// Adds a row to a table. If two rows have the same key, the last one counts.
pub fn setRow(table: []const u8, key: []const u8, value: []const u8) !void {
    try rows.append(allocator(), .{ .table = table, .key = key, .value = value });
}

/// Frees the memory of requests and plugins, and removes backends, tables and questions.
pub fn reset() void {
    lines = .empty;
    known = .empty;
    rows = .empty;
    questions.clear();
    pointsman.forget();
    _ = arena.reset(.retain_capacity);
}

pub fn expectOptional(expected: ?[]const u8, found: ?[]const u8) !void {
    if (expected) |text| {
        try std.testing.expect(found != null);
        try std.testing.expectEqualStrings(text, found.?);
    } else try std.testing.expectEqual(null, found);
}

/// Checks one of the lists of a `Head`, such as its edits.
pub fn expectList(expected: []const []const u8, found: std.ArrayList([]const u8)) !void {
    for (expected, 0..) |text, index| {
        try std.testing.expect(index < found.items.len);
        try std.testing.expectEqualStrings(text, found.items[index]);
    }
    try std.testing.expectEqual(expected.len, found.items.len);
}

pub var known: std.ArrayList(Backend) = .empty;
pub var rows: std.ArrayList(Row) = .empty;
var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);

pub fn allocator() std.mem.Allocator {
    return arena.allocator();
}

pub fn find(name: []const u8) ?*Backend {
    for (known.items) |*backend| if (std.mem.eql(u8, backend.name, name)) return backend;
    return null;
}

test "a backend has the state that is set" {
    try setBackend("a", .{ .active = 3 });
    try setBackend("a", .{ .active = 4 });
    setServers("a", &.{.{ .name = "s1", .limit = 5 }});
    try std.testing.expectEqual(4, pointsman.backends.state("a").?.active);
    try std.testing.expectEqual(5, pointsman.backends.servers("a").?[0].limit);
    try std.testing.expectEqualStrings("a", pointsman.backends.names()[0]);
    try std.testing.expect(!pointsman.backends.exists("b"));
    try std.testing.expectEqual(null, pointsman.backends.servers("b"));
    reset();
    try std.testing.expect(!pointsman.backends.exists("a"));
}

test "the time and random numbers are those that are set" {
    time = .{ .seconds = 5, .nanoseconds = 6 };
    random_number = 7;
    try std.testing.expectEqual(time, pointsman.now());
    try std.testing.expectEqual(7, pointsman.random());
}

test "a refusal's text is not kept longer than its memory" {
    try std.testing.expectEqualStrings("a", pointsman.message(pointsman.refuse("{s}", .{"a"})));
    reset();
    try std.testing.expectEqualStrings("Refused", pointsman.message(error.Refused));
}

test {
    _ = @import("double_edits.zig");
}

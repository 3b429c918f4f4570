//! Tests of a plugin without the proxy: native, in memory.
//!
//!     var plugin = try testing.configure(Canary, "{\"backend\": \"a\"}", &.{"a"});
//!     var head: testing.Head = .{ .headers = &.{.{ .name = "cookie", .value = "canary=1" }} };
//!     var request = head.request();
//!     const decision = try plugin.route(&request);

const std = @import("std");
const pointsman = @import("pointsman.zig");
const Request = @import("request.zig").Request;

/// A request head in memory, and the edits made to it. Names are in lower case.
pub const Head = struct {
    method: []const u8 = "GET",
    scheme: []const u8 = "http",
    target: []const u8 = "/",
    headers: []const pointsman.Field = &.{},
    client: pointsman.Client = .{ .address = "127.0.0.1", .port = 49152 },
    tls: ?pointsman.Tls = null,
    attempt: u32 = 0,
    /// As `set x-a: 1`, in order.
    edits: std.ArrayList([]const u8) = .empty,

    pub fn request(self: *Head) Request {
        return .{ .handle = self };
    }
};

/// Makes a plugin before a proxy that has these backends, each with one idle server.
pub fn configure(comptime Plugin: type, json: []const u8, names: []const []const u8) !Plugin {
    lines = .empty;
    known = .empty;
    for (names) |name| try setBackend(name, .{});
    const Config = @typeInfo(@TypeOf(Plugin.configure)).@"fn".param_types[0].?;
    return Plugin.configure(try pointsman.config.parse(Config, json));
}

/// What the plugin has logged since it was configured.
pub var lines: std.ArrayList([]const u8) = .empty;

/// What `now` tells.
pub var time: pointsman.Time = .{ .seconds = 0, .nanoseconds = 0 };

/// What `random` tells.
pub var random_number: u64 = 0;

/// Sets what `backends.state` tells of `name`, from the next question on.
pub fn setBackend(name: []const u8, state: pointsman.backends.State) !void {
    for (known.items) |*backend| if (std.mem.eql(u8, backend.name, name)) {
        backend.state = state;
        return;
    };
    try known.append(arena.allocator(), .{ .name = name, .state = state });
}

/// Frees what requests and plugins have taken.
pub fn reset() void {
    lines = .empty;
    known = .empty;
    pointsman.forget();
    _ = arena.reset(.retain_capacity);
}

pub fn expectOptional(expected: ?[]const u8, found: ?[]const u8) !void {
    if (expected) |text| {
        try std.testing.expect(found != null);
        try std.testing.expectEqualStrings(text, found.?);
    } else try std.testing.expectEqual(null, found);
}

var known: std.ArrayList(struct { name: []const u8, state: pointsman.backends.State }) = .empty;
var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);

/// What stands in for the proxy.
pub const proxy = struct {
    pub const Handle = *Head;

    pub fn now() pointsman.Time {
        return time;
    }

    pub fn random() u64 {
        return random_number;
    }

    pub fn allocator() std.mem.Allocator {
        return arena.allocator();
    }

    pub fn method(head: Handle) []const u8 {
        return head.method;
    }

    pub fn scheme(head: Handle) []const u8 {
        return head.scheme;
    }

    pub fn target(head: Handle) []const u8 {
        return head.target;
    }

    pub fn header(head: Handle, name: []const u8) []const []const u8 {
        const values = allocator().alloc([]const u8, head.headers.len) catch @panic("out of memory");
        var length: usize = 0;
        for (head.headers) |field| {
            if (std.ascii.eqlIgnoreCase(field.name, name)) {
                values[length] = field.value;
                length += 1;
            }
        }
        return values[0..length];
    }

    pub fn headers(head: Handle) []const pointsman.Field {
        return head.headers;
    }

    pub fn client(head: Handle) pointsman.Client {
        return head.client;
    }

    pub fn tls(head: Handle) ?pointsman.Tls {
        return head.tls;
    }

    pub fn attempt(head: Handle) u32 {
        return head.attempt;
    }

    pub fn setHeader(head: Handle, name: []const u8, value: []const u8) pointsman.EditError!void {
        try check(name, value);
        edit(head, "set {s}: {s}", .{ lower(name), value });
    }

    pub fn appendHeader(head: Handle, name: []const u8, value: []const u8) pointsman.EditError!void {
        try check(name, value);
        if (std.ascii.eqlIgnoreCase(name, "host")) return error.Forbidden;
        edit(head, "append {s}: {s}", .{ lower(name), value });
    }

    pub fn removeHeader(head: Handle, name: []const u8) pointsman.EditError!void {
        try check(name, "");
        if (std.ascii.eqlIgnoreCase(name, "host")) return error.Forbidden;
        edit(head, "remove {s}", .{lower(name)});
    }

    pub fn setPathWithQuery(head: Handle, value: []const u8) pointsman.EditError!void {
        // As long as the proxy allows.
        if (value.len == 0 or value.len > 8 * 1024 or value[0] != '/') return error.InvalidSyntax;
        for (value) |octet| {
            if (octet <= ' ' or octet >= 127 or octet == '#') return error.InvalidSyntax;
        }
        edit(head, "path-with-query {s}", .{value});
    }

    pub fn backendState(name: []const u8) ?pointsman.backends.State {
        for (known.items) |backend| if (std.mem.eql(u8, backend.name, name)) return backend.state;
        return null;
    }

    pub fn log(_: pointsman.log.Level, text: []const u8) void {
        lines.append(allocator(), text) catch @panic("out of memory");
    }

    fn edit(head: Handle, comptime format: []const u8, arguments: anytype) void {
        const text = std.fmt.allocPrint(allocator(), format, arguments) catch @panic("out of memory");
        head.edits.append(allocator(), text) catch @panic("out of memory");
    }

    fn lower(name: []const u8) []const u8 {
        return std.ascii.allocLowerString(allocator(), name) catch @panic("out of memory");
    }

    fn check(name: []const u8, value: []const u8) pointsman.EditError!void {
        if (name.len == 0) return error.InvalidSyntax;
        for (name) |octet| {
            const mark = std.mem.indexOfScalar(u8, "!#$%&'*+-.^_`|~", octet) != null;
            if (!mark and !std.ascii.isAlphanumeric(octet)) return error.InvalidSyntax;
        }
        const reserved = [_][]const u8{
            "connection",       "content-length", "expect",  "http2-settings",    "keep-alive",
            "proxy-connection", "te",             "trailer", "transfer-encoding", "upgrade",
        };
        for (reserved) |other| if (std.ascii.eqlIgnoreCase(name, other)) return error.Forbidden;
        if (std.ascii.startsWithIgnoreCase(name, "sec-websocket-")) return error.Forbidden;
        for (value) |octet| {
            if (std.ascii.isControl(octet) and octet != '\t') return error.InvalidSyntax;
        }
    }
};

test "edits are checked" {
    var head: Head = .{};
    var request = head.request();
    try std.testing.expectError(error.InvalidSyntax, request.setHeader("a b", "c"));
    try std.testing.expectError(error.InvalidSyntax, request.appendHeader("a", "c\r\nd: e"));
    try std.testing.expectError(error.InvalidSyntax, request.setPathWithQuery("a"));
    const long: [8 * 1024 + 1]u8 = @splat('/');
    try std.testing.expectError(error.Forbidden, request.setHeader("Content-Length", "1"));
    try std.testing.expectError(error.Forbidden, request.removeHeader("host"));
    try std.testing.expectError(error.InvalidSyntax, request.setPathWithQuery(&long));
    try request.setHeader("X-A", "1");
    try request.setPathWithQuery("/b");
    try std.testing.expectEqual(2, head.edits.items.len);
    try std.testing.expectEqualStrings("set x-a: 1", head.edits.items[0]);
}

test "a backend has the load that is set" {
    try setBackend("a", .{ .active = 3 });
    try setBackend("a", .{ .active = 4 });
    try std.testing.expectEqual(4, pointsman.backends.state("a").?.active);
    try std.testing.expect(!pointsman.backends.exists("b"));
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

//! Edits and options of a request under test. Makes the proxy's checks of names, characters and
//! numbers, but no others.

const std = @import("std");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");
const questions = @import("double_questions.zig");
const parts = @import("double_parts.zig");

const Handle = *testing.Head;
const Error = pointsman.EditError;

/// The edits of one line, by their names in the contract.
pub const Line = enum { @"set-header", @"append-header", @"set-response-header", @"append-response-header" };
pub const Removal = enum { @"remove-header", @"remove-response-header" };
pub const Timeout = enum { @"set-queue-timeout", @"set-connect-timeout", @"set-server-timeout", @"set-tunnel-timeout" };

pub fn line(comptime edit: Line, head: Handle, name: []const u8, value: []const u8) Error!void {
    try checkName(name);
    for (value) |octet| if (std.ascii.isControl(octet) and octet != '\t') {
        return pointsman.refuse("a control character in a field's value", .{});
    };
    const list = switch (edit) {
        .@"set-header", .@"append-header" => &head.edits,
        else => &head.response_edits,
    };
    const verb = switch (edit) {
        .@"set-header", .@"set-response-header" => "set",
        else => "append",
    };
    record(list, verb ++ " {s}: {s}", .{ lower(name), value });
}

pub fn remove(comptime edit: Removal, head: Handle, name: []const u8) Error!void {
    try checkName(name);
    record(if (edit == .@"remove-header") &head.edits else &head.response_edits, "remove {s}", .{lower(name)});
}

pub fn setHeaderBy(head: Handle, name: []const u8, question: u32) Error!void {
    try checkName(name);
    record(&head.edits, "set-by {s}: {s}", .{ lower(name), questions.describe(question) });
}

pub fn setAuthority(head: Handle, value: []const u8) Error!void {
    if (!isTarget(value, "/?@,")) return pointsman.refuse("not an authority", .{});
    record(&head.edits, "authority {s}", .{value});
}

pub fn setPathWithQuery(head: Handle, value: []const u8) Error!void {
    if (!std.mem.startsWith(u8, value, "/") or !isTarget(value, "")) {
        return pointsman.refuse("not a target in origin form", .{});
    }
    record(&head.edits, "path-with-query {s}", .{value});
}

pub fn replacePathPrefix(head: Handle, length: u32, replacement: []const u8) Error!void {
    if (length > parts.path(head).len) {
        return pointsman.refuse("the prefix is longer than the path", .{});
    }
    if (!isTarget(replacement, "?")) return pointsman.refuse("not a path", .{});
    record(&head.edits, "replace-path-prefix {d} {s}", .{ length, replacement });
}

pub fn setAffinity(head: Handle, key: []const u8) void {
    record(&head.options, "affinity {s}", .{key});
}

pub fn setAffinityBy(head: Handle, question: u32) void {
    record(&head.options, "affinity-by {s}", .{questions.describe(question)});
}

pub fn setTimeout(comptime option: Timeout, head: Handle, milliseconds: u32) void {
    if (milliseconds == 0 and option != .@"set-queue-timeout") {
        @panic("a timeout of 0, which only the queue may have");
    }
    record(&head.options, @tagName(option)["set-".len..] ++ " {d}", .{milliseconds});
}

pub fn setTries(head: Handle, tries: u32) void {
    if (tries < 1 or tries > 16) @panic("tries must be from 1 to 16");
    record(&head.options, "tries {d}", .{tries});
}

pub fn tag(head: Handle, name: []const u8, value: []const u8) void {
    record(&head.options, "tag {s}={s}", .{ name, value });
}

pub fn tagBy(head: Handle, name: []const u8, question: u32) void {
    record(&head.options, "tag-by {s}={s}", .{ name, questions.describe(question) });
}

fn record(list: *std.ArrayList([]const u8), comptime format: []const u8, arguments: anytype) void {
    const text = std.fmt.allocPrint(testing.allocator(), format, arguments) catch @panic("out of memory");
    list.append(testing.allocator(), text) catch @panic("out of memory");
}

fn lower(name: []const u8) []const u8 {
    return std.ascii.allocLowerString(testing.allocator(), name) catch @panic("out of memory");
}

fn isTarget(value: []const u8, also_without: []const u8) bool {
    for (value) |octet| {
        if (octet <= ' ' or octet >= 127 or octet == '#') return false;
        if (std.mem.indexOfScalar(u8, also_without, octet) != null) return false;
    }
    return true;
}

fn checkName(name: []const u8) Error!void {
    for (name) |octet| {
        const mark = std.mem.indexOfScalar(u8, "!#$%&'*+-.^_`|~", octet) != null;
        if (!mark and !std.ascii.isAlphanumeric(octet)) break;
    } else if (name.len > 0) {
        return checkReserved(name);
    }
    return pointsman.refuse("\"{s}\" is not the name of a field", .{name});
}

fn checkReserved(name: []const u8) Error!void {
    const reserved = [_][]const u8{
        "connection",       "content-length", "expect",  "host",              "http2-settings", "keep-alive",
        "proxy-connection", "te",             "trailer", "transfer-encoding", "upgrade",
    };
    var is_reserved = std.ascii.startsWithIgnoreCase(name, "sec-websocket-");
    for (reserved) |other| is_reserved = is_reserved or std.ascii.eqlIgnoreCase(name, other);
    if (is_reserved) return pointsman.refuse("\"{s}\" is set by the proxy", .{name});
}

test "edits and options are recorded" {
    const session = try pointsman.questions.value("cookie:session");
    var head: testing.Head = .{ .path_with_query = "/old" };
    var request = head.request();
    try request.setHeader("X-A", "\xff");
    try request.setHeaderBy("X-B", session);
    try request.appendHeader("x-c", "");
    try request.removeHeader("X-d");
    try request.setAuthority("a.test:1");
    try request.setPathWithQuery("/b?c");
    try request.replacePathPrefix(4, "/new");
    try request.setResponseHeader("X-E", "1");
    try request.appendResponseHeader("set-cookie", "a=b");
    try request.removeResponseHeader("Server");
    request.setAffinity("k");
    request.setAffinityBy(session);
    request.setQueueTimeoutMs(0);
    request.setConnectTimeoutMs(1);
    request.setServerTimeoutMs(2);
    request.setTunnelTimeoutMs(3);
    request.setTries(16);
    request.tag("a", "b");
    request.tagBy("c", session);
    try testing.expectList(&.{
        "set x-a: \xff",      "set-by x-b: cookie:session", "append x-c: ",               "remove x-d",
        "authority a.test:1", "path-with-query /b?c",       "replace-path-prefix 4 /new",
    }, head.edits);
    try testing.expectList(&.{ "set x-e: 1", "append set-cookie: a=b", "remove server" }, head.response_edits);
    try testing.expectList(&.{
        "affinity k",              "affinity-by cookie:session", "queue-timeout 0", "connect-timeout 1",
        "server-timeout 2",        "tunnel-timeout 3",           "tries 16",        "tag a=b",
        "tag-by c=cookie:session",
    }, head.options);
    try testing.expectList(&.{}, head.reads);
    testing.reset();
}

test "an edit that HTTP does not allow is an error with a reason" {
    var head: testing.Head = .{ .path_with_query = "/old" };
    var request = head.request();
    const says = struct {
        fn says(text: []const u8, edit: Error!void) !void {
            try std.testing.expectError(error.Refused, edit);
            try std.testing.expectEqualStrings(text, pointsman.message(error.Refused));
        }
    }.says;
    try says("\"a b\" is not the name of a field", request.setHeader("a b", "c"));
    try says("\"\" is not the name of a field", request.removeResponseHeader(""));
    try says("\"Content-Length\" is set by the proxy", request.removeHeader("Content-Length"));
    try says("\"host\" is set by the proxy", request.setHeader("host", "a"));
    try says("a control character in a field's value", request.appendResponseHeader("a", "c\r\nd: e"));
    try says("not a target in origin form", request.setPathWithQuery("a"));
    try says("not an authority", request.setAuthority("a@b"));
    try says("the prefix is longer than the path", request.replacePathPrefix(5, "/"));
    try says("not a path", request.replacePathPrefix(1, "/?"));
    try testing.expectList(&.{}, head.edits);
    try testing.expectList(&.{}, head.response_edits);
    testing.reset();
}

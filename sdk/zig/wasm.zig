//! The proxy as the sandbox sees it: the contract's imports in the canonical ABI, by hand.
//!
//! What the proxy hands over is put where `cabi_realloc` says: into one of two arenas, neither of
//! which is freed piece by piece.

const std = @import("std");
const pointsman = @import("pointsman.zig");

pub const Handle = i32;

/// A list or a text, as it lies in memory.
const List = extern struct {
    ptr: [*]u8,
    len: usize,

    fn octets(self: List) []const u8 {
        return self.ptr[0..self.len];
    }

    fn put(value: []const u8) List {
        // The proxy checks the address of what is empty too, and an allocator's lies out of bounds.
        return .{ .ptr = if (value.len == 0) &nowhere else @constCast(value.ptr), .len = value.len };
    }

    fn of(self: List, comptime T: type) []const T {
        // An empty list may be anywhere.
        if (self.len == 0) return &.{};
        return @as([*]const T, @ptrCast(@alignCast(self.ptr)))[0..self.len];
    }
};

var nowhere: [0]u8 align(8) = .{};

const OptionalText = extern struct {
    is_some: u8,
    text: List,

    fn get(self: OptionalText) ?[]const u8 {
        return if (self.is_some != 0) self.text.octets() else null;
    }
};

const imports = struct {
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.method"(i32, *List) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.scheme"(i32, *List) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.path-with-query"(i32, *List) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.header"(i32, [*]const u8, usize, *List) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.headers"(i32, *List) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.client"(i32, *extern struct { address: List, port: u16 }) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.tls"(i32, *extern struct { is_some: u8, server_name: OptionalText, alpn: OptionalText }) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.attempt"(i32) u32;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.set-header"(i32, [*]const u8, usize, [*]const u8, usize, *[2]u8) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.append-header"(i32, [*]const u8, usize, [*]const u8, usize, *[2]u8) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.remove-header"(i32, [*]const u8, usize, *[2]u8) void;
    extern "pointsman:router/request@0.1.0" fn @"[method]request-head.set-path-with-query"(i32, [*]const u8, usize, *[2]u8) void;
    extern "pointsman:router/request@0.1.0" fn @"[resource-drop]request-head"(i32) void;
    extern "pointsman:router/backends@0.1.0" fn state([*]const u8, usize, *[4]u32) void;
    extern "pointsman:router/log@0.1.0" fn write(i32, [*]const u8, usize) void;
    extern "wasi:clocks/wall-clock@0.2.0" fn now(*extern struct { seconds: u64, nanoseconds: u32 }) void;
    extern "wasi:random/random@0.2.0" fn @"get-random-u64"() u64;
};

/// As long as the instance: what `configure` is given and makes.
var lasting: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
/// Until the proxy has the answer of `route`.
var passing: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
var is_configured = false;

/// What one large request has taken is given back beyond this.
const kept_bytes = 64 * 1024;

pub fn allocator() std.mem.Allocator {
    return if (is_configured) passing.allocator() else lasting.allocator();
}

/// From now on, memory lasts for one request.
pub fn configured() void {
    is_configured = true;
}

/// The proxy has the answer.
pub fn answered() void {
    pointsman.forget();
    if (is_configured) _ = passing.reset(.{ .retain_with_limit = kept_bytes });
}

pub fn drop(handle: Handle) void {
    imports.@"[resource-drop]request-head"(handle);
}

/// Memory for what the proxy hands over.
pub fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    if (len == 0) return @ptrFromInt(alignment);
    const new = allocator().rawAlloc(len, .fromByteUnits(alignment), @returnAddress()) orelse
        @panic("out of memory");
    if (old) |octets| @memcpy(new[0..@min(old_len, len)], octets[0..@min(old_len, len)]);
    return new;
}

pub fn method(handle: Handle) []const u8 {
    var found: List = undefined;
    imports.@"[method]request-head.method"(handle, &found);
    return found.octets();
}

pub fn scheme(handle: Handle) []const u8 {
    var found: List = undefined;
    imports.@"[method]request-head.scheme"(handle, &found);
    return found.octets();
}

pub fn target(handle: Handle) []const u8 {
    var found: List = undefined;
    imports.@"[method]request-head.path-with-query"(handle, &found);
    return found.octets();
}

pub fn header(handle: Handle, name: []const u8) []const []const u8 {
    // What is no text names no field.
    if (!isText(name)) return &.{};
    const text: List = .put(name);
    var found: List = undefined;
    imports.@"[method]request-head.header"(handle, text.ptr, text.len, &found);
    const values = allocator().alloc([]const u8, found.len) catch @panic("out of memory");
    for (values, found.of(List)) |*value, line| value.* = line.octets();
    return values;
}

pub fn headers(handle: Handle) []const pointsman.Field {
    var found: List = undefined;
    imports.@"[method]request-head.headers"(handle, &found);
    const fields = allocator().alloc(pointsman.Field, found.len) catch @panic("out of memory");
    for (fields, found.of([2]List)) |*field, line| {
        field.* = .{ .name = line[0].octets(), .value = line[1].octets() };
    }
    return fields;
}

pub fn client(handle: Handle) pointsman.Client {
    var found: @typeInfo(@typeInfo(@TypeOf(imports.@"[method]request-head.client")).@"fn".param_types[1].?).pointer.child = undefined;
    imports.@"[method]request-head.client"(handle, &found);
    return .{ .address = found.address.octets(), .port = found.port };
}

pub fn tls(handle: Handle) ?pointsman.Tls {
    var found: @typeInfo(@typeInfo(@TypeOf(imports.@"[method]request-head.tls")).@"fn".param_types[1].?).pointer.child = undefined;
    imports.@"[method]request-head.tls"(handle, &found);
    if (found.is_some == 0) return null;
    return .{ .server_name = found.server_name.get(), .alpn = found.alpn.get() };
}

pub fn attempt(handle: Handle) u32 {
    return imports.@"[method]request-head.attempt"(handle);
}

pub fn setHeader(handle: Handle, name: []const u8, value: []const u8) pointsman.EditError!void {
    if (!isText(name)) return error.InvalidSyntax;
    const text: List, const octets: List = .{ .put(name), .put(value) };
    var answer: [2]u8 = undefined;
    imports.@"[method]request-head.set-header"(handle, text.ptr, text.len, octets.ptr, octets.len, &answer);
    return edited(answer);
}

pub fn appendHeader(handle: Handle, name: []const u8, value: []const u8) pointsman.EditError!void {
    if (!isText(name)) return error.InvalidSyntax;
    const text: List, const octets: List = .{ .put(name), .put(value) };
    var answer: [2]u8 = undefined;
    imports.@"[method]request-head.append-header"(handle, text.ptr, text.len, octets.ptr, octets.len, &answer);
    return edited(answer);
}

pub fn removeHeader(handle: Handle, name: []const u8) pointsman.EditError!void {
    if (!isText(name)) return error.InvalidSyntax;
    const text: List = .put(name);
    var answer: [2]u8 = undefined;
    imports.@"[method]request-head.remove-header"(handle, text.ptr, text.len, &answer);
    return edited(answer);
}

pub fn setPathWithQuery(handle: Handle, value: []const u8) pointsman.EditError!void {
    if (!isText(value)) return error.InvalidSyntax;
    const text: List = .put(value);
    var answer: [2]u8 = undefined;
    imports.@"[method]request-head.set-path-with-query"(handle, text.ptr, text.len, &answer);
    return edited(answer);
}

fn edited(answer: [2]u8) pointsman.EditError!void {
    if (answer[0] == 0) return;
    return if (answer[1] == 0) error.InvalidSyntax else error.Forbidden;
}

pub fn backendState(name: []const u8) ?pointsman.backends.State {
    if (!isText(name)) return null;
    const text: List = .put(name);
    var found: [4]u32 = undefined;
    imports.state(text.ptr, text.len, &found);
    // Of the first word, one octet is set.
    if (found[0] & 0xff == 0) return null;
    return .{ .usable_servers = found[1], .active = found[2], .queued = found[3] };
}

pub fn log(level: pointsman.log.Level, text: []const u8) void {
    const line: List = .put(shown(text));
    imports.write(@backingInt(level), line.ptr, line.len);
}

pub fn now() pointsman.Time {
    var found: @typeInfo(@typeInfo(@TypeOf(imports.now)).@"fn".param_types[0].?).pointer.child = undefined;
    imports.now(&found);
    return .{ .seconds = found.seconds, .nanoseconds = found.nanoseconds };
}

pub fn random() u64 {
    return imports.@"get-random-u64"();
}

/// An answer of `configure`, as it lies in memory.
pub fn configuredAs(cacheable: bool) *const Answer {
    returned = .{ 0, if (cacheable) 0 else 1, 0, 0, 0, 0, 0 };
    return &returned;
}

/// An answer of `route`.
pub fn decided(decision: pointsman.Decision) error{ Refused, OutOfMemory }!*const Answer {
    switch (decision) {
        .default_backend => returned = .{ 0, 1, 0, 0, 0, 0, 0 },
        .backend => |name| {
            if (!isText(name)) return pointsman.refuse("there is no backend \"{s}\"", .{name});
            const text: List = .put(name);
            returned = .{ 0, 0, @intFromPtr(text.ptr), text.len, 0, 0, 0 };
        },
        .respond => |response| {
            const lines = try allocator().alloc([2]List, response.headers.len);
            for (lines, response.headers) |*line, field| {
                if (!isText(field.name)) {
                    return pointsman.refuse("\"{s}\" is not the name of a header field", .{field.name});
                }
                line.* = .{ .put(field.name), .put(field.value) };
            }
            const list: List = .put(@ptrCast(lines));
            const body: List = .put(response.body);
            returned = .{
                0,
                2,
                response.status,
                @intFromPtr(list.ptr),
                lines.len,
                @intFromPtr(body.ptr),
                body.len,
            };
        },
    }
    return &returned;
}

/// The error of either.
pub fn failed(reason: anyerror) *const Answer {
    const text: List = .put(shown(pointsman.message(reason)));
    returned = .{ 1, @intFromPtr(text.ptr), text.len, 0, 0, 0, 0 };
    return &returned;
}

/// Seven words at most.
pub const Answer = [7]usize;
var returned: Answer = undefined;

/// Text that is not UTF-8 must not cross: the proxy would take it for a trap.
fn isText(octets: []const u8) bool {
    return std.unicode.utf8ValidateSlice(octets);
}

/// What a person is to read, whatever octets of a request it was made of.
fn shown(text: []const u8) []const u8 {
    if (isText(text)) return text;
    const copy = allocator().dupe(u8, text) catch return "out of memory";
    for (copy) |*octet| if (octet.* >= 128) {
        octet.* = '?';
    };
    return copy;
}

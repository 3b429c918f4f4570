//! The proxy as seen from the sandbox: the contract's imports, and the results of its exports.
//!
//! `testing.proxy` has the same functions for tests.

const std = @import("std");
const abi = @import("abi.zig");
const pointsman = @import("pointsman.zig");

const List = abi.List;
const Option = abi.Option;

pub const Handle = i32;
pub const allocator = abi.allocator;
pub const configured = abi.configured;
pub const realloc = abi.realloc;
pub const Answer = abi.Answer;

const Head = struct {
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.method"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.scheme"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.version"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.authority"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.host"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.path-with-query"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.path"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.query-parameter"(Handle, [*]const u8, usize, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.header"(Handle, [*]const u8, usize, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.headers"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.cookie"(Handle, [*]const u8, usize, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-address"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-port"(Handle) u32;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.server-name"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.alpn"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-certificate-subject"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-certificate-issuer"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-certificate-names"(Handle, *List) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-certificate-serial"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-certificate-sha256"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.client-certificate-not-after"(Handle, *Option(u64)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.attempt"(Handle) u32;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.body-prefix"(Handle, *Option(List)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.body-is-complete"(Handle) u32;
    extern "pointsman:router/request@1.0.0" fn @"[resource-drop]request-head"(Handle) void;
};

const imports = struct {
    extern "pointsman:router/backends@1.0.0" fn names(*List) void;
    extern "pointsman:router/backends@1.0.0" fn state([*]const u8, usize, *Option(State)) void;
    extern "pointsman:router/backends@1.0.0" fn servers([*]const u8, usize, *Option(List)) void;
    extern "pointsman:router/log@1.0.0" fn write(i32, [*]const u8, usize) void;
    extern "wasi:clocks/wall-clock@0.2.0" fn now(*Time) void;
    extern "wasi:random/random@0.2.0" fn @"get-random-u64"() u64;
};

const State = extern struct { usable_servers: u32, active: u32, queued: u32 };

const Server = extern struct {
    name: List,
    usable: u8,
    weight: u32,
    active: u32,
    limit: Option(u32),
    latency: Option(u32),
};

const Time = extern struct { seconds: u64, nanoseconds: u32 };

comptime {
    // The layout of the canonical ABI.
    std.debug.assert(@sizeOf(Server) == 36 and @offsetOf(Server, "limit") == 20);
    std.debug.assert(@sizeOf(Option(u64)) == 16 and @sizeOf(abi.Numbered) == 12);
}

pub const edits = @import("wasm_edits.zig");
pub const questions = @import("wasm_questions.zig");

/// Ends a call: the proxy has the result.
pub fn answered() void {
    pointsman.forget();
    abi.answered();
}

pub fn drop(handle: Handle) void {
    Head.@"[resource-drop]request-head"(handle);
}

fn text(comptime name: []const u8, handle: Handle) []const u8 {
    var found: List = undefined;
    @field(Head, "[method]request-head." ++ name)(handle, &found);
    return found.octets();
}

fn optional(comptime name: []const u8, handle: Handle) ?[]const u8 {
    var found: Option(List) = undefined;
    @field(Head, "[method]request-head." ++ name)(handle, &found);
    return abi.octetsOf(found);
}

/// Reads a value by name. A name that is not UTF-8 has no value.
fn named(comptime read: []const u8, handle: Handle, name: []const u8) ?[]const u8 {
    if (!abi.isText(name)) return null;
    const asked: List = .put(name);
    var found: Option(List) = undefined;
    @field(Head, "[method]request-head." ++ read)(handle, asked.ptr, asked.len, &found);
    return abi.octetsOf(found);
}

pub fn method(handle: Handle) []const u8 {
    return text("method", handle);
}

pub fn scheme(handle: Handle) []const u8 {
    return text("scheme", handle);
}

pub fn version(handle: Handle) ?[]const u8 {
    return optional("version", handle);
}

pub fn authority(handle: Handle) []const u8 {
    return text("authority", handle);
}

pub fn host(handle: Handle) []const u8 {
    return text("host", handle);
}

pub fn pathWithQuery(handle: Handle) []const u8 {
    return text("path-with-query", handle);
}

pub fn path(handle: Handle) []const u8 {
    return text("path", handle);
}

pub fn queryParameter(handle: Handle, name: []const u8) ?[]const u8 {
    return named("query-parameter", handle, name);
}

pub fn header(handle: Handle, name: []const u8) []const []const u8 {
    if (!abi.isText(name)) return &.{};
    const asked: List = .put(name);
    var found: List = undefined;
    Head.@"[method]request-head.header"(handle, asked.ptr, asked.len, &found);
    return found.slices();
}

pub fn headers(handle: Handle) []const pointsman.Field {
    var found: List = undefined;
    Head.@"[method]request-head.headers"(handle, &found);
    const fields = allocator().alloc(pointsman.Field, found.len) catch @panic("out of memory");
    for (fields, found.of([2]List)) |*field, line| {
        field.* = .{ .name = line[0].octets(), .value = line[1].octets() };
    }
    return fields;
}

pub fn cookie(handle: Handle, name: []const u8) ?[]const u8 {
    return named("cookie", handle, name);
}

pub fn clientAddress(handle: Handle) []const u8 {
    return text("client-address", handle);
}

pub fn clientPort(handle: Handle) u16 {
    return @truncate(Head.@"[method]request-head.client-port"(handle));
}

pub fn serverName(handle: Handle) ?[]const u8 {
    return optional("server-name", handle);
}

pub fn alpn(handle: Handle) ?[]const u8 {
    return optional("alpn", handle);
}

pub fn clientCertificateSubject(handle: Handle) ?[]const u8 {
    return optional("client-certificate-subject", handle);
}

pub fn clientCertificateIssuer(handle: Handle) ?[]const u8 {
    return optional("client-certificate-issuer", handle);
}

pub fn clientCertificateNames(handle: Handle) []const []const u8 {
    var found: List = undefined;
    Head.@"[method]request-head.client-certificate-names"(handle, &found);
    return found.slices();
}

pub fn clientCertificateSerial(handle: Handle) ?[]const u8 {
    return optional("client-certificate-serial", handle);
}

pub fn clientCertificateSha256(handle: Handle) ?[]const u8 {
    return optional("client-certificate-sha256", handle);
}

pub fn clientCertificateNotAfter(handle: Handle) ?u64 {
    var found: Option(u64) = undefined;
    Head.@"[method]request-head.client-certificate-not-after"(handle, &found);
    return found.get();
}

pub fn attempt(handle: Handle) u32 {
    return Head.@"[method]request-head.attempt"(handle);
}

pub fn bodyPrefix(handle: Handle) ?[]const u8 {
    return optional("body-prefix", handle);
}

pub fn bodyIsComplete(handle: Handle) bool {
    return Head.@"[method]request-head.body-is-complete"(handle) != 0;
}

pub fn backendNames() []const []const u8 {
    var found: List = undefined;
    imports.names(&found);
    return found.slices();
}

pub fn backendState(name: []const u8) ?pointsman.backends.State {
    if (!abi.isText(name)) return null;
    const asked: List = .put(name);
    var found: Option(State) = undefined;
    imports.state(asked.ptr, asked.len, &found);
    const state = found.get() orelse return null;
    return .{ .usable_servers = state.usable_servers, .active = state.active, .queued = state.queued };
}

pub fn backendServers(name: []const u8) ?[]const pointsman.backends.Server {
    if (!abi.isText(name)) return null;
    const asked: List = .put(name);
    var found: Option(List) = undefined;
    imports.servers(asked.ptr, asked.len, &found);
    const list = found.get() orelse return null;
    const servers = allocator().alloc(pointsman.backends.Server, list.len) catch @panic("out of memory");
    for (servers, list.of(Server)) |*server, raw| server.* = .{
        .name = raw.name.octets(),
        .usable = raw.usable != 0,
        .weight = raw.weight,
        .active = raw.active,
        .limit = raw.limit.get(),
        .latency_us = raw.latency.get(),
    };
    return servers;
}

pub fn log(level: pointsman.log.Level, message: []const u8) void {
    const line: List = .put(abi.shown(message));
    imports.write(@backingInt(level), line.ptr, line.len);
}

pub fn now() pointsman.Time {
    var found: Time = undefined;
    imports.now(&found);
    return .{ .seconds = found.seconds, .nanoseconds = found.nanoseconds };
}

pub fn random() u64 {
    return imports.@"get-random-u64"();
}

/// Returns the result of `configure`, in the layout of the ABI.
pub fn configuredAs(cacheable: bool) *const Answer {
    returned = @splat(0);
    returned[1] = if (cacheable) 0 else 1;
    return &returned;
}

/// Returns the result of `route`.
pub fn decided(decision: pointsman.Decision) error{ Refused, OutOfMemory }!*const Answer {
    returned = @splat(0);
    switch (decision) {
        .backend => |name| {
            returned[1] = 0;
            try putText(2, name, "backend");
        },
        .default_backend => returned[1] = 1,
        .respond => |response| {
            returned[1] = 2;
            returned[2] = response.status;
            const lines = try allocator().alloc([2]List, response.headers.len);
            for (lines, response.headers) |*line, field| {
                if (!abi.isText(field.name)) {
                    return pointsman.refuse("\"{s}\" is not the name of a header field", .{field.name});
                }
                line.* = .{ .put(field.name), .put(field.value) };
            }
            putList(3, .putItems(lines));
            putList(5, .put(response.body));
        },
        .server => |choice| {
            returned[1] = 3;
            try putText(2, choice.backend, "backend");
            try putText(4, choice.server, "server");
            returned[6] = @backingInt(choice.otherwise);
        },
        .next => returned[1] = 4,
    }
    return &returned;
}

fn putList(at: usize, list: List) void {
    returned[at] = @intFromPtr(list.ptr);
    returned[at + 1] = list.len;
}

fn putText(at: usize, name: []const u8, what: []const u8) error{Refused}!void {
    if (!abi.isText(name)) return pointsman.refuse("there is no {s} \"{s}\"", .{ what, name });
    putList(at, .put(name));
}

/// Returns an error as the result of `configure` or `route`.
pub fn failed(reason: anyerror) *const Answer {
    returned = @splat(0);
    returned[0] = 1;
    putList(1, .put(abi.shown(pointsman.message(reason))));
    return &returned;
}

var returned: Answer = undefined;

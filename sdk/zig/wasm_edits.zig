//! Edits and options of a request, in the sandbox.

const abi = @import("abi.zig");
const pointsman = @import("pointsman.zig");

const List = abi.List;
const Handle = i32;

const Head = struct {
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-header"(Handle, [*]const u8, usize, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-header-by"(Handle, [*]const u8, usize, u32, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.append-header"(Handle, [*]const u8, usize, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.remove-header"(Handle, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-authority"(Handle, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-path-with-query"(Handle, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.replace-path-prefix"(Handle, u32, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-response-header"(Handle, [*]const u8, usize, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.append-response-header"(Handle, [*]const u8, usize, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.remove-response-header"(Handle, [*]const u8, usize, *abi.Done) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-affinity"(Handle, [*]const u8, usize) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-affinity-by"(Handle, u32) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-queue-timeout"(Handle, u32) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-connect-timeout"(Handle, u32) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-server-timeout"(Handle, u32) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-tunnel-timeout"(Handle, u32) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.set-tries"(Handle, u32) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.tag"(Handle, [*]const u8, usize, [*]const u8, usize) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.tag-by"(Handle, [*]const u8, usize, u32) void;
};

/// The edits of one line, by their names in the contract.
pub const Line = enum { @"set-header", @"append-header", @"set-response-header", @"append-response-header" };
pub const Removal = enum { @"remove-header", @"remove-response-header" };
pub const Timeout = enum { @"set-queue-timeout", @"set-connect-timeout", @"set-server-timeout", @"set-tunnel-timeout" };

fn call(comptime name: []const u8) @TypeOf(@field(Head, "[method]request-head." ++ name)) {
    return @field(Head, "[method]request-head." ++ name);
}

pub fn line(comptime edit: Line, handle: Handle, name: []const u8, value: []const u8) error{Refused}!void {
    const text, const octets: List = .{ try nameOf(name), .put(value) };
    var done: abi.Done = undefined;
    call(@tagName(edit))(handle, text.ptr, text.len, octets.ptr, octets.len, &done);
    return check(done);
}

pub fn remove(comptime edit: Removal, handle: Handle, name: []const u8) error{Refused}!void {
    const text = try nameOf(name);
    var done: abi.Done = undefined;
    call(@tagName(edit))(handle, text.ptr, text.len, &done);
    return check(done);
}

pub fn setHeaderBy(handle: Handle, name: []const u8, question: u32) error{Refused}!void {
    const text = try nameOf(name);
    var done: abi.Done = undefined;
    call("set-header-by")(handle, text.ptr, text.len, question, &done);
    return check(done);
}

pub fn setAuthority(handle: Handle, value: []const u8) error{Refused}!void {
    const octets: List = .put(value);
    var done: abi.Done = undefined;
    call("set-authority")(handle, octets.ptr, octets.len, &done);
    return check(done);
}

pub fn setPathWithQuery(handle: Handle, value: []const u8) error{Refused}!void {
    if (!abi.isText(value)) return pointsman.refuse("the target is not UTF-8", .{});
    const text: List = .put(value);
    var done: abi.Done = undefined;
    call("set-path-with-query")(handle, text.ptr, text.len, &done);
    return check(done);
}

pub fn replacePathPrefix(handle: Handle, length: u32, replacement: []const u8) error{Refused}!void {
    if (!abi.isText(replacement)) {
        return pointsman.refuse("the replacement of a path's prefix is not UTF-8", .{});
    }
    const text: List = .put(replacement);
    var done: abi.Done = undefined;
    call("replace-path-prefix")(handle, length, text.ptr, text.len, &done);
    return check(done);
}

pub fn setAffinity(handle: Handle, key: []const u8) void {
    const octets: List = .put(key);
    call("set-affinity")(handle, octets.ptr, octets.len);
}

pub fn setAffinityBy(handle: Handle, question: u32) void {
    call("set-affinity-by")(handle, question);
}

pub fn setTimeout(comptime option: Timeout, handle: Handle, milliseconds: u32) void {
    call(@tagName(option))(handle, milliseconds);
}

pub fn setTries(handle: Handle, tries: u32) void {
    call("set-tries")(handle, tries);
}

pub fn tag(handle: Handle, name: []const u8, value: []const u8) void {
    const key: List, const text: List = .{ .put(abi.shown(name)), .put(abi.shown(value)) };
    call("tag")(handle, key.ptr, key.len, text.ptr, text.len);
}

pub fn tagBy(handle: Handle, name: []const u8, question: u32) void {
    const key: List = .put(abi.shown(name));
    call("tag-by")(handle, key.ptr, key.len, question);
}

fn nameOf(name: []const u8) error{Refused}!List {
    if (!abi.isText(name)) return pointsman.refuse("the name of a field is not UTF-8", .{});
    return .put(name);
}

fn check(done: abi.Done) error{Refused}!void {
    if (done.reason()) |reason| return pointsman.refuse("{s}", .{reason});
}

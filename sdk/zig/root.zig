//! The component's root: the contract's exports around the plugin's own, `Plugin` of `plugin.zig`.

const std = @import("std");
const pointsman = @import("pointsman");
const wasm = pointsman.wasm;
const Plugin = @import("plugin").Plugin;

/// A panic is written to the proxy's log before it traps.
pub const panic = std.debug.FullPanic(tell);

fn tell(message: []const u8, _: ?usize) noreturn {
    wasm.log(.@"error", message);
    @trap();
}

comptime {
    @export(&configure, .{ .name = "pointsman:router/plugin@0.1.0#configure" });
    @export(&route, .{ .name = "pointsman:router/plugin@0.1.0#route" });
    @export(&answered, .{ .name = "cabi_post_pointsman:router/plugin@0.1.0#route" });
    @export(&wasm.realloc, .{ .name = "cabi_realloc" });
}

var plugin: Plugin = undefined;

/// An answer, as it lies in memory: seven words at most.
var answer: [7]usize = undefined;

fn configure(json: [*]const u8, len: usize) callconv(.c) *const [7]usize {
    const Config = @typeInfo(@TypeOf(Plugin.configure)).@"fn".param_types[0].?;
    const config = pointsman.config.parse(Config, json[0..len]) catch |reason| return failed(reason);
    plugin = Plugin.configure(config) catch |reason| return failed(reason);
    wasm.configured();
    const cacheable = @hasDecl(Plugin, "cacheable") and Plugin.cacheable;
    answer = .{ 0, if (cacheable) 0 else 1, 0, 0, 0, 0, 0 };
    return &answer;
}

fn route(handle: wasm.Handle) callconv(.c) *const [7]usize {
    defer wasm.drop(handle);
    var request: pointsman.Request = .{ .handle = handle };
    const decision = plugin.route(&request) catch |reason| return failed(reason);
    switch (decision) {
        .backend => |name| answer = .{ 0, 0, @intFromPtr(name.ptr), name.len, 0, 0, 0 },
        .default_backend => answer = .{ 0, 1, 0, 0, 0, 0, 0 },
        .respond => |response| {
            const headers = response.headers;
            const lines = wasm.allocator().alloc([4]usize, headers.len) catch |reason|
                return failed(reason);
            for (lines, headers) |*line, field| line.* = .{
                @intFromPtr(field.name.ptr),  field.name.len,
                @intFromPtr(field.value.ptr), field.value.len,
            };
            answer = .{
                0,
                2,
                response.status,
                @intFromPtr(lines.ptr),
                lines.len,
                @intFromPtr(response.body.ptr),
                response.body.len,
            };
        },
    }
    return &answer;
}

fn failed(reason: anyerror) *const [7]usize {
    const text = pointsman.message(reason);
    answer = .{ 1, @intFromPtr(text.ptr), text.len, 0, 0, 0, 0 };
    return &answer;
}

fn answered(_: *const [7]usize) callconv(.c) void {
    wasm.answered();
}

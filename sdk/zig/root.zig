//! The root of the component: the contract's exports, which call the plugin, `Plugin` of
//! `plugin.zig`.

const std = @import("std");
const pointsman = @import("pointsman");
const wasm = pointsman.wasm;
const Plugin = @import("plugin").Plugin;

/// `std.log` also writes to the proxy's log.
pub const std_options: std.Options = .{ .log_level = .debug, .logFn = write };

fn write(
    comptime level: std.log.Level,
    comptime scope: @EnumLiteral(),
    comptime format: []const u8,
    arguments: anytype,
) void {
    const prefix = if (scope == .default) "" else "(" ++ @tagName(scope) ++ ") ";
    pointsman.log.write(switch (level) {
        .debug => .debug,
        .info => .info,
        .warn => .warn,
        .err => .@"error",
    }, prefix ++ format, arguments);
}

/// A panic is written to the proxy's log before it traps.
pub const panic = std.debug.FullPanic(tell);

fn tell(message: []const u8, _: ?usize) noreturn {
    wasm.log(.@"error", message);
    @trap();
}

comptime {
    @export(&configure, .{ .name = "pointsman:router/plugin@1.0.0#configure" });
    @export(&route, .{ .name = "pointsman:router/plugin@1.0.0#route" });
    @export(&answered, .{ .name = "cabi_post_pointsman:router/plugin@1.0.0#route" });
    @export(&wasm.realloc, .{ .name = "cabi_realloc" });
}

var plugin: ?Plugin = null;

fn configure(json: [*]const u8, len: usize) callconv(.c) *const wasm.Answer {
    const Config = @typeInfo(@TypeOf(Plugin.configure)).@"fn".param_types[0].?;
    if (plugin != null) return wasm.failed(pointsman.refuse("configured twice", .{}));
    const config = pointsman.config.parse(Config, json[0..len]) catch |reason| return wasm.failed(reason);
    plugin = Plugin.configure(config) catch |reason| return wasm.failed(reason);
    wasm.configured();
    return wasm.configuredAs(@hasDecl(Plugin, "cacheable") and Plugin.cacheable);
}

fn route(handle: wasm.Handle) callconv(.c) *const wasm.Answer {
    defer wasm.drop(handle);
    const router = if (plugin) |*made| made else return wasm.failed(pointsman.refuse("not configured", .{}));
    var request: pointsman.Request = .{ .handle = handle };
    const decision = router.route(&request) catch |reason| return wasm.failed(reason);
    return wasm.decided(decision) catch |reason| wasm.failed(reason);
}

fn answered(_: *const wasm.Answer) callconv(.c) void {
    wasm.answered();
}

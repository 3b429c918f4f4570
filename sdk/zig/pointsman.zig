//! Write routing plugins for Pointsman in Zig.
//!
//! A plugin is a struct with `configure`, `route` and, where a decision follows from the
//! configuration, from what was read of the request and from answers to questions alone,
//! `pub const cacheable = true`. What a request's reads and a decision need lives until `route`
//! returns, what `configure` makes as long as the instance: nothing has to be freed. Tests run
//! natively: see `testing`.

const std = @import("std");
const builtin = @import("builtin");

pub const Request = @import("request.zig").Request;
pub const questions = @import("questions.zig");
pub const config = @import("config.zig");
pub const testing = @import("testing.zig");

/// The contract in the canonical ABI; in the sandbox only.
pub const wasm = if (builtin.target.cpu.arch.isWasm()) @import("wasm.zig") else struct {};

const proxy = if (builtin.target.cpu.arch.isWasm()) wasm else testing.proxy;

/// Where a request goes.
pub const Decision = union(enum) {
    /// To the backend of this name. A name that the configuration does not have is a fault.
    backend: []const u8,
    /// To the frontend's `default_backend`.
    default_backend,
    /// Nowhere: the proxy sends this response.
    respond: Response,
    /// To one server of a backend.
    server: ServerChoice,
    /// Not for this plugin: the next one of the router decides, with the edits and options so far;
    /// after the last one, the frontend's `default_backend`.
    next,
};

/// A response that a plugin makes itself. The proxy adds the fields that frame the message.
pub const Response = struct {
    /// 200 to 599.
    status: u16,
    headers: []const Field = &.{},
    body: []const u8 = "",
};

pub const ServerChoice = struct {
    backend: []const u8,
    server: []const u8,
    /// What happens if that server is not usable.
    otherwise: Fallback = .another_server,
};

pub const Fallback = enum(u8) {
    /// Another server of the backend.
    another_server,
    /// The router is asked again, with the next `attempt`.
    ask_again,
};

/// A field line.
pub const Field = struct {
    name: []const u8,
    value: []const u8,
};

/// Why the proxy refuses an edit: `message` has its text.
pub const EditError = error{Refused};

/// To the backend `name`.
pub fn backend(name: []const u8) Decision {
    return .{ .backend = name };
}

/// Sends `response`.
pub fn respond(response: Response) Decision {
    return .{ .respond = response };
}

/// Sends the client elsewhere: `status` is 301, 302, 303, 307 or 308.
pub fn redirect(status: u16, location: []const u8) !Decision {
    const headers = try allocator().alloc(Field, 1);
    headers[0] = .{ .name = "location", .value = location };
    return respond(.{ .status = status, .headers = headers });
}

/// Memory that need not be freed: while `configure` runs it lasts as long as the instance, while
/// `route` runs until the proxy has the answer.
pub fn allocator() std.mem.Allocator {
    return proxy.allocator();
}

/// What the proxy knows about its backends. A decision for which `route` asks is not cached; to ask
/// whether a backend is usable, see `questions.usable`. While `configure` runs, every server counts
/// as usable and idle.
pub const backends = struct {
    pub const State = struct {
        usable_servers: u32 = 1,
        /// Requests and tunnels in progress.
        active: u32 = 0,
        /// Requests that wait for a free slot.
        queued: u32 = 0,
    };

    pub const Server = struct {
        name: []const u8,
        /// Up and not draining, whether or not a slot is free.
        usable: bool = true,
        weight: u32 = 1,
        /// Requests and tunnels in progress.
        active: u32 = 0,
        /// Requests that it accepts at once; null without a limit.
        limit: ?u32 = null,
        /// Moving average of the time to a response's head; null before the first response.
        latency_us: ?u32 = null,
    };

    /// Every backend of the configuration.
    pub fn names() []const []const u8 {
        return proxy.backendNames();
    }

    /// Null for a name that is not in the configuration.
    pub fn state(name: []const u8) ?State {
        return proxy.backendState(name);
    }

    pub fn servers(name: []const u8) ?[]const Server {
        return proxy.backendServers(name);
    }

    pub fn exists(name: []const u8) bool {
        return state(name) != null;
    }

    /// Checks, in `configure`, that there is the backend `name`, which the plugin's configuration
    /// has at `key`, as in `rules[0].backend`.
    pub fn require(key: []const u8, name: []const u8) error{Refused}!void {
        if (!exists(name)) return refuse("{s}: there is no backend \"{s}\"", .{ key, name });
    }
};

/// A time since 1970.
pub const Time = struct {
    seconds: u64,
    nanoseconds: u32,
};

/// The time. A decision that looks at it is not cached, and where `configure` does, none is.
pub fn now() Time {
    return proxy.now();
}

/// A random number, fit for secrets. A decision that takes one is not cached, and where `configure`
/// does, none is.
pub fn random() u64 {
    return proxy.random();
}

/// The plugin's own lines in the proxy's log, whose `[log]` says which of them are written.
pub const log = struct {
    pub const Level = enum(i32) { trace, debug, info, warn, @"error" };

    pub fn write(level: Level, comptime format: []const u8, arguments: anytype) void {
        // Without memory there is nobody left to tell.
        const text = std.fmt.allocPrint(allocator(), format, arguments) catch return;
        proxy.log(level, text);
    }

    pub fn trace(comptime format: []const u8, arguments: anytype) void {
        write(.trace, format, arguments);
    }

    pub fn debug(comptime format: []const u8, arguments: anytype) void {
        write(.debug, format, arguments);
    }

    pub fn info(comptime format: []const u8, arguments: anytype) void {
        write(.info, format, arguments);
    }

    pub fn warn(comptime format: []const u8, arguments: anytype) void {
        write(.warn, format, arguments);
    }

    pub fn err(comptime format: []const u8, arguments: anytype) void {
        write(.@"error", format, arguments);
    }
};

var refusal: ?[]const u8 = null;

/// Ends `configure` or `route` with a text: `return refuse("rules[{d}].suffix: is empty", .{index})`.
/// The text before the first `: ` is the key that the proxy points at in its file.
pub fn refuse(comptime format: []const u8, arguments: anytype) error{Refused} {
    refusal = std.fmt.allocPrint(allocator(), format, arguments) catch "out of memory";
    return error.Refused;
}

/// Adds the key of the configuration to an error's text:
/// `try at("rules", questions.suffix(...))`.
pub fn at(key: []const u8, result: anytype) @TypeOf(result) {
    return result catch |reason| {
        if (reason == error.Refused) return refuse("{s}: {s}", .{ key, message(reason) });
        return reason;
    };
}

/// A refusal's text goes when the memory that it lies in does.
pub fn forget() void {
    refusal = null;
}

/// The text of an error: that of `refuse`, or the error's own name.
pub fn message(reason: anyerror) []const u8 {
    if (reason == error.Refused) {
        if (refusal) |text| return text;
    }
    return @errorName(reason);
}

test {
    _ = @import("request.zig");
    _ = questions;
    _ = config;
    _ = testing;
}

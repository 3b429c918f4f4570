//! Write routing plugins for Pointsman in Zig.
//!
//! A plugin is a struct with the functions `configure` and `route`. It can declare `pub const
//! cacheable = true` if a decision depends only on the configuration, on the parts of the request
//! that were read and on the answers to questions.
//!
//! Memory need not be freed. The results of a request's reads, and the parts of a decision, live
//! until `route` returns. Memory that `configure` allocates lives as long as the instance.
//!
//! Tests run natively: see `testing`.

const std = @import("std");
const builtin = @import("builtin");

pub const Request = @import("request.zig").Request;
pub const questions = @import("questions.zig");
pub const config = @import("config.zig");
pub const testing = @import("testing.zig");

/// The contract in the canonical ABI, only in the sandbox.
pub const wasm = if (builtin.target.cpu.arch.isWasm()) @import("wasm.zig") else struct {};

const proxy = if (builtin.target.cpu.arch.isWasm()) wasm else testing.proxy;

/// The destination of a request.
pub const Decision = union(enum) {
    /// The backend with this name. A name that is not in the configuration is a fault.
    backend: []const u8,
    /// The frontend's `default_backend`.
    default_backend,
    /// No backend: the proxy sends this response.
    respond: Response,
    /// One server of a backend.
    server: ServerChoice,
    /// No decision by this plugin: the next plugin of the frontend's router decides, with the edits
    /// and options made so far. After the last plugin, the request goes to the frontend's
    /// `default_backend`.
    next,
};

/// A response that a plugin makes by itself. The proxy adds the fields that frame the message.
pub const Response = struct {
    /// Status code, 200 to 599.
    status: u16,
    headers: []const Field = &.{},
    body: []const u8 = "",
};

pub const ServerChoice = struct {
    backend: []const u8,
    server: []const u8,
    /// Fallback if that server is not usable.
    otherwise: Fallback = .another_server,
};

pub const Fallback = enum(u8) {
    /// Another server of the backend receives the request.
    another_server,
    /// The router is called again, with `attempt` increased by one.
    ask_again,
};

/// A field line.
pub const Field = struct {
    name: []const u8,
    value: []const u8,
};

/// The proxy refuses an edit. `message` returns its reason.
pub const EditError = error{Refused};

/// Sends the request to the backend `name`. A name that is not in the proxy's configuration is a
/// fault of the plugin.
pub fn backend(name: []const u8) Decision {
    return .{ .backend = name };
}

/// Responds without a backend: the proxy sends `response`.
pub fn respond(response: Response) Decision {
    return .{ .respond = response };
}

/// Redirects the client to `location` with status 301, 302, 303, 307 or 308 (RFC 9110, section
/// 15.4).
pub fn redirect(status: u16, location: []const u8) !Decision {
    const headers = try allocator().alloc(Field, 1);
    headers[0] = .{ .name = "location", .value = location };
    return respond(.{ .status = status, .headers = headers });
}

/// Returns an allocator whose memory need not be freed. Memory allocated in `configure` lasts as
/// long as the instance. Memory allocated in `route` lasts until the proxy has the result.
pub fn allocator() std.mem.Allocator {
    return proxy.allocator();
}

/// The state of the proxy's backends. Calling any of these functions in `route` makes the decision
/// uncacheable. To find out whether a backend is usable, ask `questions.usable` instead. While
/// `configure` runs, every server counts as usable and idle.
pub const backends = struct {
    pub const State = struct {
        usable_servers: u32 = 1,
        /// Number of requests and tunnels in progress.
        active: u32 = 0,
        /// Number of requests that wait for a free slot.
        queued: u32 = 0,
    };

    pub const Server = struct {
        name: []const u8,
        /// Whether the server is up and not draining, with or without a free slot.
        usable: bool = true,
        weight: u32 = 1,
        /// Number of requests and tunnels in progress.
        active: u32 = 0,
        /// Maximum number of concurrent requests; null if there is no limit.
        limit: ?u32 = null,
        /// Moving average of the time until a response's head arrives; null before the first
        /// response.
        latency_us: ?u32 = null,
    };

    /// Returns the names of all backends in the proxy's configuration.
    pub fn names() []const []const u8 {
        return proxy.backendNames();
    }

    /// Returns the load of the backend `name`; null if the proxy's configuration has no such
    /// backend.
    pub fn state(name: []const u8) ?State {
        return proxy.backendState(name);
    }

    pub fn servers(name: []const u8) ?[]const Server {
        return proxy.backendServers(name);
    }

    pub fn exists(name: []const u8) bool {
        return state(name) != null;
    }

    /// Checks in `configure` that the proxy's configuration has the backend `name`. `key` is the
    /// key of the plugin's configuration that names the backend, as in `rules[0].backend`.
    pub fn require(key: []const u8, name: []const u8) error{Refused}!void {
        if (!exists(name)) return refuse("{s}: there is no backend \"{s}\"", .{ key, name });
    }
};

/// A time, as seconds and nanoseconds since 1970.
pub const Time = struct {
    seconds: u64,
    nanoseconds: u32,
};

/// Returns the current time. A decision that reads the time is not cached. If `configure` reads it,
/// none of the plugin's decisions is cached.
pub fn now() Time {
    return proxy.now();
}

/// Returns a random number, suitable for secrets. A decision that uses one is not cached. If
/// `configure` uses one, none of the plugin's decisions is cached.
pub fn random() u64 {
    return proxy.random();
}

/// The plugin's lines in the proxy's log. The table `[log]` of the proxy's configuration filters
/// them.
pub const log = struct {
    pub const Level = enum(i32) { trace, debug, info, warn, @"error" };

    pub fn write(level: Level, comptime format: []const u8, arguments: anytype) void {
        // If memory is exhausted, the message cannot be written.
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

/// Ends `configure` or `route` with an error message:
/// `return refuse("rules[{d}].suffix: is empty", .{index})`. The text before the first `: ` is the key that the proxy points at in its
/// configuration file.
pub fn refuse(comptime format: []const u8, arguments: anytype) error{Refused} {
    refusal = std.fmt.allocPrint(allocator(), format, arguments) catch "out of memory";
    return error.Refused;
}

/// Adds a key of the configuration to an error's text: `try at("rules", questions.suffix(...))`.
pub fn at(key: []const u8, result: anytype) @TypeOf(result) {
    return result catch |reason| {
        if (reason == error.Refused) return refuse("{s}: {s}", .{ key, message(reason) });
        return reason;
    };
}

/// Forgets the text of the last refusal, whose memory is about to be released.
pub fn forget() void {
    refusal = null;
}

/// Returns the text of an error: that of `refuse`, or the error's own name.
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

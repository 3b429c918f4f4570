//! Write routing plugins for Pointsman in Zig.
//!
//! A plugin is a struct with `configure`, `route` and, where a decision follows from the
//! configuration and from what was read of the request alone, `pub const cacheable = true`. What a
//! request's reads and a decision need lives until `route` returns, what `configure` makes as long
//! as the instance: nothing has to be freed. Tests run natively: see `testing`.

const std = @import("std");
const builtin = @import("builtin");

pub const Request = @import("request.zig").Request;
pub const withoutPort = @import("request.zig").withoutPort;
pub const config = @import("config.zig");
pub const testing = @import("testing.zig");

/// The contract in the canonical ABI; there in the sandbox alone.
pub const wasm = if (builtin.target.cpu.arch.isWasm()) @import("wasm.zig") else struct {};

const proxy = if (builtin.target.cpu.arch.isWasm()) wasm else testing.proxy;

/// Where a request goes.
pub const Decision = union(enum) {
    /// To the backend of this name. One that the proxy's configuration has not is a fault.
    backend: []const u8,
    /// To the frontend's `default_backend`.
    default_backend,
    /// Nowhere: the proxy sends this response.
    respond: Response,
};

/// A response that a plugin makes itself. The proxy adds what frames the message.
pub const Response = struct {
    /// 200 to 599.
    status: u16,
    headers: []const Field = &.{},
    body: []const u8 = "",
};

/// A field line. Names are in lower case where they are a request's.
pub const Field = struct {
    name: []const u8,
    value: []const u8,
};

/// The peer that sent a request.
pub const Client = struct {
    /// An IPv4 or IPv6 address in text form, or the path of a Unix socket: empty for most clients.
    address: []const u8,
    /// 0 for a Unix socket.
    port: u16,
};

/// Facts of the TLS session that a request came over.
pub const Tls = struct {
    server_name: ?[]const u8 = null,
    alpn: ?[]const u8 = null,
};

/// Why the proxy refuses an edit of a request.
pub const EditError = error{
    /// Not a field name, value or request target that HTTP allows.
    InvalidSyntax,
    /// A field that only the proxy may set.
    Forbidden,
};

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

/// What the proxy knows about its backends. To ask while routing makes that decision uncacheable.
pub const backends = struct {
    pub const State = struct {
        usable_servers: u32 = 1,
        active: u32 = 0,
        queued: u32 = 0,
    };

    /// The load of a backend; none where the proxy's configuration has no such.
    pub fn state(name: []const u8) ?State {
        return proxy.backendState(name);
    }

    pub fn exists(name: []const u8) bool {
        return state(name) != null;
    }

    /// Sees to it, in `configure`, that there is the backend `name`, which the plugin's
    /// configuration has at `key`, as in `rules[0].backend`.
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

/// Ends `configure` or `route` with a text: `return refuse("rules[{d}].suffix: is empty", .{at})`.
/// What stands before the first `: ` is the key that the proxy points at in its file.
pub fn refuse(comptime format: []const u8, arguments: anytype) error{Refused} {
    refusal = std.fmt.allocPrint(allocator(), format, arguments) catch "out of memory";
    return error.Refused;
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
    _ = config;
    _ = testing;
}

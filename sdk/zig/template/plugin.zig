//! Sends clients that have the cookie `canary=1` to a backend of their own.

const std = @import("std");
const pointsman = @import("pointsman");

/// The table `router.config` of the proxy's configuration.
const Config = struct {
    backend: []const u8,
};

pub const Plugin = struct {
    backend: []const u8,

    /// A decision follows from the request alone: the proxy may use it again.
    pub const cacheable = true;

    pub fn configure(config: Config) !Plugin {
        try pointsman.backends.require("backend", config.backend);
        return .{ .backend = config.backend };
    }

    pub fn route(self: *const Plugin, request: *pointsman.Request) !pointsman.Decision {
        const value = request.cookie("canary") orelse return .default_backend;
        if (!std.mem.eql(u8, value, "1")) return .default_backend;
        return pointsman.backend(self.backend);
    }
};

test "the cookie decides" {
    const testing = pointsman.testing;
    var plugin = try testing.configure(Plugin, "{\"backend\": \"a\"}", &.{"a"});
    var head: testing.Head = .{ .headers = &.{.{ .name = "cookie", .value = "canary=1" }} };
    var request = head.request();
    const decision = try plugin.route(&request);
    try std.testing.expectEqualStrings("a", decision.backend);
}

//! Sends clients with the cookie `canary=1` to another backend.

const std = @import("std");
const pointsman = @import("pointsman");

/// The table `router.config` of the proxy's configuration.
const Config = struct {
    backend: []const u8,
};

pub const Plugin = struct {
    /// A question, which the proxy answers by itself: two decisions serve all clients.
    backends: pointsman.questions.Matcher([]const u8),

    /// A decision follows from the answer alone, so the proxy may reuse it.
    pub const cacheable = true;

    /// Once, before any request.
    pub fn configure(config: Config) !Plugin {
        try pointsman.backends.require("backend", config.backend);
        return .{
            .backends = try pointsman.questions.exact([]const u8, "cookie:canary", .{}, &.{
                .{ "1", config.backend },
            }),
        };
    }

    /// For each request that no cached decision covers. Without an answer the next plugin decides,
    /// or the frontend's `default_backend`.
    pub fn route(self: *const Plugin, request: *pointsman.Request) !pointsman.Decision {
        const backend = request.ask(self.backends) orelse return .next;
        return pointsman.backend(backend);
    }
};

test "the cookie decides" {
    const testing = pointsman.testing;
    const plugin = try testing.configure(Plugin, "{\"backend\": \"a\"}", &.{"a"});

    var head: testing.Head = .{ .headers = &.{.{ .name = "cookie", .value = "canary=1" }} };
    var request = head.request();
    const decision = try plugin.route(&request);
    try std.testing.expectEqualStrings("a", decision.backend);
    // Nothing but this answer is part of the key under which a decision is cached.
    try testing.expectList(&.{"exact over cookie:canary"}, head.reads);

    var other: testing.Head = .{};
    var second = other.request();
    try std.testing.expect(try plugin.route(&second) == .next);
}

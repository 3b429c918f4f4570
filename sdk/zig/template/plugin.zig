//! Sends clients with the cookie `canary=1` to a separate backend.

const std = @import("std");
const pointsman = @import("pointsman");

/// The table `router.config` of the proxy's configuration.
const Config = struct {
    backend: []const u8,
};

pub const Plugin = struct {
    /// The proxy answers this question by itself, so two cached decisions serve all clients.
    backends: pointsman.questions.Matcher([]const u8),

    /// A decision depends only on the answer, so the proxy can reuse it.
    pub const cacheable = true;

    /// Called once, before any request.
    pub fn configure(config: Config) !Plugin {
        try pointsman.backends.require("backend", config.backend);
        return .{
            .backends = try pointsman.questions.exact([]const u8, "cookie:canary", .{}, &.{
                .{ "1", config.backend },
            }),
        };
    }

    /// Called for each request that no cached decision covers. If the question has no answer, the
    /// next plugin decides; after the last plugin, the request goes to `default_backend`.
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
    // Only this answer is part of the key under which a decision is cached.
    try testing.expectList(&.{"exact over cookie:canary"}, head.reads);

    var other: testing.Head = .{};
    var second = other.request();
    try std.testing.expect(try plugin.route(&second) == .next);
}

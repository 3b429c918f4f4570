//! Questions about a request under test.

const std = @import("std");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");
const questions = pointsman.questions;

test "a matcher gives the value of the entry that matches" {
    const Case = struct { questions.Match, bool, []const []const u8, []const u8, ?usize };
    const cases = [_]Case{
        .{ .exact, false, &.{ "a", "ab" }, "ab", 1 },
        .{ .exact, false, &.{ "a", "ab" }, "AB", null },
        .{ .exact, true, &.{ "a", "ab" }, "AB", 1 },
        .{ .prefix, false, &.{ "/a", "/ab", "/" }, "/abc", 1 },
        .{ .@"path-prefix", false, &.{ "/a", "/a/b/" }, "/a/b", 1 },
        .{ .@"path-prefix", false, &.{ "/a", "/a/b" }, "/a/bc", 0 },
        .{ .suffix, true, &.{ ".test", "io.test" }, "a.io.TEST", 1 },
        .{ .@"first-suffix", false, &.{ ".test", "io.test" }, "a.io.test", 0 },
        .{ .domain, false, &.{ "test", "io.test" }, "a.IO.test.", 1 },
        .{ .domain, false, &.{"io.test"}, "evilio.test", null },
        .{ .network, false, &.{ "10.0.0.0/8", "10.1.0.0/16", "::/0" }, "10.1.2.3", 1 },
        .{ .network, false, &.{ "10.0.0.0/8", "::1" }, "::1", 1 },
        .{ .network, false, &.{"0.0.0.0/0"}, "x", null },
        .{ .regex, false, &.{ "^b+$", "b" }, "bb", 1 },
    };
    for (cases) |case| {
        const entries = try pointsman.allocator().alloc(questions.Entry(usize), case[2].len);
        for (entries, case[2], 0..) |*entry, text, index| entry.* = .{ text, index };
        const options: questions.Options = .{ .ignore_case = case[1] };
        const asked = switch (case[0]) {
            .exact => try questions.exact(usize, "header:x", options, entries),
            .prefix => try questions.prefix(usize, "header:x", options, entries),
            .@"path-prefix" => try questions.pathPrefix(usize, "header:x", options, entries),
            .suffix => try questions.suffix(usize, "header:x", options, entries),
            .@"first-suffix" => try questions.firstSuffix(usize, "header:x", options, entries),
            .domain => try questions.domain(usize, "header:x", entries),
            .network => try questions.network(usize, "header:x", entries),
            .regex => try questions.regex(usize, "header:x", entries),
        };
        var head: testing.Head = .{ .headers = &.{.{ .name = "X", .value = case[3] }}, .matching = &.{"b"} };
        var request = head.request();
        try std.testing.expectEqual(case[4], request.ask(asked));
        try std.testing.expectEqual(1, head.reads.items.len);
    }
    testing.reset();
}

test "entries with equal values share a number" {
    const names = [_]questions.Entry([]const u8){ .{ "a", "x" }, .{ "b", "y" }, .{ "c", try pointsman.allocator().dupe(u8, "x") } };
    const asked = try questions.exact([]const u8, "host", .{}, &names);
    try std.testing.expectEqual(2, asked.values.len);
    const kinds = try questions.exact(struct { u8, bool }, "host", .{}, &.{
        .{ "a", .{ 1, true } }, .{ "b", .{ 1, false } }, .{ "c", .{ 1, true } },
    });
    try std.testing.expectEqual(2, kinds.values.len);
    testing.reset();
}

test "a match takes the best of all members, an exact one and a value the first" {
    const entries = [_]questions.Entry(u8){ .{ "e", 1 }, .{ "three", 2 }, .{ "o,\"", 3 } };
    var head: testing.Head = .{ .headers = &.{
        .{ .name = "x", .value = "one , \"two,\"" },
        .{ .name = "x", .value = "three" },
    } };
    var request = head.request();
    try std.testing.expectEqual(1, request.ask(try questions.firstSuffix(u8, "values:x", .{}, &entries)));
    try std.testing.expectEqual(2, request.ask(try questions.suffix(u8, "values:x", .{}, &entries)));
    const whole = [_]questions.Entry(u8){ .{ "three", 1 }, .{ "one", 2 } };
    try std.testing.expectEqual(2, request.ask(try questions.exact(u8, "values:x", .{}, &whole)));
    try testing.expectOptional("one", request.ask(try questions.value("values:x")));
    try testing.expectOptional("one , \"two,\"", request.ask(try questions.value("header:x")));
    testing.reset();
}

test "every part has its value" {
    var head: testing.Head = .{
        .path_with_query = "/p?q=%41",
        .headers = &.{ .{ .name = "Host", .value = "A.test:80" }, .{ .name = "cookie", .value = "a=b" } },
        .server_name = "sni.test",
        .body = .{ .prefix = "{\"m\": {\"n~/\": [true, 1.50, \"t\"]}, \"d\": null}" },
    };
    const cases = [_]struct { []const u8, ?[]const u8 }{
        .{ "method", "GET" },             .{ "scheme", "https" },              .{ "authority", "A.test:80" },
        .{ "host", "a.test" },            .{ "path", "/p" },                   .{ "path-with-query", "/p?q=%41" },
        .{ "query:q", "A" },              .{ "query:r", null },                .{ "header:host", "A.test:80" },
        .{ "values:y", null },            .{ "cookie:a", "b" },                .{ "client-address", "127.0.0.1" },
        .{ "server-name", "sni.test" },   .{ "body-json:/m/n~0~1/0", "true" }, .{ "body-json:/m/n~0~1/1", "1.50" },
        .{ "body-json:/m/n~0~1/2", "t" }, .{ "body-json:/m/n~0~1/3", null },   .{ "body-json:/m", null },
        .{ "body-json:/d", null },        .{ "body-json:", null },
    };
    for (cases) |case| {
        var request = head.request();
        try testing.expectOptional(case[1], request.ask(try questions.value(case[0])));
    }
    const bodies = [_]testing.Body{
        .{ .prefix = "{\"d\": 1}", .is_complete = false },
        .{ .prefix = "{\"d\": 1, \"d\": 1}" },
        .{ .prefix = "{\"d\": 1" },
    };
    for (bodies) |body| {
        head.body = body;
        var request = head.request();
        try testing.expectOptional(null, request.ask(try questions.value("body-json:/d")));
    }
    testing.reset();
}

test "shares, tables and backends are those that the test sets" {
    try testing.setBackend("primary", .{});
    try testing.setRow("tenants", "a", "1");
    try testing.setRow("tenants", "a", "2");
    const canary = try questions.share("cookie:session", "canary", 50_000);
    const all = try questions.share("random", "all", 1_000_000);
    const none = try questions.share("random", "canary", 0);
    const tenant = try questions.lookUp("tenants", "header:x-tenant");
    const primary = try questions.usable("primary");
    var head: testing.Head = .{ .shares = &.{"canary"}, .headers = &.{
        .{ .name = "cookie", .value = "session=s" },
        .{ .name = "x-tenant", .value = "a" },
    } };
    var request = head.request();
    try std.testing.expect(request.ask(canary) and request.ask(all) and request.ask(primary));
    try std.testing.expect(!request.ask(none));
    try testing.expectOptional("2", request.ask(tenant));
    try testing.expectList(&.{
        "share over cookie:session", "share over random", "usable primary", "share over random", "look-up tenants[header:x-tenant]",
    }, head.reads);
    // A request without a session is in no share.
    var other: testing.Head = .{ .shares = &.{"canary"}, .headers = &.{.{ .name = "x-tenant", .value = "b" }} };
    var second = other.request();
    try testing.setBackend("primary", .{ .usable_servers = 0 });
    try std.testing.expect(!second.ask(canary) and !second.ask(primary));
    try testing.expectOptional(null, second.ask(tenant));
    testing.reset();
}

test "a definition that makes no sense is an error with a reason" {
    const refused = std.testing.expectError;
    const says = struct {
        fn says(text: []const u8) !void {
            try std.testing.expectEqualStrings(text, pointsman.message(error.Refused));
        }
    }.says;
    const equal = [_]questions.Entry(u8){ .{ "a", 1 }, .{ "A", 2 } };
    _ = try questions.exact(u8, "host", .{}, &equal);
    try refused(error.Refused, questions.exact(u8, "host", .{ .ignore_case = true }, &equal));
    try says("entry 2 repeats entry 1, \"A\"");
    try refused(error.Refused, pointsman.at("rules", questions.network(u8, "client-address", &equal)));
    try says("rules: entry 1, \"a\", is not a network (CIDR)");
    try refused(error.Refused, questions.prefix(u8, "hots", .{}, &.{}));
    try says("\"hots\" is not a part of a request");
    try refused(error.Refused, questions.share("host", "", 1_000_001));
    try says("a share is at most 1000000 per million");
    try refused(error.Refused, questions.lookUp("tenants", "host"));
    try says("there is no table \"tenants\"");
    try refused(error.Refused, questions.usable("primary"));
    try says("there is no backend \"primary\"");
    testing.reset();
}

//! Tests of reads of a request.

const std = @import("std");
const testing = @import("testing.zig");

test "the target splits at its first question mark" {
    const cases = [_]struct { []const u8, []const u8, ?[]const u8 }{
        .{ "/", "/", null },
        .{ "/a?b=c", "/a", "b=c" },
        .{ "/a?", "/a", "" },
        .{ "/?a?b", "/", "a?b" },
        .{ "*", "*", null },
    };
    for (cases) |case| {
        var head: testing.Head = .{ .path_with_query = case[0] };
        var request = head.request();
        try std.testing.expectEqualStrings(case[1], request.path());
        try testing.expectOptional(case[2], request.query());
        try testing.expectList(&.{ "path", "path-with-query" }, head.reads);
    }
}

test "a parameter is decoded" {
    var head: testing.Head = .{ .path_with_query = "/?a=1&b+c=d%20e&a=2&%66=%zz%4&g&=h&i=%e4%C3%9f&j==" };
    var request = head.request();
    const cases = [_]struct { []const u8, ?[]const u8 }{
        .{ "a", "1" },  .{ "b c", "d e" },        .{ "f", "%zz%4" }, .{ "g", "" },
        .{ "", "h" },   .{ "i", "\xe4\xc3\x9f" }, .{ "j", "=" },     .{ "k", null },
        .{ "A", null },
    };
    for (cases) |case| try testing.expectOptional(case[1], request.queryParameter(case[0]));
}

test "a cookie is found among others" {
    var head: testing.Head = .{ .headers = &.{
        .{ .name = "cookie", .value = "ab=1; a=2;a=3" },
        .{ .name = "Cookie", .value = "b=\xff; =x;c ; d=" },
    } };
    var request = head.request();
    const cases = [_]struct { []const u8, ?[]const u8 }{
        .{ "a", "2" },  .{ "ab", "1" }, .{ "A", null },      .{ "b", "\xff" },
        .{ "c", null }, .{ "d", "" },   .{ "cookie", null },
    };
    for (cases) |case| try testing.expectOptional(case[1], request.cookie(case[0]));
}

test "a host has no port" {
    const cases = [_][2][]const u8{
        .{ "A.test:80", "a.test" }, .{ "a.", "a" },           .{ "a.:", "a" },       .{ ":80", "" },
        .{ "", "" },                .{ "[::A]:80", "[::a]" }, .{ "[::1]", "[::1]" }, .{ "[::1", "[::1" },
    };
    for (cases) |case| {
        var head: testing.Head = .{ .headers = &.{.{ .name = "Host", .value = case[0] }} };
        var request = head.request();
        try std.testing.expectEqualStrings(case[0], request.authority());
        try std.testing.expectEqualStrings(case[1], request.host());
    }
    var head: testing.Head = .{ .version = null, .server_name = "sni.test" };
    var request = head.request();
    try std.testing.expectEqualStrings("sni.test", request.host());
    try std.testing.expectEqualStrings("", request.authority());
}

test "every fact of a request can be read" {
    var head: testing.Head = .{
        .method = "PUT",
        .headers = &.{ .{ .name = "X-A", .value = "1" }, .{ .name = "x-a", .value = "\xff" } },
        .client_address = "::1",
        .client_port = 1,
        .server_name = "sni.test",
        .alpn = "h2",
        .client_certificate = .{ .subject = "CN=a", .issuer = "CN=b", .names = &.{"c"}, .serial = "0f", .sha256 = "ff", .not_after = 5 },
        .attempt = 2,
        .body = .{ .prefix = "body", .is_complete = false },
    };
    var request = head.request();
    try std.testing.expectEqualStrings("PUT", request.method());
    try std.testing.expectEqualStrings("https", request.scheme());
    try testing.expectOptional("1.1", request.version());
    try testing.expectOptional("1", request.headerStr("x-A"));
    try std.testing.expectEqual(2, request.headerLines("x-a").len);
    try std.testing.expectEqualStrings("X-A", request.headers()[0].name);
    try std.testing.expectEqualStrings("::1", request.clientAddress());
    try std.testing.expectEqual(1, request.clientPort());
    try testing.expectOptional("sni.test", request.serverName());
    try testing.expectOptional("h2", request.alpn());
    try testing.expectOptional("CN=a", request.clientCertificateSubject());
    try testing.expectOptional("CN=b", request.clientCertificateIssuer());
    try std.testing.expectEqualStrings("c", request.clientCertificateNames()[0]);
    try testing.expectOptional("0f", request.clientCertificateSerial());
    try testing.expectOptional("ff", request.clientCertificateSha256());
    try std.testing.expectEqual(5, request.clientCertificateNotAfter());
    try std.testing.expectEqual(2, request.attempt());
    try testing.expectOptional("body", request.bodyPrefix());
    try std.testing.expect(!request.bodyIsComplete());
    try testing.expectOptional(null, request.header("x-b"));
}

test "any octets can be read" {
    var random = std.Random.DefaultPrng.init(1);
    for (0..2000) |_| {
        var octets: [40]u8 = undefined;
        random.fill(&octets);
        const value = octets[0 .. random.next() % octets.len];
        var head: testing.Head = .{ .path_with_query = value, .headers = &.{
            .{ .name = "host", .value = value },
            .{ .name = "cookie", .value = value },
        } };
        var request = head.request();
        _ = request.cookie(octets[0..1]);
        _ = request.queryParameter(octets[0..1]);
        _ = request.host();
        _ = request.headerStr("host");
        testing.reset();
    }
}

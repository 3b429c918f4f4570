//! The request whose route is being decided.
//!
//! Each read crosses the sandbox, and becomes a part of what a cached decision is kept under;
//! method, target, host and cookies cross once. Values of fields are octets, which need not be UTF-8.

const std = @import("std");
const builtin = @import("builtin");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");

const proxy = if (builtin.target.cpu.arch.isWasm()) @import("wasm.zig") else testing.proxy;

pub const Request = struct {
    handle: proxy.Handle,
    known_method: ?[]const u8 = null,
    known_target: ?[]const u8 = null,
    known_host: ??[]const u8 = null,
    known_cookies: ?[]const []const u8 = null,

    /// As sent, as in `GET`.
    pub fn method(self: *Request) []const u8 {
        if (self.known_method == null) self.known_method = proxy.method(self.handle);
        return self.known_method.?;
    }

    /// `http` or `https`.
    pub fn scheme(self: *Request) []const u8 {
        return proxy.scheme(self.handle);
    }

    /// In origin form, as in `/a?b=c`; `*` for `OPTIONS *`.
    pub fn target(self: *Request) []const u8 {
        if (self.known_target == null) self.known_target = proxy.target(self.handle);
        return self.known_target.?;
    }

    /// The target up to its first `?`. Nothing is decoded.
    pub fn path(self: *Request) []const u8 {
        const whole = self.target();
        return whole[0 .. std.mem.indexOfScalar(u8, whole, '?') orelse whole.len];
    }

    /// What follows the first `?` of the target. Nothing is decoded.
    pub fn query(self: *Request) ?[]const u8 {
        const whole = self.target();
        const mark = std.mem.indexOfScalar(u8, whole, '?') orelse return null;
        return whole[mark + 1 ..];
    }

    /// The first parameter `name` of the query, as forms write it: `+` is a blank, `%41` an `A`, in
    /// names, too. An escape that is none is left as it is.
    pub fn queryParam(self: *Request, name: []const u8) !?[]const u8 {
        var pairs = std.mem.splitScalar(u8, self.query() orelse return null, '&');
        while (pairs.next()) |pair| {
            const equals = std.mem.indexOfScalar(u8, pair, '=') orelse pair.len;
            if (!isDecoded(pair[0..equals], name)) continue;
            return try decoded(pair[@min(equals + 1, pair.len)..]);
        }
        return null;
    }

    /// What the request is for, with its port; none where the client did not say (HTTP/1.0).
    pub fn host(self: *Request) ?[]const u8 {
        if (self.known_host == null) self.known_host = self.header("host");
        return self.known_host.?;
    }

    /// The host without its port: `a` of `a:80`, `[::1]` of `[::1]:80`.
    pub fn hostname(self: *Request) ?[]const u8 {
        return withoutPort(self.host() orelse return null);
    }

    /// The first line of the field `name`, which matches in any case.
    pub fn header(self: *Request, name: []const u8) ?[]const u8 {
        const lines = self.headerLines(name);
        return if (lines.len > 0) lines[0] else null;
    }

    /// The same; none where it is not UTF-8, too.
    pub fn headerStr(self: *Request, name: []const u8) ?[]const u8 {
        const value = self.header(name) orelse return null;
        return if (std.unicode.utf8ValidateSlice(value)) value else null;
    }

    /// Every line of the field `name`, in the order received.
    pub fn headerLines(self: *Request, name: []const u8) []const []const u8 {
        return proxy.header(self.handle, name);
    }

    /// Every field line, names in lower case, lines of one name together.
    pub fn headers(self: *Request) []const pointsman.Field {
        return proxy.headers(self.handle);
    }

    /// The first cookie `name`, whose case counts (RFC 6265, section 4.2).
    pub fn cookie(self: *Request, name: []const u8) ?[]const u8 {
        if (self.known_cookies == null) self.known_cookies = self.headerLines("cookie");
        for (self.known_cookies.?) |line| {
            var pairs = std.mem.splitScalar(u8, line, ';');
            while (pairs.next()) |raw| {
                const pair = std.mem.trim(u8, raw, " \t\r\n\x0c");
                if (pair.len > name.len and pair[name.len] == '=' and
                    std.mem.startsWith(u8, pair, name)) return pair[name.len + 1 ..];
            }
        }
        return null;
    }

    /// The peer that sent the request.
    pub fn client(self: *Request) pointsman.Client {
        return proxy.client(self.handle);
    }

    /// Facts of the TLS session; none for a request in the clear.
    pub fn tls(self: *Request) ?pointsman.Tls {
        return proxy.tls(self.handle);
    }

    /// How many backends were tried before this call.
    pub fn attempt(self: *Request) u32 {
        return proxy.attempt(self.handle);
    }

    /// Replaces every line of the field by one, in what the backend receives.
    pub fn setHeader(self: *Request, name: []const u8, value: []const u8) pointsman.EditError!void {
        return proxy.setHeader(self.handle, name, value);
    }

    /// Adds a line after those that are there. `host`, of which there is one, is forbidden.
    pub fn appendHeader(self: *Request, name: []const u8, value: []const u8) pointsman.EditError!void {
        return proxy.appendHeader(self.handle, name, value);
    }

    /// Removes every line of the field. `host` is forbidden.
    pub fn removeHeader(self: *Request, name: []const u8) pointsman.EditError!void {
        return proxy.removeHeader(self.handle, name);
    }

    /// Sets the target, in origin form.
    pub fn setPathWithQuery(self: *Request, value: []const u8) pointsman.EditError!void {
        return proxy.setPathWithQuery(self.handle, value);
    }
};

/// A host without its port. An address such as `::1`, which must have brackets to be followed by a
/// port, is left as it is.
pub fn withoutPort(value: []const u8) []const u8 {
    if (std.mem.startsWith(u8, value, "[")) {
        const end = (std.mem.indexOfScalar(u8, value, ']') orelse return value) + 1;
        return if (end < value.len and value[end] == ':') value[0..end] else value;
    }
    const colon = std.mem.indexOfScalar(u8, value, ':') orelse return value;
    const again = std.mem.indexOfScalar(u8, value[colon + 1 ..], ':');
    return if (again == null) value[0..colon] else value;
}

/// What a form wrote (application/x-www-form-urlencoded), octet for octet.
const Form = struct {
    rest: []const u8,

    fn next(self: *Form) ?u8 {
        const text = self.rest;
        if (text.len == 0) return null;
        self.rest = text[1..];
        if (text[0] == '+') return ' ';
        if (text[0] != '%' or text.len < 3) return text[0];
        const high = std.fmt.charToDigit(text[1], 16) catch return '%';
        const low = std.fmt.charToDigit(text[2], 16) catch return '%';
        self.rest = text[3..];
        return high << 4 | low;
    }
};

/// Whether `name` is what a form wrote. Nothing is copied: a client may send many.
fn isDecoded(text: []const u8, name: []const u8) bool {
    var form: Form = .{ .rest = text };
    for (name) |octet| if (form.next() != octet) return false;
    return form.rest.len == 0;
}

fn decoded(text: []const u8) ![]const u8 {
    const octets = try pointsman.allocator().alloc(u8, text.len);
    var form: Form = .{ .rest = text };
    var length: usize = 0;
    while (form.next()) |octet| : (length += 1) octets[length] = octet;
    return octets[0..length];
}

test "the target splits at its first question mark" {
    const cases = [_]struct { []const u8, []const u8, ?[]const u8 }{
        .{ "/", "/", null },
        .{ "/a?b=c", "/a", "b=c" },
        .{ "/a?", "/a", "" },
        .{ "/?a?b", "/", "a?b" },
        .{ "*", "*", null },
    };
    for (cases) |case| {
        var head: testing.Head = .{ .target = case[0] };
        var request = head.request();
        try std.testing.expectEqualStrings(case[1], request.path());
        try testing.expectOptional(case[2], request.query());
    }
}

test "a parameter is decoded" {
    var head: testing.Head = .{ .target = "/?a=1&b+c=d%20e&a=2&%66=%zz%4&g&=h&i=%e4%C3%9f&j==" };
    var request = head.request();
    const cases = [_]struct { []const u8, ?[]const u8 }{
        .{ "a", "1" },  .{ "b c", "d e" },        .{ "f", "%zz%4" }, .{ "g", "" },
        .{ "", "h" },   .{ "i", "\xe4\xc3\x9f" }, .{ "j", "=" },     .{ "k", null },
        .{ "A", null },
    };
    for (cases) |case| try testing.expectOptional(case[1], try request.queryParam(case[0]));
}

test "a cookie is found among others" {
    var head: testing.Head = .{ .headers = &.{
        .{ .name = "cookie", .value = "ab=1; a=2;a=3" },
        .{ .name = "cookie", .value = "b=\xff; =x;c ; d=" },
    } };
    var request = head.request();
    const cases = [_]struct { []const u8, ?[]const u8 }{
        .{ "a", "2" },  .{ "ab", "1" }, .{ "A", null },      .{ "b", "\xff" },
        .{ "c", null }, .{ "d", "" },   .{ "cookie", null },
    };
    for (cases) |case| try testing.expectOptional(case[1], request.cookie(case[0]));
}

test "a port is no part of a hostname" {
    const cases = [_][2][]const u8{
        .{ "a", "a" },                     .{ "a:80", "a" },        .{ "a:", "a" },
        .{ ":80", "" },                    .{ "", "" },             .{ "[::1]", "[::1]" },
        .{ "[::1]:80", "[::1]" },          .{ "[::1]x", "[::1]x" }, .{ "[::1", "[::1" },
        .{ "2001:db8::1", "2001:db8::1" },
    };
    for (cases) |case| try std.testing.expectEqualStrings(case[1], withoutPort(case[0]));
}

test "any octets can be read" {
    var random = std.Random.DefaultPrng.init(1);
    for (0..2000) |_| {
        var octets: [40]u8 = undefined;
        random.fill(&octets);
        const value = octets[0 .. random.next() % octets.len];
        var head: testing.Head = .{ .target = value, .headers = &.{
            .{ .name = "host", .value = value },
            .{ .name = "cookie", .value = value },
        } };
        var request = head.request();
        _ = request.cookie(octets[0..1]);
        _ = try request.queryParam(octets[0..1]);
        _ = request.hostname();
        _ = request.headerStr("host");
        testing.reset();
    }
}

//! Splits field lines into values, and values into parts. Works on octets, and copies nothing.

const std = @import("std");

/// Returns the value without surrounding blanks.
pub fn trim(value: []const u8) []const u8 {
    return std.mem.trim(u8, value, " \t\r\n\x0c");
}

/// Iterates over the values of a line that is a comma-separated list. A comma inside a quoted
/// string does not separate values (RFC 9110, section 5.6.1).
pub const Values = struct {
    rest: ?[]const u8,

    pub fn next(self: *Values) ?[]const u8 {
        const line = self.rest orelse return null;
        const end = comma(line);
        self.rest = if (end) |at| line[at + 1 ..] else null;
        return trim(line[0 .. end orelse line.len]);
    }
};

/// Returns the position of the first comma outside of quotes.
fn comma(line: []const u8) ?usize {
    var quoted = false;
    var at: usize = 0;
    while (at < line.len) : (at += 1) switch (line[at]) {
        '"' => quoted = !quoted,
        '\\' => at += if (quoted) 1 else 0,
        ',' => if (!quoted) return at,
        else => {},
    };
    return null;
}

/// Returns a host without its port: `a` for `a:80`, `[::1]` for `[::1]:80`. An address such as
/// `::1` stays as it is, since it needs brackets before a port.
pub fn withoutPort(value: []const u8) []const u8 {
    if (std.mem.startsWith(u8, value, "[")) {
        const end = (std.mem.indexOfScalar(u8, value, ']') orelse return value) + 1;
        return if (end < value.len and value[end] == ':') value[0..end] else value;
    }
    const colon = std.mem.indexOfScalar(u8, value, ':') orelse return value;
    const again = std.mem.indexOfScalar(u8, value[colon + 1 ..], ':');
    return if (again == null) value[0..colon] else value;
}

/// Reports whether `suffix` starts at a label of `value`, which must end with `suffix`.
pub fn startsLabel(value: []const u8, suffix: []const u8) bool {
    return suffix[0] == '.' or value.len == suffix.len or value[value.len - suffix.len - 1] == '.';
}

/// Reports whether `name` is a token (RFC 9110, section 5.6.2).
pub fn isToken(name: []const u8) bool {
    for (name) |octet| {
        const mark = std.mem.indexOfScalar(u8, "!#$%&'*+-.^_`|~", octet) != null;
        if (!mark and !std.ascii.isAlphanumeric(octet)) return false;
    }
    return name.len > 0;
}

test "a list is split at commas outside of quotes" {
    const cases = [_]struct { []const u8, []const []const u8 }{
        .{ "", &.{""} },
        .{ " a ,b\t,", &.{ "a", "b", "" } },
        .{ "\"a,b\",c", &.{ "\"a,b\"", "c" } },
        .{ "\"a\\\",b\",c", &.{ "\"a\\\",b\"", "c" } },
        .{ "\"a,b", &.{"\"a,b"} },
        .{ "\"a,b\\", &.{"\"a,b\\"} },
        .{ "\xff,\xfe", &.{ "\xff", "\xfe" } },
    };
    for (cases) |case| {
        var values: Values = .{ .rest = case[0] };
        for (case[1]) |expected| try std.testing.expectEqualStrings(expected, values.next().?);
        try std.testing.expectEqual(null, values.next());
    }
}

test "a port is no part of a host" {
    const cases = [_][2][]const u8{
        .{ "a", "a" },                     .{ "a:80", "a" },        .{ "a:", "a" },
        .{ ":80", "" },                    .{ "", "" },             .{ "[::1]", "[::1]" },
        .{ "[::1]:80", "[::1]" },          .{ "[::1]x", "[::1]x" }, .{ "[::1", "[::1" },
        .{ "2001:db8::1", "2001:db8::1" },
    };
    for (cases) |case| try std.testing.expectEqualStrings(case[1], withoutPort(case[0]));
}

//! The parts of a request under test: a simple version of the proxy's code.

const std = @import("std");
const testing = @import("testing.zig");

const Handle = *testing.Head;

/// Reports whether `over` names a part.
pub fn isPart(over: []const u8) bool {
    const singles = [_][]const u8{
        "method", "scheme", "authority", "host", "path", "path-with-query", "client-address", "server-name",
    };
    const kinds = [_][]const u8{ "query:", "header:", "values:", "cookie:", "body-json:" };
    for (singles) |name| if (std.mem.eql(u8, over, name)) return true;
    for (kinds) |kind| if (std.mem.startsWith(u8, over, kind)) return true;
    return false;
}

/// Returns the values of a part: any number for a field, otherwise one or none.
pub fn values(head: Handle, over: []const u8) []const []const u8 {
    if (after(over, "header:")) |name| return lines(head, name);
    if (after(over, "values:")) |name| return members(head, name);
    const found = single(head, over) orelse return &.{};
    const one = testing.allocator().alloc([]const u8, 1) catch @panic("out of memory");
    one[0] = found;
    return one;
}

fn single(head: Handle, over: []const u8) ?[]const u8 {
    if (after(over, "query:")) |name| return queryParameter(head, name);
    if (after(over, "cookie:")) |name| return cookie(head, name);
    if (after(over, "body-json:")) |pointer| return bodyMember(head, pointer);
    const Name = enum { method, scheme, authority, host, path, @"path-with-query", @"client-address", @"server-name" };
    return switch (std.meta.stringToEnum(Name, over) orelse return null) {
        .method => head.method,
        .scheme => scheme(head),
        .authority => authority(head),
        .host => host(head),
        .path => path(head),
        .@"path-with-query" => head.path_with_query,
        .@"client-address" => head.client_address,
        .@"server-name" => head.server_name,
    };
}

fn after(over: []const u8, kind: []const u8) ?[]const u8 {
    return if (std.mem.startsWith(u8, over, kind)) over[kind.len..] else null;
}

fn trim(value: []const u8) []const u8 {
    return std.mem.trim(u8, value, " \t");
}

pub fn scheme(head: Handle) []const u8 {
    const has_tls = head.server_name != null or head.alpn != null or head.client_certificate != null;
    return head.scheme orelse if (has_tls) "https" else "http";
}

pub fn authority(head: Handle) []const u8 {
    const hosts = lines(head, "host");
    return if (hosts.len > 0) hosts[0] else "";
}

pub fn host(head: Handle) []const u8 {
    const whole = if (head.version == null) head.server_name orelse "" else authority(head);
    const end = if (std.mem.startsWith(u8, whole, "["))
        (std.mem.indexOfScalar(u8, whole, ']') orelse whole.len - 1) + 1
    else
        std.mem.indexOfScalar(u8, whole, ':') orelse whole.len;
    const name = if (std.mem.endsWith(u8, whole[0..end], ".")) whole[0 .. end - 1] else whole[0..end];
    return std.ascii.allocLowerString(testing.allocator(), name) catch @panic("out of memory");
}

pub fn path(head: Handle) []const u8 {
    const whole = head.path_with_query;
    return whole[0 .. std.mem.indexOfScalar(u8, whole, '?') orelse whole.len];
}

pub fn queryParameter(head: Handle, name: []const u8) ?[]const u8 {
    const whole = head.path_with_query;
    const mark = std.mem.indexOfScalar(u8, whole, '?') orelse return null;
    var pairs = std.mem.splitScalar(u8, whole[mark + 1 ..], '&');
    while (pairs.next()) |pair| {
        const equals = std.mem.indexOfScalar(u8, pair, '=') orelse pair.len;
        if (!std.mem.eql(u8, decoded(pair[0..equals]), name)) continue;
        return decoded(pair[@min(equals + 1, pair.len)..]);
    }
    return null;
}

/// Decodes form data: `+` is a space, and `%XX` an octet. An invalid escape stays as it is.
fn decoded(text: []const u8) []const u8 {
    const octets = testing.allocator().dupe(u8, text) catch @panic("out of memory");
    var length: usize = 0;
    var at: usize = 0;
    while (at < text.len) : (length += 1) {
        const escaped = if (text[at] == '%' and text.len - at > 2)
            std.fmt.parseInt(u8, text[at + 1 .. at + 3], 16) catch null
        else
            null;
        octets[length] = escaped orelse if (text[at] == '+') ' ' else text[at];
        at += if (escaped != null) 3 else 1;
    }
    return octets[0..length];
}

pub fn cookie(head: Handle, name: []const u8) ?[]const u8 {
    for (lines(head, "cookie")) |line| {
        var pairs = std.mem.splitScalar(u8, line, ';');
        while (pairs.next()) |raw| {
            const pair = trim(raw);
            if (pair.len > name.len and pair[name.len] == '=' and
                std.mem.startsWith(u8, pair, name)) return pair[name.len + 1 ..];
        }
    }
    return null;
}

/// Returns the lines of a field.
pub fn lines(head: Handle, name: []const u8) []const []const u8 {
    var found: std.ArrayList([]const u8) = .empty;
    for (head.headers) |field| if (std.ascii.eqlIgnoreCase(field.name, name)) {
        found.append(testing.allocator(), field.value) catch @panic("out of memory");
    };
    return found.items;
}

/// Returns the members of a field that is a list.
fn members(head: Handle, name: []const u8) []const []const u8 {
    var found: std.ArrayList([]const u8) = .empty;
    for (lines(head, name)) |line| {
        var start: usize = 0;
        while (start <= line.len) {
            const end = start + (comma(line[start..]) orelse line.len - start);
            found.append(testing.allocator(), trim(line[start..end])) catch @panic("out of memory");
            start = end + 1;
        }
    }
    return found.items;
}

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

/// Returns a member of the body. Unlike in the proxy, there is no answer if any object of the body
/// has duplicate members.
fn bodyMember(head: Handle, pointer: []const u8) ?[]const u8 {
    const body = head.body orelse return null;
    const codings = lines(head, "content-encoding");
    if (!body.is_complete or (codings.len > 0 and !std.ascii.eqlIgnoreCase(codings[0], "identity"))) return null;
    const options: std.json.ParseOptions = .{ .parse_numbers = false };
    var value = std.json.parseFromSliceLeaky(std.json.Value, testing.allocator(), body.prefix, options) catch return null;
    var tokens = std.mem.splitScalar(u8, pointer, '/');
    // The text before the first `/` is empty.
    _ = tokens.next();
    while (tokens.next()) |token| value = child(value, token) orelse return null;
    return switch (value) {
        .string, .number_string => |text| text,
        .bool => |is_true| if (is_true) "true" else "false",
        else => null,
    };
}

fn child(value: std.json.Value, token: []const u8) ?std.json.Value {
    const memory = testing.allocator();
    const slashes = std.mem.replaceOwned(u8, memory, token, "~1", "/") catch @panic("out of memory");
    const key = std.mem.replaceOwned(u8, memory, slashes, "~0", "~") catch @panic("out of memory");
    switch (value) {
        .object => |object| return object.get(key),
        .array => |list| {
            const index = std.fmt.parseInt(usize, key, 10) catch return null;
            return if (index < list.items.len) list.items[index] else null;
        },
        else => return null,
    }
}

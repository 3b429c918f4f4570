//! Deserialization of a plugin's configuration, which the proxy passes as JSON, into the plugin's
//! struct.
//!
//! Owns the form of errors, `rules[0].suffix: message`: the proxy points at that key in its
//! configuration file. Supports strings, booleans, numbers, enums, optionals, slices and structs,
//! whose fields can have defaults. A type can declare `fromJson(value, path)` to define how it is
//! read.

const std = @import("std");
const pointsman = @import("pointsman.zig");

pub const Value = std.json.Value;
pub const Error = error{ Refused, OutOfMemory };

/// The path of a value, as in `rules[0].suffix`.
pub const Path = struct {
    above: ?*const Path = null,
    part: union(enum) { root, key: []const u8, index: usize } = .root,

    pub fn key(self: *const Path, last: []const u8) Path {
        return .{ .above = self, .part = .{ .key = last } };
    }

    pub fn index(self: *const Path, at: usize) Path {
        return .{ .above = self, .part = .{ .index = at } };
    }

    /// Returns an error about the value at this path.
    pub fn refuse(self: *const Path, comptime format: []const u8, arguments: anytype) Error {
        const text = try std.fmt.allocPrint(pointsman.allocator(), format, arguments);
        const place = try self.name();
        if (place.len == 0) return pointsman.refuse("{s}", .{text});
        return pointsman.refuse("{s}: {s}", .{ place, text });
    }

    pub fn name(self: *const Path) Error![]const u8 {
        const above = if (self.above) |above| try above.name() else "";
        const memory = pointsman.allocator();
        return switch (self.part) {
            .root => "",
            .index => |at| std.fmt.allocPrint(memory, "{s}[{d}]", .{ above, at }),
            .key => |last| if (above.len == 0)
                last
            else
                std.fmt.allocPrint(memory, "{s}.{s}", .{ above, last }),
        };
    }
};

/// Reads JSON as a `T`.
pub fn parse(comptime T: type, json: []const u8) Error!T {
    const options: std.json.ParseOptions = .{ .allocate = .alloc_always };
    const value = std.json.parseFromSliceLeaky(Value, pointsman.allocator(), json, options) catch |reason|
        return pointsman.refuse("the configuration is no JSON: {s}", .{@errorName(reason)});
    return read(T, value, &.{});
}

/// Reads the value at `path` as a `T`.
pub fn read(comptime T: type, value: Value, path: *const Path) Error!T {
    switch (@typeInfo(T)) {
        .@"struct" => {
            if (@hasDecl(T, "fromJson")) return T.fromJson(value, path);
            return table(T, value, path);
        },
        .optional => |info| return if (value == .null) null else try read(info.child, value, path),
        .@"enum" => {
            if (value != .string) return wrong(value, "a text", path);
            return std.meta.stringToEnum(T, value.string) orelse {
                const names = comptime std.meta.fieldNames(T);
                const all = try std.mem.join(pointsman.allocator(), ", ", names);
                return path.refuse("must be one of {s}", .{all});
            };
        },
        .bool => return if (value == .bool) value.bool else wrong(value, "true or false", path),
        .int => {
            if (value != .integer) return wrong(value, "a whole number", path);
            return std.math.cast(T, value.integer) orelse
                path.refuse("{d} is out of bounds", .{value.integer});
        },
        .float => return switch (value) {
            .float => |number| @floatCast(number),
            .integer => |number| @floatFromInt(number),
            else => wrong(value, "a number", path),
        },
        .pointer => |info| {
            if (info.child == u8) {
                return if (value == .string) value.string else wrong(value, "a text", path);
            }
            if (value != .array) return wrong(value, "a list", path);
            const items = try pointsman.allocator().alloc(info.child, value.array.items.len);
            for (items, value.array.items, 0..) |*item, raw, at| {
                item.* = try read(info.child, raw, &path.index(at));
            }
            return items;
        },
        else => @compileError(@typeName(T) ++ " cannot be read from JSON: declare fromJson"),
    }
}

fn table(comptime T: type, value: Value, path: *const Path) Error!T {
    if (value != .object) return wrong(value, "a table", path);
    const info = @typeInfo(T).@"struct";
    var entries = value.object.iterator();
    next: while (entries.next()) |entry| {
        inline for (info.field_names) |name| {
            if (std.mem.eql(u8, name, entry.key_ptr.*)) continue :next;
        }
        return path.key(entry.key_ptr.*).refuse("unknown key", .{});
    }
    var found: T = undefined;
    inline for (info.field_names, info.field_types, info.field_attrs) |name, Type, attributes| {
        if (value.object.get(name)) |raw| {
            @field(found, name) = try read(Type, raw, &path.key(name));
        } else if (attributes.defaultValue(Type)) |default| {
            @field(found, name) = default;
        } else {
            return path.refuse("missing key \"{s}\"", .{name});
        }
    }
    return found;
}

/// Returns the error for a value that is not of the type `expected`.
pub fn wrong(value: Value, expected: []const u8, path: *const Path) Error {
    const found = switch (value) {
        .null => "nothing",
        .bool => "true or false",
        .integer, .float, .number_string => "a number",
        .string => "a text",
        .array => "a list",
        .object => "a table",
    };
    return path.refuse("must be {s}, is {s}", .{ expected, found });
}

test "a configuration becomes a struct" {
    const Rule = struct { suffix: []const u8, weight: f32 = 1, port: ?u16 = null, kind: enum { any, all } = .any };
    const Config = struct { rules: []const Rule, on: bool = true };
    const found = try parse(Config,
        \\{"rules":[{"suffix":"a"},{"suffix":"b","weight":2,"port":80}],"on":false}
    );
    try std.testing.expectEqual(2, found.rules.len);
    try std.testing.expectEqualStrings("b", found.rules[1].suffix);
    try std.testing.expectEqual(2.0, found.rules[1].weight);
    try std.testing.expectEqual(80, found.rules[1].port);
    try std.testing.expect(!found.on);

    const cases = [_][2][]const u8{
        .{ "{}", "missing key \"rules\"" },
        .{ "{\"rules\":5}", "rules: must be a list, is a number" },
        .{ "{\"rules\":[{}]}", "rules[0]: missing key \"suffix\"" },
        .{ "{\"rules\":[5]}", "rules[0]: must be a table, is a number" },
        .{ "{\"rules\":[{\"suffix\":5}]}", "rules[0].suffix: must be a text, is a number" },
        .{ "{\"rules\":[{\"suffix\":\"a\",\"port\":65536}]}", "rules[0].port: 65536 is out of bounds" },
        .{ "{\"rules\":[{\"sufix\":\"a\"}]}", "rules[0].sufix: unknown key" },
        .{ "{\"rules\":[{\"suffix\":\"a\",\"kind\":\"al\"}]}", "rules[0].kind: must be one of any, all" },
        .{ "{\"rules\":[{\"suffix\":\"a\",\"kind\":5}]}", "rules[0].kind: must be a text, is a number" },
        .{ "{\"rules\":[],\"rule\":[]}", "rule: unknown key" },
        .{ "{\"rules\":[],\"on\":1}", "on: must be true or false, is a number" },
        .{ "[", "the configuration is no JSON: UnexpectedEndOfInput" },
    };
    for (cases) |case| {
        try std.testing.expectError(error.Refused, parse(Config, case[0]));
        try std.testing.expectEqualStrings(case[1], pointsman.message(error.Refused));
    }
}

test "a plugin without options has none" {
    _ = try parse(struct {}, "{}");
    try std.testing.expectError(error.Refused, parse(struct {}, "{\"a\":{}}"));
    try std.testing.expectEqualStrings("a: unknown key", pointsman.message(error.Refused));
}

test "any octets can be parsed" {
    const Config = struct { a: []const u8 = "", b: []const u32 = &.{}, c: ?f64 = null };
    const letters = "{}[]\":,abc019.-+eE\\u \xff\x00tn";
    var random = std.Random.DefaultPrng.init(1);
    var json: [60]u8 = undefined;
    for (0..5000) |_| {
        for (&json) |*octet| octet.* = letters[random.next() % letters.len];
        if (parse(Config, json[0 .. random.next() % json.len])) |_| {} else |reason| {
            try std.testing.expectEqual(error.Refused, reason);
        }
        pointsman.testing.reset();
    }
}

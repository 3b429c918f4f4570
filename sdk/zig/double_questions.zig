//! Questions about a request under test: the functions of `wasm_questions.zig`.

const std = @import("std");
const pointsman = @import("pointsman.zig");
const testing = @import("testing.zig");
const parts = @import("double_parts.zig");
const double = @import("double.zig");
const Match = pointsman.questions.Match;

const Handle = *testing.Head;
const Error = error{ Refused, OutOfMemory };
const Network = @import("double_network.zig").Network;

pub const Entry = struct {
    text: []const u8,
    number: u32,

    pub fn init(text: []const u8, number: u32) Entry {
        return .{ .text = text, .number = number };
    }
};

const Question = union(enum) {
    matcher: struct { match: Match, over: []const u8, ignore_case: bool, entries: []const Entry },
    share: struct { over: []const u8, salt: []const u8, per_million: u32 },
    usable: []const u8,
    look_up: struct { table: []const u8, over: []const u8 },
    value: []const u8,
};

var defined: std.ArrayList(Question) = .empty;

pub fn clear() void {
    defined = .empty;
}

pub fn matcher(comptime match: Match, over: []const u8, ignore_case: bool, entries: []const Entry) Error!u32 {
    try checkPart(over);
    for (entries, 1..) |entry, number| {
        for (entries[0 .. number - 1], 1..) |before, other| {
            if (!isEqual(before.text, entry.text, ignore_case)) continue;
            return pointsman.refuse("entry {d} repeats entry {d}, \"{s}\"", .{ number, other, entry.text });
        }
        if (match == .network and Network.parse(entry.text) == null) {
            return pointsman.refuse("entry {d}, \"{s}\", is not a network (CIDR)", .{ number, entry.text });
        }
    }
    return add(.{ .matcher = .{ .match = match, .over = over, .ignore_case = ignore_case, .entries = entries } });
}

pub fn share(over: []const u8, salt: []const u8, per_million: u32) Error!u32 {
    if (!std.mem.eql(u8, over, "random")) try checkPart(over);
    if (per_million > 1_000_000) return pointsman.refuse("a share is at most 1000000 per million", .{});
    return add(.{ .share = .{ .over = over, .salt = salt, .per_million = per_million } });
}

pub fn lookUp(table: []const u8, over: []const u8) Error!u32 {
    try checkPart(over);
    for (testing.rows.items) |row| if (std.mem.eql(u8, row.table, table)) {
        return add(.{ .look_up = .{ .table = table, .over = over } });
    };
    return pointsman.refuse("there is no table \"{s}\"", .{table});
}

pub fn value(over: []const u8) Error!u32 {
    try checkPart(over);
    return add(.{ .value = over });
}

pub fn usable(backend: []const u8) Error!u32 {
    if (testing.find(backend) == null) return pointsman.refuse("there is no backend \"{s}\"", .{backend});
    return add(.{ .usable = backend });
}

fn add(question: Question) Error!u32 {
    try defined.append(testing.allocator(), question);
    return @intCast(defined.items.len - 1);
}

fn checkPart(over: []const u8) Error!void {
    if (!parts.isPart(over)) return pointsman.refuse("\"{s}\" is not a part of a request", .{over});
}

pub fn ask(head: Handle, id: u32) ?u32 {
    switch (find(id)) {
        .matcher => |asked| {
            double.note(head, "{s} over {s}", .{ @tagName(asked.match), asked.over });
            return best(head, asked);
        },
        .share => |asked| {
            double.note(head, "share over {s}", .{asked.over});
            const found = parts.values(head, asked.over);
            const is_random = std.mem.eql(u8, asked.over, "random");
            if (!is_random and (found.len == 0 or found[0].len == 0)) return null;
            var is_in = asked.per_million == 1_000_000;
            for (head.shares) |salt| is_in = is_in or std.mem.eql(u8, salt, asked.salt);
            return if (is_in and asked.per_million > 0) 1 else null;
        },
        .usable => |name| {
            double.note(head, "usable {s}", .{name});
            const backend = testing.find(name) orelse return null;
            return if (backend.state.usable_servers > 0) 1 else null;
        },
        else => @panic("a question of another kind was asked"),
    }
}

pub fn askValue(head: Handle, id: u32) ?[]const u8 {
    switch (find(id)) {
        .value => |over| {
            double.note(head, "value over {s}", .{over});
            return first(head, over);
        },
        .look_up => |asked| {
            double.note(head, "look-up {s}", .{describe(id)});
            const key = first(head, asked.over) orelse return null;
            var found: ?[]const u8 = null;
            for (testing.rows.items) |row| {
                if (std.mem.eql(u8, row.table, asked.table) and std.mem.eql(u8, row.key, key)) found = row.value;
            }
            return found;
        },
        else => @panic("a question of another kind was asked"),
    }
}

/// Returns the name of a question whose answer is a value: `cookie:session` or
/// `tenants[cookie:session]`.
pub fn describe(id: u32) []const u8 {
    return switch (find(id)) {
        .value => |over| over,
        .look_up => |asked| std.fmt.allocPrint(testing.allocator(), "{s}[{s}]", .{ asked.table, asked.over }) catch
            @panic("out of memory"),
        else => @panic("a question of another kind was asked"),
    };
}

fn find(id: u32) Question {
    if (id >= defined.items.len) @panic("a question was asked that is not defined");
    return defined.items[id];
}

fn first(head: Handle, over: []const u8) ?[]const u8 {
    const found = parts.values(head, over);
    return if (found.len > 0) found[0] else null;
}

/// Returns the number of the best entry, over all values of the part.
fn best(head: Handle, asked: @FieldType(Question, "matcher")) ?u32 {
    var found: ?usize = null;
    for (parts.values(head, asked.over)) |text| {
        for (asked.entries, 0..) |entry, index| {
            if (!matches(head, asked.match, asked.ignore_case, entry.text, text)) continue;
            const is_better = if (found) |before| switch (asked.match) {
                .exact => false,
                .@"first-suffix", .regex => index < before,
                .network => Network.parse(entry.text).?.bits > Network.parse(asked.entries[before].text).?.bits,
                else => entry.text.len > asked.entries[before].text.len,
            } else true;
            if (is_better) found = index;
        }
    }
    return if (found) |index| asked.entries[index].number else null;
}

fn matches(head: Handle, match: Match, ignore_case: bool, whole: []const u8, whole_text: []const u8) bool {
    const text = if (match == .domain) without(whole_text, '.') else whole_text;
    const entry = switch (match) {
        .domain => without(whole, '.'),
        .@"path-prefix" => without(whole, '/'),
        else => whole,
    };
    switch (match) {
        .network => return Network.parse(entry).?.contains(text),
        .regex => {
            for (head.matching) |expression| if (std.mem.eql(u8, expression, entry)) return true;
            return false;
        },
        else => if (entry.len > text.len) return false,
    }
    const rest = text.len - entry.len;
    const is_start = isEqual(text[0..entry.len], entry, ignore_case);
    const is_end = isEqual(text[rest..], entry, ignore_case);
    return switch (match) {
        .exact => rest == 0 and is_start,
        .prefix => is_start,
        .@"path-prefix" => is_start and (rest == 0 or text[entry.len] == '/'),
        .domain => is_end and (rest == 0 or text[rest - 1] == '.'),
        else => is_end,
    };
}

fn without(text: []const u8, last: u8) []const u8 {
    return if (text.len > 0 and text[text.len - 1] == last) text[0 .. text.len - 1] else text;
}

fn isEqual(a: []const u8, b: []const u8, ignore_case: bool) bool {
    return if (ignore_case) std.ascii.eqlIgnoreCase(a, b) else std.mem.eql(u8, a, b);
}

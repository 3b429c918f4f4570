//! Questions about a request, which the proxy answers by itself.
//!
//! Define them in `configure`, ask them in `route` with `request.ask`. The proxy answers natively,
//! once for each request, and keeps decisions under the answers: one decision serves every request
//! with the same answers.
//!
//! `over` names the part of the request that a question is about: `method`, `scheme`, `authority`,
//! `host`, `path`, `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each
//! member of a comma-separated list, quotes respected), `cookie:NAME`, `client-address`,
//! `server-name`, or `body-json:POINTER` (RFC 6901). Of several lines or members a match takes the
//! best of all, `exact` the first that matches, a share or a look-up the first. Case means ASCII
//! case.
//!
//! A definition that makes no sense is an error with the proxy's reason as its text;
//! `pointsman.at` names the key of the configuration that it comes from.

const std = @import("std");
const builtin = @import("builtin");
const pointsman = @import("pointsman.zig");

const proxy = if (builtin.target.cpu.arch.isWasm())
    @import("wasm_questions.zig")
else
    @import("double_questions.zig");
const Handle = if (builtin.target.cpu.arch.isWasm()) i32 else *pointsman.testing.Head;

pub const Error = error{ Refused, OutOfMemory };

/// How a matcher compares: the names of the contract.
pub const Match = enum { exact, prefix, @"path-prefix", suffix, @"first-suffix", domain, network, regex };

/// An entry of a matcher, and the value that it stands for.
pub fn Entry(comptime T: type) type {
    return struct { []const u8, T };
}

pub const Options = struct { ignore_case: bool = false };

/// Which entry matches a part of the request: `request.ask` gives that entry's value, or null.
/// Entries with equal values share cached decisions. Texts are compared by their octets, values of
/// other types as keys of `std.AutoHashMap` are.
pub fn Matcher(comptime T: type) type {
    return struct {
        id: u32,
        values: []const T,

        pub const Answer = ?T;

        pub fn answer(self: @This(), handle: Handle) ?T {
            const number = proxy.ask(handle, self.id) orelse return null;
            return self.values[number - 1];
        }
    };
}

/// Whether something is so: `request.ask` gives a bool.
pub const YesOrNo = struct {
    id: u32,

    pub const Answer = bool;

    pub fn answer(self: YesOrNo, handle: Handle) bool {
        return proxy.ask(handle, self.id) != null;
    }
};

/// A value that the proxy finds: `request.ask` gives it, or null. `request.setHeaderBy`,
/// `setAffinityBy` and `tagBy` use it without asking, so that it is no part of the key under which
/// the decision is cached.
pub const Value = struct {
    id: u32,

    pub const Answer = ?[]const u8;

    pub fn answer(self: Value, handle: Handle) ?[]const u8 {
        return proxy.askValue(handle, self.id);
    }
};

/// The entry that is the whole part.
pub fn exact(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .exact, over, options, entries);
}

/// The longest entry that the part begins with.
pub fn prefix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .prefix, over, options, entries);
}

/// The same, ending at a `/` or at the end; a `/` at an entry's end is ignored.
pub fn pathPrefix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .@"path-prefix", over, options, entries);
}

/// The longest entry that the part ends with.
pub fn suffix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .suffix, over, options, entries);
}

/// The first entry, in the order given, that the part ends with.
pub fn firstSuffix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .@"first-suffix", over, options, entries);
}

/// The longest entry that the part, a host name, equals or is a subdomain of.
pub fn domain(comptime T: type, over: []const u8, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .domain, over, .{ .ignore_case = true }, entries);
}

/// The smallest network (CIDR) that contains the part, an address.
pub fn network(comptime T: type, over: []const u8, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .network, over, .{ .ignore_case = true }, entries);
}

/// The first regular expression, in the order given, that matches: on bytes, unanchored, in the
/// syntax of Rust's crate `regex`.
pub fn regex(comptime T: type, over: []const u8, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .regex, over, .{}, entries);
}

/// Whether the request is in a share of `per_million`. Equal parts and salts are always in the same
/// share; a larger share contains a smaller one; a part that is absent or empty is in none. `over`
/// may also be `random`: drawn once per request, so that equal salts agree.
pub fn share(over: []const u8, salt: []const u8, per_million: u32) Error!YesOrNo {
    return .{ .id = try proxy.share(over, salt, per_million) };
}

/// Whether a backend has a usable server. Answered anew at each attempt.
pub fn usable(backend: []const u8) Error!YesOrNo {
    return .{ .id = try proxy.usable(backend) };
}

/// The value in the operator's table under the part as key.
pub fn lookUp(table: []const u8, over: []const u8) Error!Value {
    return .{ .id = try proxy.lookUp(table, over) };
}

/// The part itself.
pub fn value(over: []const u8) Error!Value {
    return .{ .id = try proxy.value(over) };
}

/// Numbers the distinct values from 1, in the order in which they come.
fn matcher(comptime T: type, comptime match: Match, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    const memory = pointsman.allocator();
    var numbers: if (T == []const u8) std.StringHashMapUnmanaged(u32) else std.AutoHashMapUnmanaged(T, u32) = .empty;
    var values: std.ArrayList(T) = .empty;
    const numbered = try memory.alloc(proxy.Entry, entries.len);
    for (numbered, entries) |*to, from| {
        const known = try numbers.getOrPut(memory, from[1]);
        if (!known.found_existing) {
            try values.append(memory, from[1]);
            known.value_ptr.* = @intCast(values.items.len);
        }
        to.* = .init(from[0], known.value_ptr.*);
    }
    const id = try proxy.matcher(match, over, options.ignore_case, numbered);
    return .{ .id = id, .values = values.items };
}

test {
    _ = @import("questions_test.zig");
}

//! Questions about a request that the proxy answers by itself.
//!
//! Define them in `configure`, and ask them in `route` with `request.ask`. The proxy answers
//! natively, once for each request, and uses the answers as the key of its decision cache, so one
//! cached decision serves every request with the same answers.
//!
//! `over` names the part of the request that a question is about: `method`, `scheme`, `authority`,
//! `host`, `path`, `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each
//! member of a comma-separated list, quotes respected), `cookie:NAME`, `client-address`,
//! `server-name`, or `body-json:POINTER` (RFC 6901). If the part has several lines or members, a
//! matcher uses the best match of all of them, and `exact` the first that matches. A share or a
//! lookup uses the first line or member. Case means ASCII case.
//!
//! An invalid definition is an error with the proxy's reason as its text. `pointsman.at` adds the
//! key of the configuration that the definition comes from.

const std = @import("std");
const builtin = @import("builtin");
const pointsman = @import("pointsman.zig");

const proxy = if (builtin.target.cpu.arch.isWasm())
    @import("wasm_questions.zig")
else
    @import("double_questions.zig");
const Handle = if (builtin.target.cpu.arch.isWasm()) i32 else *pointsman.testing.Head;

pub const Error = error{ Refused, OutOfMemory };

/// The kind of comparison that a matcher makes, by its name in the contract.
pub const Match = enum { exact, prefix, @"path-prefix", suffix, @"first-suffix", domain, network, regex };

/// An entry of a matcher, and its value.
pub fn Entry(comptime T: type) type {
    return struct { []const u8, T };
}

pub const Options = struct { ignore_case: bool = false };

/// The question of which entry matches a part of the request: `request.ask` returns that entry's
/// value, or null. Entries with equal values share cached decisions. Strings are compared by their
/// octets, and values of other types as `std.AutoHashMap` compares its keys.
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

/// A question with the answer yes or no: `request.ask` returns a bool.
pub const YesOrNo = struct {
    id: u32,

    pub const Answer = bool;

    pub fn answer(self: YesOrNo, handle: Handle) bool {
        return proxy.ask(handle, self.id) != null;
    }
};

/// A question whose answer is a value: `request.ask` returns the value, or null.
/// `request.setHeaderBy`, `setAffinityBy` and `tagBy` use the answer without asking, so it is not
/// part of the key under which the decision is cached.
pub const Value = struct {
    id: u32,

    pub const Answer = ?[]const u8;

    pub fn answer(self: Value, handle: Handle) ?[]const u8 {
        return proxy.askValue(handle, self.id);
    }
};

/// Defines a matcher for the entry that equals the whole part. If the part has several lines or
/// members, the first that equals an entry wins.
pub fn exact(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .exact, over, options, entries);
}

/// Defines a matcher for the longest entry that is a prefix of the part.
pub fn prefix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .prefix, over, options, entries);
}

/// Defines a matcher for the longest entry that is a prefix of the part in whole segments: `/api`
/// matches `/api` and `/api/x`, but not `/apiary`. A `/` at the end of an entry is ignored.
pub fn pathPrefix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .@"path-prefix", over, options, entries);
}

/// Defines a matcher for the longest entry that is a suffix of the part.
pub fn suffix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .suffix, over, options, entries);
}

/// Defines a matcher for the first entry, in the order given, that is a suffix of the part.
pub fn firstSuffix(comptime T: type, over: []const u8, options: Options, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .@"first-suffix", over, options, entries);
}

/// Defines a matcher for the longest entry that the part, a host name, equals or is a subdomain of.
pub fn domain(comptime T: type, over: []const u8, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .domain, over, .{ .ignore_case = true }, entries);
}

/// Defines a matcher for the smallest network (CIDR) that contains the part, an address.
pub fn network(comptime T: type, over: []const u8, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .network, over, .{ .ignore_case = true }, entries);
}

/// Defines a matcher for the first regular expression, in the order given, that matches anywhere in
/// the part. Expressions match bytes and have the syntax of Rust's crate `regex`.
pub fn regex(comptime T: type, over: []const u8, entries: []const Entry(T)) Error!Matcher(T) {
    return matcher(T, .regex, over, .{}, entries);
}

/// Defines the question of whether the request is in a share of `per_million` requests out of
/// 1,000,000.
///
/// The answer depends only on the part and the salt. A request in a share is also in every larger
/// share with the same salt. A request in which the part is absent or empty is in no share. `over`
/// can also be `random`: a number drawn once per request, so shares with the same salt and size
/// give the same answer.
pub fn share(over: []const u8, salt: []const u8, per_million: u32) Error!YesOrNo {
    return .{ .id = try proxy.share(over, salt, per_million) };
}

/// Defines the question of whether a backend has a usable server. The question is answered again at
/// each attempt.
pub fn usable(backend: []const u8) Error!YesOrNo {
    return .{ .id = try proxy.usable(backend) };
}

/// Defines a lookup of the part in the operator's table `table`. The answer is the table's value
/// for the part.
pub fn lookUp(table: []const u8, over: []const u8) Error!Value {
    return .{ .id = try proxy.lookUp(table, over) };
}

/// Defines a question whose answer is the part itself.
///
/// If only `setHeaderBy`, `setAffinityBy` or `tagBy` use the answer, it is not part of the key
/// under which the decision is cached.
pub fn value(over: []const u8) Error!Value {
    return .{ .id = try proxy.value(over) };
}

/// Numbers the distinct values from 1, in the order of their first use.
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

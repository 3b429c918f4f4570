//! The canonical ABI: the layouts of values that cross the sandbox, and the memory that they are
//! in.
//!
//! `cabi_realloc` allocates the proxy's values in one of two arenas. Neither frees single
//! allocations.

const std = @import("std");

/// A list or a string.
pub const List = extern struct {
    ptr: [*]u8,
    len: usize,

    pub fn octets(self: List) []const u8 {
        return self.ptr[0..self.len];
    }

    pub fn put(value: []const u8) List {
        // The proxy also checks the address of an empty value, and the address that an allocator
        // returns for one is out of bounds.
        return .{ .ptr = if (value.len == 0) &nowhere else @constCast(value.ptr), .len = value.len };
    }

    /// Returns the list of `items`, which are not octets.
    pub fn putItems(items: anytype) List {
        const start: List = .put(@ptrCast(items));
        return .{ .ptr = start.ptr, .len = items.len };
    }

    pub fn of(self: List, comptime T: type) []const T {
        // An empty list can have any address.
        if (self.len == 0) return &.{};
        return @as([*]const T, @ptrCast(@alignCast(self.ptr)))[0..self.len];
    }

    /// Returns a list of lists as slices.
    pub fn slices(self: List) []const []const u8 {
        const values = allocator().alloc([]const u8, self.len) catch @panic("out of memory");
        for (values, self.of(List)) |*value, line| value.* = line.octets();
        return values;
    }
};

var nowhere: [0]u8 align(8) = .{};

pub fn Option(comptime T: type) type {
    return extern struct {
        is_some: u8,
        value: T,

        pub fn get(self: @This()) ?T {
            return if (self.is_some != 0) self.value else null;
        }
    };
}

/// Returns an optional list or string as octets.
pub fn octetsOf(found: Option(List)) ?[]const u8 {
    return if (found.get()) |list| list.octets() else null;
}

/// `result<_, string>`.
pub const Done = extern struct {
    is_error: u8,
    text: List,

    pub fn reason(self: Done) ?[]const u8 {
        return if (self.is_error != 0) self.text.octets() else null;
    }
};

/// `result<u32, string>`.
pub const Numbered = extern struct {
    is_error: u8,
    value: extern union { number: u32, text: List },
};

/// The result of `configure` or `route`: at most seven words.
pub const Answer = [7]usize;

/// Memory that lives as long as the instance: the configuration, and allocations of `configure`.
var lasting: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
/// Memory that lives until the proxy has the result of `route`.
var passing: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
var is_configured = false;

/// Memory that a large request allocated beyond this limit is released after the request.
const kept_bytes = 64 * 1024;

pub fn allocator() std.mem.Allocator {
    return if (is_configured) passing.allocator() else lasting.allocator();
}

/// Ends `configure`. From now on, memory lasts for one request.
pub fn configured() void {
    is_configured = true;
}

/// Ends a call: the proxy has the result.
pub fn answered() void {
    if (is_configured) _ = passing.reset(.{ .retain_with_limit = kept_bytes });
}

/// Allocates memory for values from the proxy.
pub fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    if (len == 0) return @ptrFromInt(alignment);
    const new = allocator().rawAlloc(len, .fromByteUnits(alignment), @returnAddress()) orelse
        @panic("out of memory");
    if (old) |octets| @memcpy(new[0..@min(old_len, len)], octets[0..@min(old_len, len)]);
    return new;
}

/// Reports whether octets are UTF-8. Other octets must not cross as a string: the plugin would
/// trap.
pub fn isText(octets: []const u8) bool {
    return std.unicode.utf8ValidateSlice(octets);
}

/// Returns text that can be logged. If `text` is not UTF-8, each octet that is not ASCII becomes
/// `?`.
pub fn shown(text: []const u8) []const u8 {
    if (isText(text)) return text;
    const copy = allocator().dupe(u8, text) catch return "out of memory";
    for (copy) |*octet| if (octet.* >= 128) {
        octet.* = '?';
    };
    return copy;
}

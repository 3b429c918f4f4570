//! How values cross the sandbox: the canonical ABI's layouts, and the memory that they lie in.
//!
//! `cabi_realloc` puts what the proxy hands over into one of two arenas, neither of which is freed
//! piece by piece.

const std = @import("std");

/// A list or a text.
pub const List = extern struct {
    ptr: [*]u8,
    len: usize,

    pub fn octets(self: List) []const u8 {
        return self.ptr[0..self.len];
    }

    pub fn put(value: []const u8) List {
        // The proxy checks the address of an empty value too, and an allocator's is out of bounds.
        return .{ .ptr = if (value.len == 0) &nowhere else @constCast(value.ptr), .len = value.len };
    }

    /// `len` items of another type than octets.
    pub fn putItems(items: anytype) List {
        const start: List = .put(@ptrCast(items));
        return .{ .ptr = start.ptr, .len = items.len };
    }

    pub fn of(self: List, comptime T: type) []const T {
        // An empty list may be anywhere.
        if (self.len == 0) return &.{};
        return @as([*]const T, @ptrCast(@alignCast(self.ptr)))[0..self.len];
    }

    /// A list of lists, each as a slice.
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

/// An optional list or text, as octets.
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

/// Seven words at most: an answer of `configure` or `route`.
pub const Answer = [7]usize;

/// As long as the instance: what `configure` is given and makes.
var lasting: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
/// Until the proxy has the answer of `route`.
var passing: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
var is_configured = false;

/// Memory that one large request took beyond this is given back.
const kept_bytes = 64 * 1024;

pub fn allocator() std.mem.Allocator {
    return if (is_configured) passing.allocator() else lasting.allocator();
}

/// From now on, memory lasts for one request.
pub fn configured() void {
    is_configured = true;
}

/// The proxy has the answer.
pub fn answered() void {
    if (is_configured) _ = passing.reset(.{ .retain_with_limit = kept_bytes });
}

/// Memory for what the proxy hands over.
pub fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    if (len == 0) return @ptrFromInt(alignment);
    const new = allocator().rawAlloc(len, .fromByteUnits(alignment), @returnAddress()) orelse
        @panic("out of memory");
    if (old) |octets| @memcpy(new[0..@min(old_len, len)], octets[0..@min(old_len, len)]);
    return new;
}

/// Text that is not UTF-8 must not cross: the proxy would trap the plugin.
pub fn isText(octets: []const u8) bool {
    return std.unicode.utf8ValidateSlice(octets);
}

/// Text for a person to read, whatever octets of a request it was made of.
pub fn shown(text: []const u8) []const u8 {
    if (isText(text)) return text;
    const copy = allocator().dupe(u8, text) catch return "out of memory";
    for (copy) |*octet| if (octet.* >= 128) {
        octet.* = '?';
    };
    return copy;
}

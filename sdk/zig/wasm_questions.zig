//! Definitions of questions and their answers, in the sandbox.

const abi = @import("abi.zig");
const pointsman = @import("pointsman.zig");

const List = abi.List;
const Handle = i32;
const Error = error{ Refused, OutOfMemory };

const imports = struct {
    extern "pointsman:router/questions@1.0.0" fn @"define-exact"([*]const u8, usize, u32, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-prefix"([*]const u8, usize, u32, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-path-prefix"([*]const u8, usize, u32, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-suffix"([*]const u8, usize, u32, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-first-suffix"([*]const u8, usize, u32, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-domain"([*]const u8, usize, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-network"([*]const u8, usize, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-regex"([*]const u8, usize, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-share"([*]const u8, usize, [*]const u8, usize, u32, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-look-up"([*]const u8, usize, [*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-value"([*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/questions@1.0.0" fn @"define-usable"([*]const u8, usize, *abi.Numbered) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.ask"(Handle, u32, *abi.Option(u32)) void;
    extern "pointsman:router/request@1.0.0" fn @"[method]request-head.ask-value"(Handle, u32, *abi.Option(List)) void;
};

/// An entry of a matcher, in the layout of the ABI.
pub const Entry = extern struct {
    text: List,
    number: u32,

    pub fn init(text: []const u8, number: u32) Entry {
        return .{ .text = .put(text), .number = number };
    }
};

pub fn matcher(comptime kind: pointsman.questions.Match, over: []const u8, ignore_case: bool, entries: []const Entry) Error!u32 {
    for (entries, 1..) |entry, number| if (!abi.isText(entry.text.octets())) {
        return pointsman.refuse("entry {d}: the text is not UTF-8", .{number});
    };
    const part = try partOf(over);
    const list: List = .putItems(entries);
    const define = @field(imports, "define-" ++ @tagName(kind));
    var found: abi.Numbered = undefined;
    switch (kind) {
        .domain, .network, .regex => define(part.ptr, part.len, list.ptr, list.len, &found),
        else => define(part.ptr, part.len, @intFromBool(ignore_case), list.ptr, list.len, &found),
    }
    return numberOf(found);
}

pub fn share(over: []const u8, salt: []const u8, per_million: u32) Error!u32 {
    if (!abi.isText(salt)) return pointsman.refuse("the salt of a share is not UTF-8", .{});
    const part, const text: List = .{ try partOf(over), .put(salt) };
    var found: abi.Numbered = undefined;
    imports.@"define-share"(part.ptr, part.len, text.ptr, text.len, per_million, &found);
    return numberOf(found);
}

pub fn lookUp(table: []const u8, over: []const u8) Error!u32 {
    if (!abi.isText(table)) return pointsman.refuse("there is no table \"{s}\"", .{table});
    const name: List, const part = .{ .put(table), try partOf(over) };
    var found: abi.Numbered = undefined;
    imports.@"define-look-up"(name.ptr, name.len, part.ptr, part.len, &found);
    return numberOf(found);
}

pub fn value(over: []const u8) Error!u32 {
    const part = try partOf(over);
    var found: abi.Numbered = undefined;
    imports.@"define-value"(part.ptr, part.len, &found);
    return numberOf(found);
}

pub fn usable(backend: []const u8) Error!u32 {
    if (!abi.isText(backend)) return pointsman.refuse("there is no backend \"{s}\"", .{backend});
    const name: List = .put(backend);
    var found: abi.Numbered = undefined;
    imports.@"define-usable"(name.ptr, name.len, &found);
    return numberOf(found);
}

pub fn ask(handle: Handle, question: u32) ?u32 {
    var found: abi.Option(u32) = undefined;
    imports.@"[method]request-head.ask"(handle, question, &found);
    return found.get();
}

pub fn askValue(handle: Handle, question: u32) ?[]const u8 {
    var found: abi.Option(List) = undefined;
    imports.@"[method]request-head.ask-value"(handle, question, &found);
    return abi.octetsOf(found);
}

fn partOf(over: []const u8) error{Refused}!List {
    if (!abi.isText(over)) return pointsman.refuse("\"{s}\" is not a part of a request", .{over});
    return .put(over);
}

fn numberOf(found: abi.Numbered) error{Refused}!u32 {
    if (found.is_error != 0) return pointsman.refuse("{s}", .{found.value.text.octets()});
    return found.value.number;
}

const std = @import("std");

pub fn build(b: *std.Build) void {
    @import("sdk/build_plugin.zig").add(b);
}

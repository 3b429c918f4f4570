//! Builds and tests a plugin, for a project's `build.zig`.

const std = @import("std");

/// Adds the steps of a plugin: `zig build` builds zig-out/bin/plugin.wasm from `plugin.zig`; `zig
/// build test` runs its tests.
pub fn add(b: *std.Build) void {
    const wasm = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .freestanding });
    const sdk = b.createModule(.{
        .root_source_file = b.path("sdk/pointsman.zig"),
        .target = wasm,
        .optimize = .safe,
    });
    const plugin = b.createModule(.{
        .root_source_file = b.path("plugin.zig"),
        .target = wasm,
        .optimize = .safe,
        .imports = &.{.{ .name = "pointsman", .module = sdk }},
    });
    const component = b.addExecutable(.{
        .name = "plugin",
        .root_module = b.createModule(.{
            .root_source_file = b.path("sdk/root.zig"),
            .target = wasm,
            .optimize = .safe,
            .imports = &.{
                .{ .name = "pointsman", .module = sdk },
                .{ .name = "plugin", .module = plugin },
            },
        }),
    });
    // Describes the contract to tools that make a component from the module.
    component.root_module.addObjectFile(b.path("sdk/router_component_type.o"));
    component.root_module.addObjectFile(b.path("sdk/platform_component_type.o"));
    component.entry = .disabled;
    component.rdynamic = true;
    component.stack_size = 64 * 1024;
    b.installArtifact(component);

    const native = b.resolveTargetQuery(.{});
    const double = b.createModule(.{ .root_source_file = b.path("sdk/pointsman.zig"), .target = native });
    const tests = b.addTest(.{ .root_module = b.createModule(.{
        .root_source_file = b.path("plugin.zig"),
        .target = native,
        .imports = &.{.{ .name = "pointsman", .module = double }},
    }) });
    b.step("test", "Run the plugin's tests, natively").dependOn(&b.addRunArtifact(tests).step);
}

const std = @import("std");
const pointsman = @import("pointsman");

const Config = struct {};

pub const Plugin = struct {
    pub const cacheable = true;

    pub fn configure(_: Config) !Plugin {
        return .{};
    }

    pub fn route(_: *const Plugin, request: *pointsman.Request) !pointsman.Decision {
        const path = request.path();
        var body: []const u8 = "";
        if (std.mem.eql(u8, path, "/print")) {
            std.log.info("printed", .{});
        } else if (std.mem.eql(u8, path, "/clock")) {
            body = try text(pointsman.now().seconds);
        } else if (std.mem.eql(u8, path, "/random")) {
            body = try text(pointsman.random());
        }
        return pointsman.respond(.{ .status = 200, .body = body });
    }

    fn text(number: u64) ![]const u8 {
        return std.fmt.allocPrint(pointsman.allocator(), "{d}", .{number});
    }
};

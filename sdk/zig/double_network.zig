//! Networks in CIDR notation, for questions under test.

const std = @import("std");
const IpAddress = std.Io.net.IpAddress;

pub const Network = struct {
    address: IpAddress,
    bits: u8,

    /// Parses a network, or a single address as the smallest network.
    pub fn parse(text: []const u8) ?Network {
        const slash = std.mem.indexOfScalar(u8, text, '/');
        const address = IpAddress.parse(text[0 .. slash orelse text.len], 0) catch return null;
        const most: u8 = @intCast(8 * octets(&address).len);
        const bits = if (slash) |at| std.fmt.parseInt(u8, text[at + 1 ..], 10) catch return null else most;
        return if (bits <= most) .{ .address = address, .bits = bits } else null;
    }

    pub fn contains(self: Network, text: []const u8) bool {
        const address = IpAddress.parse(text, 0) catch return false;
        const own = octets(&self.address);
        const other = octets(&address);
        if (own.len != other.len) return false;
        for (0..self.bits) |bit| {
            const shift: u3 = @intCast(7 - bit % 8);
            if (((own[bit / 8] ^ other[bit / 8]) >> shift) & 1 != 0) return false;
        }
        return true;
    }

    fn octets(address: *const IpAddress) []const u8 {
        return switch (address.*) {
            .ip4 => |*ip4| &ip4.bytes,
            .ip6 => |*ip6| &ip6.bytes,
        };
    }
};

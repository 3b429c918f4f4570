//! Routes by the end of a header field, as HAProxy's `hdr_end(host) -i` does.
//!
//! Rules without options become a question, which the proxy answers by itself, so one cached
//! decision serves every value with the same answer. A rule with an option has to read the field,
//! which then becomes part of the decision's cache key.

const std = @import("std");
const pointsman = @import("pointsman");
const field = @import("field.zig");

/// The table `router.config` of the proxy's configuration.
const Config = struct {
    rules: []const RawRule,
};

/// A rule as it is written in the configuration.
const RawRule = struct {
    header: []const u8 = "host",
    suffix: Suffixes,
    backend: []const u8,
    ignore_port: bool = false,
    label_boundary: bool = false,
};

/// One suffix, or a list of suffixes any of which can match.
const Suffixes = struct {
    list: []const []const u8,
    is_list: bool,

    pub fn fromJson(value: pointsman.config.Value, path: *const pointsman.config.Path) !Suffixes {
        const config = pointsman.config;
        switch (value) {
            .string => |text| {
                const list = try pointsman.allocator().alloc([]const u8, 1);
                list[0] = text;
                return .{ .list = list, .is_list = false };
            },
            .array => return .{
                .list = try config.read([]const []const u8, value, path),
                .is_list = true,
            },
            else => return config.wrong(value, "a text or a list of texts", path),
        }
    }
};

/// The field that a rule compares, and how.
const Way = struct {
    /// In lower case.
    header: []const u8,
    ignore_port: bool,
    label_boundary: bool,

    fn hasOptions(self: Way) bool {
        return self.ignore_port or self.label_boundary;
    }

    /// Reports whether the field is Host, which is not a list: the proxy rejects requests that have
    /// a comma in Host or several Host lines.
    fn isHost(self: Way) bool {
        return std.mem.eql(u8, self.header, "host");
    }

    fn eql(self: Way, other: Way) bool {
        return self.ignore_port == other.ignore_port and self.label_boundary == other.label_boundary and
            std.mem.eql(u8, self.header, other.header);
    }
};

/// Checks the rule at `rules[at]`.
fn check(raw: RawRule, at: usize) !Way {
    const refuse = pointsman.refuse;
    if (!field.isToken(raw.header)) {
        const text = "rules[{d}].header: \"{s}\" is not the name of a header field";
        return refuse(text, .{ at, raw.header });
    }
    if (raw.suffix.list.len == 0) {
        return refuse("rules[{d}].suffix: an empty list matches no request", .{at});
    }
    for (raw.suffix.list, 0..) |text, index| if (text.len == 0) {
        const reason = "an empty suffix matches every value; for requests that no " ++
            "other rule matches, set the frontend's `default_backend`";
        if (raw.suffix.is_list) {
            return refuse("rules[{d}].suffix[{d}]: {s}", .{ at, index, reason });
        }
        return refuse("rules[{d}].suffix: {s}", .{ at, reason });
    };
    if (!pointsman.backends.exists(raw.backend)) {
        const text = "rules[{d}].backend: there is no backend \"{s}\"";
        return refuse(text, .{ at, raw.backend });
    }
    return .{
        .header = try std.ascii.allocLowerString(pointsman.allocator(), raw.header),
        .ignore_port = raw.ignore_port,
        .label_boundary = raw.label_boundary,
    };
}

/// Consecutive rules that compare the same field in the same way.
const Group = struct {
    way: Way,
    /// Suffixes in lower case and their backends, in the order of the rules. If several are equal,
    /// only the first is kept, since the entries of a matcher must differ.
    suffixes: std.ArrayList(Suffix) = .empty,
    known: std.StringHashMapUnmanaged(void) = .empty,
    /// The question of rules without options.
    in_field: ?Matcher = null,
    /// The question for connections without HTTP, which have no fields. Defined only if the field
    /// is `host`.
    in_connection: ?Matcher = null,

    const Suffix = pointsman.questions.Entry([]const u8);
    const Matcher = pointsman.questions.Matcher([]const u8);

    fn add(self: *Group, list: []const []const u8, backend: []const u8) !void {
        const memory = pointsman.allocator();
        for (list) |text| {
            const lower = try std.ascii.allocLowerString(memory, text);
            const known = try self.known.getOrPut(memory, lower);
            if (!known.found_existing) try self.suffixes.append(memory, .{ lower, backend });
        }
    }

    fn define(self: *Group) !void {
        if (self.way.hasOptions()) return;
        const questions = pointsman.questions;
        // Host is compared as sent, since it is not a list; other fields are compared member by
        // member.
        const over = if (self.way.isHost())
            "header:host"
        else
            try std.fmt.allocPrint(pointsman.allocator(), "values:{s}", .{self.way.header});
        const options: questions.Options = .{ .ignore_case = true };
        const entries = self.suffixes.items;
        self.in_field = try questions.firstSuffix([]const u8, over, options, entries);
        if (self.way.isHost()) {
            self.in_connection = try questions.firstSuffix([]const u8, "host", options, entries);
        }
    }

    /// Returns the backend of the first rule that one of the field's values matches.
    fn choose(self: *const Group, request: *pointsman.Request) ?[]const u8 {
        const in_field = self.in_field orelse return self.read(request);
        if (request.ask(in_field)) |backend| return backend;
        return if (self.hasNoHttp(request)) request.ask(self.in_connection.?) else null;
    }

    /// Reports whether the rules compare Host and the connection does not use HTTP. Such a
    /// connection has no fields, but its server name serves as the host.
    fn hasNoHttp(self: *const Group, request: *pointsman.Request) bool {
        return self.way.isHost() and request.version() == null;
    }

    fn read(self: *const Group, request: *pointsman.Request) ?[]const u8 {
        var lines = request.headerLines(self.way.header);
        if (lines.len == 0 and self.hasNoHttp(request)) lines = &.{request.host()};
        for (self.suffixes.items) |suffix| {
            for (lines) |line| if (self.matchesLine(suffix[0], line)) return suffix[1];
        }
        return null;
    }

    /// Reports whether a line matches or, if the field is a list, whether one of the line's values
    /// matches.
    fn matchesLine(self: *const Group, suffix: []const u8, line: []const u8) bool {
        if (self.way.isHost()) return self.matches(suffix, line);
        var values: field.Values = .{ .rest = line };
        while (values.next()) |value| if (self.matches(suffix, value)) return true;
        return false;
    }

    /// Reports whether `whole`, without surrounding blanks, ends as the options require.
    fn matches(self: *const Group, suffix: []const u8, whole: []const u8) bool {
        const value = if (self.way.ignore_port) field.withoutPort(whole) else whole;
        if (!std.ascii.endsWithIgnoreCase(value, suffix)) return false;
        return !self.way.label_boundary or field.startsLabel(value, suffix);
    }
};

pub const Plugin = struct {
    /// Groups in the order of their rules. The first rule that matches wins.
    groups: []const Group,

    pub const cacheable = true;

    pub fn configure(config: Config) !Plugin {
        var groups: std.ArrayList(Group) = .empty;
        for (config.rules, 0..) |raw, at| {
            const way = try check(raw, at);
            const last: ?Group = if (groups.items.len > 0) groups.items[groups.items.len - 1] else null;
            if (last == null or !last.?.way.eql(way)) {
                try groups.append(pointsman.allocator(), .{ .way = way });
            }
            try groups.items[groups.items.len - 1].add(raw.suffix.list, raw.backend);
        }
        for (groups.items) |*group| try pointsman.at("rules", group.define());
        return .{ .groups = groups.items };
    }

    pub fn route(self: *const Plugin, request: *pointsman.Request) !pointsman.Decision {
        for (self.groups) |*group| {
            if (group.choose(request)) |backend| return pointsman.backend(backend);
        }
        return .next;
    }
};

test {
    _ = field;
}

test "a bad configuration is refused at its key" {
    const empty = "an empty suffix matches every value; for requests that no other rule matches, " ++
        "set the frontend's `default_backend`";
    const cases = [_][2][]const u8{
        .{ "{}", "missing key \"rules\"" },
        .{
            "{\"rules\":[{\"suffix\":\"a\",\"backend\":\"b\"},{\"suffix\":\"a\",\"backend\":\"c\"}]}",
            "rules[1].backend: there is no backend \"c\"",
        },
        .{
            "{\"rules\":[{\"suffix\":[\"a\",5],\"backend\":\"b\"}]}",
            "rules[0].suffix[1]: must be a text, is a number",
        },
        .{
            "{\"rules\":[{\"suffix\":[],\"backend\":\"b\"}]}",
            "rules[0].suffix: an empty list matches no request",
        },
        .{ "{\"rules\":[{\"suffix\":\"\",\"backend\":\"b\"}]}", "rules[0].suffix: " ++ empty },
        .{ "{\"rules\":[{\"suffix\":[\"a\",\"\"],\"backend\":\"b\"}]}", "rules[0].suffix[1]: " ++ empty },
        .{
            "{\"rules\":[{\"suffix\":5,\"backend\":\"b\"}]}",
            "rules[0].suffix: must be a text or a list of texts, is a number",
        },
        .{
            "{\"rules\":[{\"suffix\":\"a\",\"backend\":\"b\",\"header\":\"x tenant\"}]}",
            "rules[0].header: \"x tenant\" is not the name of a header field",
        },
        .{
            "{\"rules\":[{\"suffix\":\"a\",\"backend\":\"b\",\"ignore_port\":1}]}",
            "rules[0].ignore_port: must be true or false, is a number",
        },
        .{ "{\"rules\":[{\"sufix\":\"a\",\"backend\":\"b\"}]}", "rules[0].sufix: unknown key" },
        .{ "{\"rules\":[{\"suffix\":\"a\"}]}", "rules[0]: missing key \"backend\"" },
        .{ "{\"rules\":[],\"rule\":[]}", "rule: unknown key" },
    };
    for (cases) |case| {
        const made = pointsman.testing.configure(Plugin, case[0], &.{"b"});
        try std.testing.expectError(error.Refused, made);
        try std.testing.expectEqualStrings(case[1], pointsman.message(error.Refused));
    }
}

test "the end of a value decides, whatever octets it has" {
    const cases = [_]struct { []const u8, []const u8, bool }{
        .{ "\"suffix\":\"io.test.tld\"", "FOO.io.tEST.tld", true },
        .{ "\"suffix\":\"io.test.tld\"", "\xff\xfe.io.test.tld", true },
        .{ "\"suffix\":\"io.test.tld\"", "io.test.tl\xe4", false },
        .{ "\"suffix\":\"io.test.tld\"", "", false },
        .{ "\"suffix\":\"a\",\"ignore_port\":true", "[", false },
        .{ "\"suffix\":\"::1]\",\"ignore_port\":true", "[::1]:80", true },
        .{ "\"suffix\":\"test.tld\",\"label_boundary\":true", "eviltest.tld", false },
    };
    const testing = pointsman.testing;
    for (cases) |case| {
        const json = try std.fmt.allocPrint(pointsman.allocator(), "{{\"rules\":[{{\"backend\":\"b\",{s}}}]}}", .{case[0]});
        var plugin = try testing.configure(Plugin, json, &.{"b"});
        var head: testing.Head = .{ .headers = &.{.{ .name = "host", .value = case[1] }} };
        var request = head.request();
        const decision = try plugin.route(&request);
        try std.testing.expectEqual(case[2], decision == .backend);
        try std.testing.expectEqual(!case[2], decision == .next);
        testing.reset();
    }
}

test "of equal suffixes the first counts, and rules keep their order" {
    const testing = pointsman.testing;
    const json =
        \\{"rules":[{"suffix":["b","A"],"backend":"x"},{"suffix":["a","c"],"backend":"y"},
        \\{"header":"x-t","suffix":"-beta","backend":"z"},{"suffix":"d","backend":"x"}]}
    ;
    const plugin = try testing.configure(Plugin, json, &.{ "x", "y", "z" });
    const cases = [_]struct { []const u8, []const u8 }{ .{ "a", "x" }, .{ "b", "x" }, .{ "c", "y" }, .{ "d", "z" } };
    for (cases) |case| {
        var head: testing.Head = .{ .headers = &.{
            .{ .name = "host", .value = case[0] },
            .{ .name = "x-t", .value = "\"a,\", b-BETA ,c" },
        } };
        var request = head.request();
        const decision = try plugin.route(&request);
        try std.testing.expectEqualStrings(case[1], decision.backend);
    }
    testing.reset();
}

test "without HTTP the server name is the host" {
    const testing = pointsman.testing;
    for ([_][]const u8{ "", ",\"label_boundary\":true" }) |options| {
        const json = try std.fmt.allocPrint(pointsman.allocator(), "{{\"rules\":[{{\"backend\":\"b\",\"suffix\":\"io.test\"{s}}}]}}", .{options});
        const plugin = try testing.configure(Plugin, json, &.{"b"});
        var head: testing.Head = .{ .version = null, .method = "", .server_name = "a.io.test" };
        var request = head.request();
        try std.testing.expect(try plugin.route(&request) == .backend);
        testing.reset();
    }
}

//! Routes by the end of a header field, as HAProxy's `hdr_end(host) -i` does.

const std = @import("std");
const pointsman = @import("pointsman");
const field = @import("field.zig");

/// The table `router.config` of the proxy's configuration.
const Config = struct {
    rules: []const RawRule,
};

/// A rule as it is written.
const RawRule = struct {
    header: []const u8 = "host",
    suffix: Suffixes,
    backend: []const u8,
    ignore_port: bool = false,
    label_boundary: bool = false,
};

/// One suffix, or several of which any may match.
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

/// A rule, checked.
const Rule = struct {
    /// In lower case.
    header: []const u8,
    /// In lower case, none empty.
    suffixes: []const []const u8,
    backend: []const u8,
    ignore_port: bool,
    label_boundary: bool,

    fn check(raw: RawRule, at: usize) !Rule {
        const refuse = pointsman.refuse;
        if (!field.isToken(raw.header)) {
            const text = "rules[{d}].header: \"{s}\" is not the name of a header field";
            return refuse(text, .{ at, raw.header });
        }
        const list = raw.suffix.list;
        if (list.len == 0) {
            return refuse("rules[{d}].suffix: an empty list matches no request", .{at});
        }
        const suffixes = try pointsman.allocator().alloc([]const u8, list.len);
        for (suffixes, list, 0..) |*lower, text, index| {
            if (text.len == 0) {
                const reason = "an empty suffix matches every value; for the requests that no " ++
                    "other rule matches there is the frontend's `default_backend`";
                if (raw.suffix.is_list) {
                    return refuse("rules[{d}].suffix[{d}]: {s}", .{ at, index, reason });
                }
                return refuse("rules[{d}].suffix: {s}", .{ at, reason });
            }
            lower.* = try std.ascii.allocLowerString(pointsman.allocator(), text);
        }
        if (!pointsman.backends.exists(raw.backend)) {
            const text = "rules[{d}].backend: there is no backend \"{s}\"";
            return refuse(text, .{ at, raw.backend });
        }
        return .{
            .header = try std.ascii.allocLowerString(pointsman.allocator(), raw.header),
            .suffixes = suffixes,
            .backend = raw.backend,
            .ignore_port = raw.ignore_port,
            .label_boundary = raw.label_boundary,
        };
    }

    /// Whether `value`, without blanks around it, ends as this rule asks.
    fn matches(self: Rule, whole: []const u8) bool {
        const value = if (self.ignore_port) pointsman.withoutPort(whole) else whole;
        for (self.suffixes) |suffix| {
            if (!std.ascii.endsWithIgnoreCase(value, suffix)) continue;
            if (!self.label_boundary or field.startsLabel(value, suffix)) return true;
        }
        return false;
    }

    fn matchesAny(self: Rule, lines: []const []const u8) bool {
        // No list: a comma in Host is refused before routing, as is a second line.
        if (lines.len == 1 and std.mem.eql(u8, self.header, "host")) {
            return self.matches(field.trim(lines[0]));
        }
        for (lines) |line| {
            var values: field.Values = .{ .rest = line };
            while (values.next()) |value| if (self.matches(value)) return true;
        }
        return false;
    }
};

pub const Plugin = struct {
    rules: []const Rule,

    pub const cacheable = true;

    pub fn configure(config: Config) !Plugin {
        const rules = try pointsman.allocator().alloc(Rule, config.rules.len);
        for (rules, config.rules, 0..) |*rule, raw, at| rule.* = try Rule.check(raw, at);
        return .{ .rules = rules };
    }

    /// Rules in their order: the first that matches wins.
    pub fn route(self: *const Plugin, request: *pointsman.Request) !pointsman.Decision {
        var header: []const u8 = "";
        var lines: []const []const u8 = &.{};
        for (self.rules) |rule| {
            // Rules that follow each other and look at the same field read it once.
            if (!std.mem.eql(u8, header, rule.header)) {
                header = rule.header;
                lines = request.headerLines(header);
            }
            if (rule.matchesAny(lines)) return pointsman.backend(rule.backend);
        }
        return .default_backend;
    }
};

test {
    _ = field;
}

test "a bad configuration is refused at its key" {
    const empty = "an empty suffix matches every value; for the requests that no other rule matches " ++
        "there is the frontend's `default_backend`";
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
        testing.reset();
    }
}

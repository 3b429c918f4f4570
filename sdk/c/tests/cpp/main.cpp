// The layer for C++; what is below it is tested in ../c.

#include "probe.hpp"

#include <cstdint>
#include <string>

namespace {

using pointsman::Config;
using pointsman::Decision;
using pointsman::Edit;
using pointsman::Request;

const char *configure(const char *json, std::function<void(Config)> during)
{
    in_configure = std::move(during);
    return pm_test_configure(json);
}

const char *route(std::function<Decision(Request &)> during)
{
    in_route = std::move(during);
    return pm_test_route();
}

void reads_the_configuration()
{
    std::string seen;
    const char *answer = configure(
        R"({"list": ["a", "b"], "n": -5, "f": 0.5, "yes": true, "table": {"x": 1, "y": 2}})",
        [&](Config config) {
            for (Config item : config["list"])
                seen += item.text();
            seen += config["list"][1].text();
            seen += std::to_string(config["n"].integer());
            PM_CHECK(config["f"].number(0, 1) == 0.5 && config["yes"].boolean());
            PM_CHECK(config["list"].is_list() && !config["list"].is_text());
            PM_CHECK(config["table"].is_table() && config["n"].is_number());
            PM_CHECK(!config.find("none") && config.find("n"));
            PM_CHECK(config.find("none").text_or("otherwise") == "otherwise");
            PM_CHECK(config.find("none").integer_or(7) == 7);
            PM_CHECK(config.find("none").boolean_or(true));
            PM_CHECK(config.find("none").number_or(2.5, 0, 1) == 2.5);
            PM_CHECK(config.find("none").text().empty() && config.find("none").size() == 0);
            Config table = config["table"];
            for (std::size_t i = 0; i < table.entries(); i++) {
                std::string_view key;
                std::int64_t value = table.entry(i, key).integer(0, 9);
                seen += std::string(key) + "=" + std::to_string(value);
            }
        });
    PM_EXPECT(answer, "uncacheable");
    PM_EXPECT(seen.c_str(), "abb-5x=1y=2");
}

void refuses_at_the_key()
{
    auto rules = [](Config config) {
        for (Config rule : config["rules"]) {
            if (rule["suffix"].text().empty())
                rule["suffix"].refuse("is ", "empty", ' ', 3, ' ', true);
            rule["backend"].backend();
            if (rule.find("any").is_number())
                rule.find("any").refuse_type("a text");
        }
    };
    PM_EXPECT(configure("{}", rules), R"(missing key "rules")");
    PM_EXPECT(configure(R"({"rules": [{"suffix": "", "backend": "www"}]})", rules),
              "rules[0].suffix: is empty 3 true");
    PM_EXPECT(configure(R"({"rules": [{"suffix": "a", "backend": "x\u0000"}]})", rules),
              R"(rules[0].backend: there is no backend "x\x00")");
    PM_EXPECT(configure(R"({"rules": [{"suffix": "a", "backend": "www", "any": 1}]})", rules),
              "rules[0].any: expected a text, not 1");
    PM_EXPECT(configure(R"({"rules": [{"suffix": "a", "bakend": "www"}]})", rules),
              "rules[0].bakend: unknown key");
    PM_EXPECT(configure(R"({"rules": 1})", rules), "rules: expected a list, not 1");
}

void reads_a_request()
{
    pm_test_request("PUT", "/a?b=%31&c");
    pm_test_header("Host", "a.test:80");
    pm_test_header("x", "1");
    pm_test_header("x", "\xff");
    pm_test_header("cookie", "a=1; b=");
    pm_test_tls(nullptr, "h2");
    route([](Request &request) {
        PM_CHECK(request.method() == "PUT" && request.scheme() == "https");
        PM_CHECK(request.target() == "/a?b=%31&c" && request.path() == "/a");
        PM_CHECK(request.query() == "b=%31&c" && request.query_param("b") == "1");
        PM_CHECK(request.query_param("c") == "" && request.query_param("d") == std::nullopt);
        PM_CHECK(request.host() == "a.test:80" && request.hostname() == "a.test");
        PM_CHECK(request.header("X") == "1" && request.header("y") == std::nullopt);
        PM_CHECK(request.header_text("x") == "1" && !request.header_text("y"));
        PM_CHECK(request.header(std::string_view()) == std::nullopt);
        pointsman::Lines lines = request.header_lines("x");
        std::string seen;
        for (std::string_view line : lines)
            seen += line;
        PM_CHECK(lines.size() == 2 && lines[1] == "\xff" && seen == "1\xff");
        PM_CHECK(request.header_lines("y").empty());
        for (pointsman::Field field : request.headers())
            seen += field.name;
        PM_CHECK(seen == "1\xffhostxxcookie");
        PM_CHECK(request.cookie("a") == "1" && request.cookie("b") == "");
        PM_CHECK(!request.cookie("c"));
        PM_CHECK(request.client().address == "127.0.0.1" && request.client().port == 49152);
        PM_CHECK(request.tls()->alpn == "h2" && !request.tls()->server_name);
        PM_CHECK(request.attempt() == 0);
        PM_CHECK(request.set_header("x", "\xff") == Edit::done);
        PM_CHECK(request.append_header("host", "a") == Edit::forbidden);
        PM_CHECK(request.remove_header("") == Edit::invalid_syntax);
        PM_CHECK(request.set_path_with_query("/b") == Edit::done);
        return pointsman::default_backend();
    });
    PM_EXPECT(pm_test_edits(), "set x: \xff\npath-with-query /b");
    pm_test_request("GET", "/");
    route([](Request &request) {
        PM_CHECK(!request.host() && !request.hostname() && !request.query() && !request.tls());
        return pointsman::default_backend();
    });
}

void answers()
{
    PM_EXPECT(route([](Request &) { return pointsman::backend(std::string(40, 'x')); }),
              "backend xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    PM_EXPECT(route([](Request &) -> Decision {
                  return pointsman::respond(403, "no\n").header("a", "b").header("c", "");
              }),
              "respond 403\na: b\nc: \n\nno\n");
    PM_EXPECT(route([](Request &) -> Decision { return pointsman::redirect(302, "/a"); }),
              "respond 302\nlocation: /a");
    PM_EXPECT(route([](Request &) { return pointsman::fail("a", 1, std::string("b")); }),
              "error a1b");
    PM_EXPECT(route([](Request &) { return pointsman::fail(); }), "error ");
}

void makes_texts()
{
    std::string all(pointsman::text(INT64_MIN, ' ', UINT64_MAX, ' ', std::int8_t(-128), true, ""));
    PM_EXPECT(all.c_str(), "-9223372036854775808 18446744073709551615 -128true");
    PM_CHECK(pointsman::text(std::string_view()).empty() && pointsman::text().empty());
    PM_CHECK(pointsman::trim(" a ") == "a" && pointsman::without_port("a:1") == "a");
    PM_CHECK(pointsman::trim(std::string_view()).empty());
    PM_CHECK(pointsman::equal_nocase("aZ", "Az") && !pointsman::equal_nocase("a", "ab"));
}

void logs_and_knows_backends()
{
    pm_test_log();
    route([](Request &) {
        pointsman::trace("a");
        pointsman::debug(1);
        pointsman::info("\xff", 'z');
        pointsman::warn();
        pointsman::error("b");
        PM_CHECK(pointsman::backends::exists("www") && !pointsman::backends::exists("a"));
        PM_CHECK(pointsman::backends::load("www")->usable_servers == 1);
        return pointsman::default_backend();
    });
    PM_EXPECT(pm_test_log(), "trace: a\ndebug: 1\ninfo: \xef\xbf\xbdz\nwarn: \nerror: b");
}

} // namespace

int main()
{
    pm_test_backend("www");
    reads_the_configuration();
    refuses_at_the_key();
    PM_EXPECT(configure("{}", [](Config) {}), "uncacheable");
    reads_a_request();
    answers();
    makes_texts();
    logs_and_knows_backends();
    return pm_test_end();
}

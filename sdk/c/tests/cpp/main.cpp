// Tests of the C++ layer. ../c tests the C layer below it.

#include "probe.hpp"

#include <cstdint>
#include <string>

void test_questions();

namespace {

using pointsman::Config;
using pointsman::Decision;
using pointsman::Request;
using namespace std::chrono_literals;

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
    pm_test_header("Host", "A.test:80");
    pm_test_header("x", "1");
    pm_test_header("x", "\xff");
    pm_test_header("cookie", "a=1; b=");
    pm_test_tls(nullptr, "h2");
    pm_test_client_certificate({"CN=a", "CN=b", "a.test b.test", "0f", "ff", 5});
    pm_test_body(pm_text("body"), true);
    route([](Request &request) {
        PM_CHECK(request.method() == "PUT" && request.scheme() == "https");
        PM_CHECK(request.version() == "1.1" && request.authority() == "A.test:80");
        PM_CHECK(request.path_with_query() == "/a?b=%31&c" && request.path() == "/a");
        PM_CHECK(request.query() == "b=%31&c" && request.query_parameter("b") == "1");
        PM_CHECK(request.query_parameter("c") == "" && !request.query_parameter("d"));
        PM_CHECK(request.host() == "a.test");
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
        PM_CHECK(seen == "1\xffHostxxcookie");
        PM_CHECK(request.cookie("a") == "1" && request.cookie("b") == "");
        PM_CHECK(!request.cookie("c"));
        PM_CHECK(request.client_address() == "127.0.0.1" && request.client_port() == 49152);
        PM_CHECK(request.alpn() == "h2" && !request.server_name());
        PM_CHECK(request.client_certificate_subject() == "CN=a");
        PM_CHECK(request.client_certificate_issuer() == "CN=b");
        PM_CHECK(request.client_certificate_names()[1] == "b.test");
        PM_CHECK(request.client_certificate_serial() == "0f");
        PM_CHECK(request.client_certificate_sha256() == "ff");
        PM_CHECK(request.client_certificate_not_after()->time_since_epoch() == 5s);
        PM_CHECK(request.attempt() == 0);
        PM_CHECK(request.body_prefix() == "body" && request.body_is_complete());
        return pointsman::default_backend();
    });
    pm_test_request("GET", "/");
    route([](Request &request) {
        PM_CHECK(request.host().empty() && request.authority().empty() && !request.query());
        PM_CHECK(!request.client_certificate_subject() && !request.client_certificate_not_after());
        PM_CHECK(request.client_certificate_names().empty() && !request.body_prefix());
        return pointsman::default_backend();
    });
}

void edits_a_request()
{
    pm_test_request("PUT", "/a");
    PM_EXPECT(route([](Request &request) {
                  PM_CHECK(request.set_header("x", "\xff") && request.append_header("y", ""));
                  PM_CHECK(request.remove_header("z") && request.set_authority("a.test"));
                  PM_CHECK(request.set_path_with_query("/b"));
                  PM_CHECK(request.replace_path_prefix(2, "/c"));
                  PM_CHECK(request.set_response_header("x", "1"));
                  PM_CHECK(request.append_response_header("y", "2"));
                  PM_CHECK(request.remove_response_header("z"));
                  PM_CHECK(!request.set_header("", "1") && request.take_edit_error());
                  request.set_affinity("a");
                  request.set_queue_timeout(-1ms);
                  request.set_connect_timeout(1s);
                  request.set_server_timeout(2ms);
                  request.set_tunnel_timeout(std::chrono::hours(10000));
                  request.set_tries(3);
                  request.tag("a", "b");
                  return pointsman::next();
              }),
              "next");
    PM_EXPECT(pm_test_edits(), "set x: \xff\nappend y: \nremove z\nauthority a.test\n"
                               "path-with-query /b\nreplace-path-prefix 2 /c");
    PM_EXPECT(pm_test_response_edits(), "set x: 1\nappend y: 2\nremove z");
    PM_EXPECT(pm_test_options(), "affinity a\nqueue-timeout 0\nconnect-timeout 1000\n"
                                 "server-timeout 2\ntunnel-timeout 4294967295\ntries 3\ntag a=b");
    PM_EXPECT(route([](Request &request) {
                  PM_CHECK(!request.remove_header("a b"));
                  return pointsman::next();
              }),
              "error \"a b\" is not the name of a field");
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
    PM_EXPECT(route([](Request &) { return pointsman::server("a", "s1"); }),
              "server a/s1, otherwise another-server");
    PM_EXPECT(route([](Request &) {
                  return pointsman::server("a", "s1", pointsman::Otherwise::ask_again);
              }),
              "server a/s1, otherwise ask-again");
    PM_EXPECT(route([](Request &) { return pointsman::fail("a", 1, std::string("b")); }),
              "error a1b");
    PM_EXPECT(route([](Request &) { return pointsman::fail(); }), "error ");
}

void makes_texts()
{
    std::string all(pointsman::text(INT64_MIN, ' ', UINT64_MAX, ' ', std::int8_t(-128), true, ""));
    PM_EXPECT(all.c_str(), "-9223372036854775808 18446744073709551615 -128true");
    PM_CHECK(pointsman::text(std::string_view()).empty() && pointsman::text().empty());
    PM_CHECK(pointsman::trim(" a ") == "a" && pointsman::trim(std::string_view()).empty());
    PM_CHECK(pointsman::equal_nocase("aZ", "Az") && !pointsman::equal_nocase("a", "ab"));
}

void logs_and_knows_backends()
{
    pm_test_server("www", pm_server_state{pm_text("s1"), true, 1, 2, true, 3, true, 4});
    pm_test_server("www", pm_server_state{pm_text("s2"), false, 1, 2, false, 3, false, 4});
    pm_test_log();
    route([](Request &) {
        pointsman::trace("a");
        pointsman::debug(1);
        pointsman::info("\xff", 'z');
        pointsman::warn();
        pointsman::error("b");
        PM_CHECK(pointsman::backends::exists("www") && !pointsman::backends::exists("a"));
        PM_CHECK(pointsman::backends::state("www")->usable_servers == 1);
        PM_CHECK(pointsman::backends::names()[0] == "www");
        PM_CHECK(!pointsman::backends::servers("a"));
        pointsman::backends::Servers servers = *pointsman::backends::servers("www");
        PM_CHECK(servers.size() == 2 && servers[0].name == "s1" && servers[0].limit == 3u);
        PM_CHECK(servers[0].latency == 4us && !servers[1].limit && !servers[1].latency);
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
    edits_a_request();
    answers();
    makes_texts();
    logs_and_knows_backends();
    test_questions();
    return pm_test_end();
}

// Tests of hostile field lines and of configuration errors. The effect of each option is tested by
// ../../host-suffix/cases.toml, which runs against the component.

#include <cstdlib>
#include <cstring>
#include <string>

#include "pointsman_test.h"

namespace {

void configure(const std::string &rules)
{
    PM_EXPECT(pm_test_configure((R"({"rules": )" + rules + "}").c_str()), "cacheable");
}

// Returns the decision for a request with one line of the field `name`.
const char *ask(const char *name, const char *value)
{
    pm_test_request("GET", "/");
    pm_test_header(name, value);
    return pm_test_route();
}

void compares_the_end_of_host()
{
    configure(R"([{"suffix": "IO.test.tld", "backend": "node"}])");
    PM_EXPECT(ask("host", "io.test.tld"), "backend node");
    PM_EXPECT(ask("host", "foo.IO.TEST.tld"), "backend node");
    PM_EXPECT(ask("host", "evilio.test.tld"), "backend node");
    PM_EXPECT(ask("host", "\xff\xfe.io.test.tld"), "backend node");
    PM_EXPECT(ask("host", "io.test.tl\xe4"), "next");
    PM_EXPECT(ask("host", "io.test.tld:8080"), "next");
    PM_EXPECT(ask("host", "io.test.tld,other"), "next");
    PM_EXPECT(ask("host", "test.tld"), "next");
    PM_EXPECT(ask("host", ""), "next");
    PM_EXPECT(ask("x-host", "io.test.tld"), "next");
    PM_EXPECT(pm_test_reads(), "first-suffix over header:host\nversion");
}

void keeps_the_order_of_rules()
{
    configure(R"([{"suffix": ".org", "backend": "www"},
                  {"header": "X-Tenant", "suffix": "-beta", "backend": "beta"},
                  {"header": "x-tenant", "suffix": "-gamma", "backend": "www"},
                  {"suffix": "io.test.tld", "backend": "node"}])");
    PM_EXPECT(ask("host", "io.test.tld"), "backend node");
    PM_EXPECT(pm_test_reads(), "first-suffix over header:host\nversion\nfirst-suffix over values:x-tenant\n"
              "first-suffix over header:host");
    PM_EXPECT(ask("x-tenant", "a-gamma, a-BETA ,"), "backend beta");
    PM_EXPECT(ask("x-tenant", "\"a-beta,\\\"b-beta,\", c"), "next");
    PM_EXPECT(ask("x-tenant", "\"\\"), "next");
    PM_EXPECT(ask("x-tenant", ",,,"), "next");
}

void leaves_out_ports_and_minds_labels()
{
    configure(R"([{"suffix": ["a.tld", "::1]", ".b.tld"], "backend": "node",
                   "ignore_port": true, "label_boundary": true}])");
    PM_EXPECT(ask("host", "a.tld:443"), "backend node");
    PM_EXPECT(ask("host", "x.a.tld:"), "backend node");
    PM_EXPECT(ask("host", "xa.tld"), "next");
    PM_EXPECT(ask("host", "x.b.tld"), "backend node");
    PM_EXPECT(ask("host", ".b.tld"), "backend node");
    PM_EXPECT(ask("host", "::1]"), "backend node");
    PM_EXPECT(ask("host", "[a.tld"), "next");
    PM_EXPECT(ask("host", ":::"), "next");
}

void reads_the_server_name_without_http()
{
    for (const char *options : {"", R"(, "label_boundary": true)"}) {
        configure(std::string(R"([{"suffix": "io.test.tld", "backend": "node")") + options + "}]");
        pm_test_request("", "");
        pm_test_version(nullptr);
        PM_EXPECT(pm_test_route(), "next");
        pm_test_tls("a.io.test.tld", nullptr);
        PM_EXPECT(pm_test_route(), "backend node");
    }
}

void takes_the_first_of_equal_suffixes()
{
    configure(R"([{"suffix": ["b", "A"], "backend": "node"},
                  {"suffix": ["a", "c", "B"], "backend": "www"},
                  {"suffix": ["d", "c"], "backend": "node"}])");
    PM_EXPECT(ask("host", "a"), "backend node");
    PM_EXPECT(ask("host", "b"), "backend node");
    PM_EXPECT(ask("host", "c"), "backend www");
    PM_EXPECT(ask("host", "d"), "backend node");
}

void survives_any_octets()
{
    static const char octets[] = "aA.,\"\\:[] \t\xff";
    configure(R"([{"suffix": ["a", ".a", "]"], "backend": "node", "ignore_port": true,
                   "label_boundary": true},
                  {"header": "x", "suffix": "a.", "backend": "www"}])");
    std::srand(1);
    for (int round = 0; round < 20000; round++) {
        char value[12];
        std::size_t length = std::rand() % sizeof value;
        for (std::size_t i = 0; i < length; i++)
            value[i] = octets[std::rand() % (sizeof octets - 1)];
        pm_test_request("GET", "/");
        pm_test_header_n(round % 2 == 0 ? "host" : "x", pm_octets(value, length));
        const char *answer = pm_test_route();
        PM_CHECK(std::strcmp(answer, "next") == 0 || std::strncmp(answer, "backend ", 8) == 0);
    }
}

void refuses(const char *config, const char *expected)
{
    PM_EXPECT(pm_test_configure(config), expected);
}

void refuses_at_the_key()
{
    refuses("{}", R"(missing key "rules")");
    refuses(R"({"rules": 5})", "rules: expected a list, not 5");
    refuses(R"({"rules": [5]})", "rules[0]: expected a table, not 5");
    refuses(R"({"rules": [{"suffix": "a", "backend": "node"},
                {"suffix": "a", "backend": "c"}]})",
            R"(rules[1].backend: there is no backend "c")");
    refuses(R"({"rules": [{"suffix": 5, "backend": "node"}]})",
            "rules[0].suffix: expected a text or a list of texts, not 5");
    refuses(R"({"rules": [{"suffix": ["a", 5], "backend": "node"}]})",
            "rules[0].suffix[1]: expected a text, not 5");
    refuses(R"({"rules": [{"suffix": [], "backend": "node"}]})",
            "rules[0].suffix: an empty list matches no request");
    refuses(R"({"rules": [{"suffix": ["a", ""], "backend": "node"}]})",
            "rules[0].suffix[1]: an empty suffix matches every value; for requests that no "
            "other rule matches, set the frontend's `default_backend`");
    refuses(R"({"rules": [{"suffix": "a", "backend": "node", "header": "x y"}]})",
            R"(rules[0].header: "x y" is not the name of a header field)");
    refuses(R"({"rules": [{"suffix": "a", "backend": "node", "header": ""}]})",
            R"(rules[0].header: "" is not the name of a header field)");
    refuses(R"({"rules": [{"suffix": "a", "backend": "node", "ignore_port": 1}]})",
            "rules[0].ignore_port: expected true or false, not 1");
    refuses(R"({"rules": [{"sufix": "a", "backend": "node"}]})",
            "rules[0].sufix: unknown key");
    refuses(R"({"rules": [{"suffix": "a"}]})", R"(rules[0]: missing key "backend")");
    refuses(R"({"rules": [], "rule": []})", "rule: unknown key");
}

} // namespace

int main()
{
    pm_test_backend("node");
    pm_test_backend("www");
    pm_test_backend("beta");
    compares_the_end_of_host();
    keeps_the_order_of_rules();
    leaves_out_ports_and_minds_labels();
    reads_the_server_name_without_http();
    takes_the_first_of_equal_suffixes();
    survives_any_octets();
    refuses_at_the_key();
    return pm_test_end();
}

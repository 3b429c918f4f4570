// Tests of questions with values instead of numbers.

#include "probe.hpp"

#include <cstdint>
#include <string>

namespace {

using pointsman::Config;
using pointsman::Entry;
using pointsman::Request;
namespace questions = pointsman::questions;

// A type without a hash.
struct Place {
    int zone;
    bool operator==(const Place &other) const { return zone == other.zone; }
};

// Returns the value that the matcher gives for one line of the field `x`.
template <class T> const T *ask(const pointsman::Matcher<T> &matcher, const char *value)
{
    const T *found = nullptr;
    pm_test_request("GET", "/");
    pm_test_header("x", value);
    route([&](Request &request) {
        found = request.ask(matcher);
        return pointsman::next();
    });
    return found;
}

void gives_the_values_of_entries()
{
    pointsman::Matcher<std::string_view> backends;
    PM_EXPECT(configure("{}",
                        [&](Config) {
                            backends = questions::suffix<std::string_view>(
                                "header:x", {{"io.test", "node"}, {".cdn", "cdn"}, {"x", "node"}},
                                pointsman::ignore_case);
                        }),
              "uncacheable");
    PM_CHECK(*ask(backends, "a.IO.test") == "node" && *ask(backends, "a.cdn") == "cdn");
    PM_CHECK(*ask(backends, "x") == "node" && ask(backends, "other") == nullptr);
    PM_EXPECT(pm_test_reads(), "suffix over header:x");
    // Equal values have one number, so they share cached decisions.
    PM_CHECK(ask(backends, "x") == ask(backends, "io.test"));
}

void takes_values_of_any_type()
{
    pointsman::Matcher<Place> places;
    configure("{}", [&](Config) {
        places = questions::network<Place>("header:x",
                                           {{"10.0.0.0/8", {1}}, {"11.0.0.0/8", {1}}, {"::/0", {2}}});
    });
    PM_CHECK(ask(places, "10.0.0.1")->zone == 1 && ask(places, "::1")->zone == 2);
    PM_CHECK(ask(places, "11.0.0.1") == ask(places, "10.0.0.1"));
}

void has_every_matcher()
{
    pointsman::Matcher<int> matchers[7];
    configure("{}", [&](Config) {
        std::vector<Entry<int>> entries = {{"/a", 1}};
        matchers[0] = questions::exact("header:x", entries);
        matchers[1] = questions::prefix("header:x", entries);
        matchers[2] = questions::path_prefix("header:x", entries);
        matchers[3] = questions::suffix("header:x", entries);
        matchers[4] = questions::first_suffix("header:x", entries);
        matchers[5] = questions::domain<int>("header:x", {{"a.test", 1}});
        matchers[6] = questions::regex<int>("header:x", {{"^[0-9]+$", 1}});
    });
    static const char *const cases[][2] = {
        {"/a", "1111100"}, {"/ab", "0100000"}, {"/a/b", "0110000"}, {"b/a", "0001100"},
        {"b.a.test", "0000010"}, {"123", "0000001"},
    };
    for (const auto &item : cases) {
        std::string found;
        for (const auto &matcher : matchers)
            found += ask(matcher, item[0]) == nullptr ? '0' : '1';
        PM_EXPECT(found.c_str(), item[1]);
    }
}

void asks_for_more_than_matches()
{
    pointsman::Share share;
    pointsman::Usable usable;
    pointsman::LookUp look_up;
    pointsman::Value value;
    pm_test_table("tenants", "a", "1");
    configure("{}", [&](Config) {
        share = questions::share("cookie:session", "salt", 50000);
        usable = questions::usable("www");
        look_up = questions::look_up("tenants", "header:x");
        value = questions::value("cookie:session");
    });
    pm_test_share("salt", true);
    pm_test_request("GET", "/");
    pm_test_header("x", "a");
    pm_test_header("cookie", "session=s");
    PM_EXPECT(route([&](Request &request) {
                  PM_CHECK(request.ask(share) && request.ask(usable));
                  PM_CHECK(request.ask(look_up) == "1" && request.ask(value) == "s");
                  PM_CHECK(request.set_header_by("x-tenant", look_up));
                  request.set_affinity_by(value);
                  request.tag_by("tenant", look_up);
                  return pointsman::next();
              }),
              "next");
    PM_EXPECT(pm_test_edits(), "set-by x-tenant: tenants[header:x]");
    PM_EXPECT(pm_test_options(), "affinity-by cookie:session\ntag-by tenant=tenants[header:x]");
    pm_test_share("salt", false);
    pm_test_request("GET", "/");
    route([&](Request &request) {
        PM_CHECK(!request.ask(share) && !request.ask(look_up) && !request.ask(value));
        return pointsman::next();
    });
}

void refuses_at_the_key()
{
    auto define = [](Config config) {
        std::vector<Entry<std::string_view>> entries;
        for (Config name : config["names"])
            entries.push_back({name.text(), "www"});
        questions::exact("host", entries, pointsman::match_case, config["names"]);
        questions::share("hots", "", 1);
    };
    PM_EXPECT(configure(R"({"names": ["a", "a"]})", define),
              R"(names: entry 2 repeats entry 1, "a")");
    PM_EXPECT(configure(R"({"names": ["a"]})", define), R"("hots" is not a part of a request)");
}

} // namespace

void test_questions()
{
    gives_the_values_of_entries();
    takes_values_of_any_type();
    has_every_matcher();
    asks_for_more_than_matches();
    refuses_at_the_key();
}

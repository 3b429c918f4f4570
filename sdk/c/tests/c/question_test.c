/* Tests of questions, and of the double's answers to them. */
#include "probe.h"

enum { MOST = 3 };

/* The question of the current test; its entries are numbered from 1. */
static pm_match match;
static pm_case letters;
static const char *over;
static const char *const *texts;

static pm_question question;
static pm_value_question value_question;
static uint32_t number;
static const char *found;

static void define_matcher(pm_value *config)
{
    pm_numbered entries[MOST];
    size_t count = 0;
    for (; count < MOST && texts[count] != NULL; count++) {
        entries[count].text = pm_text(texts[count]);
        entries[count].number = (uint32_t)count + 1;
    }
    question = pm_define_matcher_n(match, pm_text(over), letters, entries, count,
                                   pm_find(config, "entries"));
}

static pm_decision ask(pm_request *request)
{
    number = pm_ask(request, question);
    return pm_next();
}

static void matches(void)
{
    static const struct {
        pm_match match;
        pm_case letters;
        const char *entries[MOST + 1];
        const char *value;
        uint32_t number;
    } cases[] = {
        {PM_EXACT, PM_MATCH_CASE, {"a", "ab"}, "ab", 2},
        {PM_EXACT, PM_MATCH_CASE, {"a", "ab"}, "AB", 0},
        {PM_EXACT, PM_IGNORE_CASE, {"a", "ab"}, "AB", 2},
        {PM_EXACT, PM_MATCH_CASE, {"a", "ab"}, "abc", 0},
        {PM_PREFIX, PM_MATCH_CASE, {"/a", "/ab", "/"}, "/abc", 2},
        {PM_PREFIX, PM_MATCH_CASE, {"/a", "/ab"}, "/", 0},
        {PM_PATH_PREFIX, PM_MATCH_CASE, {"/a", "/a/b/"}, "/a/b", 2},
        {PM_PATH_PREFIX, PM_MATCH_CASE, {"/a", "/a/b"}, "/a/bc", 1},
        {PM_PATH_PREFIX, PM_MATCH_CASE, {"/a", "/"}, "/ab", 2},
        {PM_SUFFIX, PM_MATCH_CASE, {".test", "io.test"}, "a.io.test", 2},
        {PM_SUFFIX, PM_IGNORE_CASE, {".test"}, "a.TEST", 1},
        {PM_SUFFIX, PM_MATCH_CASE, {".test"}, "test", 0},
        {PM_FIRST_SUFFIX, PM_MATCH_CASE, {".test", "io.test"}, "a.io.test", 1},
        {PM_DOMAIN, PM_IGNORE_CASE, {"test", "io.test"}, "a.IO.test", 2},
        {PM_DOMAIN, PM_IGNORE_CASE, {"test", "io.test"}, "evilio.test.", 1},
        {PM_DOMAIN, PM_IGNORE_CASE, {"io.test"}, "evilio.test", 0},
        {PM_NETWORK, PM_IGNORE_CASE, {"10.0.0.0/8", "10.1.0.0/16", "::/0"}, "10.1.2.3", 2},
        {PM_NETWORK, PM_IGNORE_CASE, {"10.0.0.0/8", "10.1.0.0/16", "::/0"}, "10.2.2.3", 1},
        {PM_NETWORK, PM_IGNORE_CASE, {"10.0.0.0/8", "::1"}, "::1", 2},
        {PM_NETWORK, PM_IGNORE_CASE, {"0.0.0.0/0"}, "x", 0},
        {PM_NETWORK, PM_IGNORE_CASE, {"0.0.0.0/0"}, "10.0.0.0/8", 0},
        {PM_REGEX, PM_MATCH_CASE, {"^b+$", "b"}, "abba", 2},
        {PM_REGEX, PM_MATCH_CASE, {"^b+$", "b"}, "bb", 1},
        {PM_REGEX, PM_MATCH_CASE, {"^b+$"}, "a", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        match = cases[i].match;
        letters = cases[i].letters;
        texts = cases[i].entries;
        over = "header:x";
        PM_EXPECT(configure("{}", define_matcher), "uncacheable");
        pm_test_request("GET", "/");
        pm_test_header("x", cases[i].value);
        route(ask);
        if (number != cases[i].number)
            PM_EXPECT(pm_format("case %zu: %u", i, (unsigned)number), cases[i].value);
    }
    PM_EXPECT(pm_test_reads(), "regex over header:x");
}

static void build_request(void)
{
    pm_test_request("GET", "/p?q=%41");
    pm_test_header("Host", "A.test:80");
    pm_test_header("x", "one , \"two,\"");
    pm_test_header("x", "three");
    pm_test_header("cookie", "a=b");
    pm_test_tls("sni.test", NULL);
    pm_test_body(pm_text("{\"m\": {\"n~/\": [true, 1.50, \"t\"]}, \"d\": 1, \"d\": 2}"), true);
}

static pm_decision ask_value(pm_request *request)
{
    found = kept(pm_ask_value(request, value_question));
    return pm_next();
}

static void define_value(pm_value *config)
{
    (void)config;
    value_question = pm_define_value(over, NULL);
}

static void knows_every_part(void)
{
    static const char *const cases[][2] = {
        {"method", "GET"},
        {"scheme", "https"},
        {"authority", "A.test:80"},
        {"host", "a.test"},
        {"path", "/p"},
        {"path-with-query", "/p?q=%41"},
        {"query:q", "A"},
        {"query:r", "(none)"},
        {"header:X", "one , \"two,\""},
        {"values:x", "one"},
        {"values:y", "(none)"},
        {"cookie:a", "b"},
        {"client-address", "127.0.0.1"},
        {"server-name", "sni.test"},
        {"body-json:/m/n~0~1/0", "true"},
        {"body-json:/m/n~0~1/1", "1.50"},
        {"body-json:/m/n~0~1/2", "t"},
        {"body-json:/m/n~0~1", "(none)"},
        {"body-json:/m/n~0~1/3", "(none)"},
        {"body-json:/d", "(none)"},
        {"body-json:", "(none)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        over = cases[i][0];
        PM_EXPECT(configure("{}", define_value), "uncacheable");
        build_request();
        route(ask_value);
        PM_EXPECT(found, cases[i][1]);
    }
    over = "body-json:/d";
    configure("{}", define_value);
    pm_test_body(pm_text("{\"d\": 1}"), true);
    route(ask_value);
    PM_EXPECT(found, "1");
    pm_test_body(pm_text("{\"d\": 1}"), false);
    route(ask_value);
    PM_EXPECT(found, "(none)");
    pm_test_body(pm_text("{\"d\": 1}"), true);
    pm_test_header("content-encoding", "gzip");
    route(ask_value);
    PM_EXPECT(found, "(none)");
}

static void takes_the_best_of_all_members(void)
{
    static const char *const entries[MOST + 1] = {"e", "three", "o,\""};
    match = PM_FIRST_SUFFIX;
    texts = entries;
    over = "values:x";
    configure("{}", define_matcher);
    build_request();
    route(ask);
    PM_CHECK(number == 1);
    match = PM_SUFFIX;
    configure("{}", define_matcher);
    route(ask);
    PM_CHECK(number == 2);
    static const char *const whole[MOST + 1] = {"three", "one"};
    match = PM_EXACT;
    texts = whole;
    configure("{}", define_matcher);
    route(ask);
    PM_CHECK(number == 2);
}

static void define_share(pm_value *config)
{
    question = pm_define_share(over, "salt", (uint32_t)pm_as_integer(pm_get(config, "n"), 0, 2000000),
                               pm_find(config, "n"));
}

static void answers_shares(void)
{
    over = "cookie:a";
    configure("{\"n\": 50000}", define_share);
    build_request();
    route(ask);
    PM_CHECK(number == 0);
    pm_test_share("salt", true);
    route(ask);
    PM_CHECK(number == 1);
    PM_EXPECT(pm_test_reads(), "share over cookie:a");
    pm_test_request("GET", "/");
    route(ask);
    PM_CHECK(number == 0);
    over = "random";
    configure("{\"n\": 1000000}", define_share);
    pm_test_share("salt", false);
    route(ask);
    PM_CHECK(number == 1);
    configure("{\"n\": 0}", define_share);
    pm_test_share("salt", true);
    route(ask);
    PM_CHECK(number == 0);
    PM_EXPECT(configure("{\"n\": 1000001}", define_share),
              "n: a share is at most 1000000 per million");
}

static void define_look_up(pm_value *config)
{
    (void)config;
    value_question = pm_define_look_up("tenants", "header:x-tenant", NULL);
}

static void looks_up(void)
{
    PM_EXPECT(configure("{}", define_look_up), "there is no table \"tenants\"");
    pm_test_table("tenants", "a", "1");
    pm_test_table("tenants", "a", "2");
    PM_EXPECT(configure("{}", define_look_up), "uncacheable");
    pm_test_request("GET", "/");
    route(ask_value);
    PM_EXPECT(found, "(none)");
    pm_test_header("X-Tenant", "a");
    pm_test_header("X-Tenant", "b");
    route(ask_value);
    PM_EXPECT(found, "2");
    PM_EXPECT(pm_test_reads(), "look-up tenants[header:x-tenant]");
    pm_test_request("GET", "/");
    pm_test_header("X-Tenant", "b");
    route(ask_value);
    PM_EXPECT(found, "(none)");
}

static void define_usable(pm_value *config)
{
    (void)config;
    question = pm_define_usable("primary", NULL);
}

static void knows_usable_backends(void)
{
    pm_backend_state down = {0, 0, 0};
    pm_test_no_backends();
    PM_EXPECT(configure("{}", define_usable), "there is no backend \"primary\"");
    pm_test_backend("primary");
    PM_EXPECT(configure("{}", define_usable), "uncacheable");
    route(ask);
    PM_CHECK(number == 1);
    PM_EXPECT(pm_test_reads(), "usable primary");
    pm_test_backend_state("primary", down);
    route(ask);
    PM_CHECK(number == 0);
}

static void refuses_at(const char *const *entries, const char *of, const char *config,
                       const char *expected)
{
    texts = entries;
    over = of;
    PM_EXPECT(configure(config, define_matcher), expected);
}

static void define_zero(pm_value *config)
{
    pm_numbered entries[] = {{pm_text("a"), 1}, {pm_text("b"), 0}};
    (void)config;
    question = pm_define_exact("host", PM_MATCH_CASE, entries, 2, NULL);
}

static void refuses_definitions(void)
{
    static const char *const equal[] = {"a", "b", "a", NULL};
    static const char *const octets[] = {"a", "\xff", NULL};
    static const char *const folded[] = {"a", "A", NULL};
    match = PM_EXACT;
    letters = PM_MATCH_CASE;
    refuses_at(equal, "host", "{\"entries\": []}", "entries: entry 3 repeats entry 1, \"a\"");
    refuses_at(equal, "host", "{}", "entry 3 repeats entry 1, \"a\"");
    refuses_at(octets, "host", "{}", "entry 2: the text is not UTF-8");
    refuses_at(folded, "host", "{}", "uncacheable");
    letters = PM_IGNORE_CASE;
    refuses_at(folded, "host", "{}", "entry 2 repeats entry 1, \"A\"");
    refuses_at(folded, "hots", "{}", "\"hots\" is not a part of a request");
    refuses_at(folded, "cookie", "{}", "\"cookie\" is not a part of a request");
    refuses_at(folded, "\xff", "{}", "the name of a part is not UTF-8");
    match = PM_NETWORK;
    refuses_at(equal, "client-address", "{}", "entry 1, \"a\", is not a network (CIDR)");
    PM_EXPECT(configure("{}", define_zero),
              "entry 2: the number is 0, which stands for no answer");
}

void test_question(void)
{
    matches();
    knows_every_part();
    takes_the_best_of_all_members();
    answers_shares();
    looks_up();
    knows_usable_backends();
    refuses_definitions();
}

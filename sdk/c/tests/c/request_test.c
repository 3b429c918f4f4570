/* Reads and edits of a request, on hostile input too. */
#include <stdlib.h>

#include "probe.h"

/* What the test at hand asks for. */
static const char *name;
static const char *found;

static pm_decision find_query_param(pm_request *request)
{
    found = kept(pm_query_param(request, name));
    return pm_default_backend();
}

static void reads_query_parameters(void)
{
    static const char *const cases[][3] = {
        {"/", "a", "(none)"},
        {"/?", "a", "(none)"},
        {"/?", "", ""},
        {"/", "", "(none)"},
        {"/?a", "a", ""},
        {"/?a=", "a", ""},
        {"/?a=1&a=2", "a", "1"},
        {"/?b=1&a=2", "a", "2"},
        {"/?&&a=2", "a", "2"},
        {"/?=1", "", "1"},
        {"/?a=b=c", "a", "b=c"},
        {"/?a=1?a=2", "a", "1?a=2"},
        {"/?A=1", "a", "(none)"},
        {"/?ab=1", "a", "(none)"},
        {"/?a=%41+%2b%2B", "a", "A ++"},
        {"/?%61%20b=1", "a b", "1"},
        {"/?a+b=1", "a b", "1"},
        {"/?a%3d=1", "a=", "1"},
        {"/?a=%", "a", "%"},
        {"/?a=%4", "a", "%4"},
        {"/?a=%4g%41", "a", "%4gA"},
        {"/?a=%%41", "a", "%A"},
        {"/?a=%ff", "a", "\xff"},
        {"/?%=1", "%", "1"},
        {"*", "a", "(none)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_test_request("GET", cases[i][0]);
        name = cases[i][1];
        route(find_query_param);
        PM_EXPECT(found, cases[i][2]);
    }
}

static pm_decision split_target(pm_request *request)
{
    pm_str path = pm_path(request);
    pm_str query = pm_query(request);
    found = kept(pm_text(pm_format("%.*s|%s", PM_ARG(path),
                                   pm_is_none(query) ? "(none)" : pm_c_string(query))));
    return pm_default_backend();
}

static void splits_the_target(void)
{
    static const char *const cases[][2] = {
        {"/", "/|(none)"},    {"/a?b=c", "/a|b=c"}, {"/a?", "/a|"},
        {"/?a?b", "/|a?b"},   {"*", "*|(none)"},    {"", "|(none)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_test_request("GET", cases[i][0]);
        route(split_target);
        PM_EXPECT(found, cases[i][1]);
        PM_EXPECT(pm_test_reads(), "path-with-query");
    }
}

static pm_decision find_cookie(pm_request *request)
{
    found = kept(pm_cookie(request, name));
    return pm_default_backend();
}

static void finds_cookies(void)
{
    static const char *const cases[][2] = {
        {"a", "2"},    {"ab", "1"}, {"A", "(none)"}, {"b", "\xff"},        {"c", "(none)"},
        {"d", ""},     {"", "x"},   {"e", "f=g"},    {"cookie", "(none)"}, {"ab=1", "(none)"},
        {"q", "\"1\""},
    };
    pm_test_request("GET", "/");
    pm_test_header("cookie", "ab=1; a=2;a=3");
    pm_test_header("x", "a=0");
    pm_test_header("Cookie", "b=\xff; =x;c ; d=; \te=f=g\t;; q=\"1\"");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        name = cases[i][0];
        route(find_cookie);
        PM_EXPECT(found, cases[i][1]);
    }
    PM_EXPECT(pm_test_reads(), "header cookie");
    name = NULL;
    route(find_cookie);
    PM_EXPECT(found, "(none)");
}

static pm_decision read_fields(pm_request *request)
{
    PM_CHECK(pm_is(pm_header(request, "x-A"), "1"));
    pm_strs lines = pm_header_lines(request, "X-a");
    PM_CHECK(lines.len == 2 && pm_is(lines.items[1], "2"));
    PM_CHECK(pm_is_none(pm_header(request, "y")) && pm_header_lines(request, "y").len == 0);
    PM_CHECK(!pm_is_none(pm_header(request, "empty")) && pm_is(pm_header(request, "empty"), ""));
    PM_EXPECT(pm_header_text(request, "x-a"), "1");
    PM_EXPECT(pm_header_text(request, "y"), NULL);
    PM_EXPECT(pm_header_text(request, "host"), NULL);
    PM_EXPECT(pm_header_text(request, "nul"), NULL);
    PM_CHECK(pm_is_none(pm_header(request, "\xff")) && pm_is_none(pm_header(request, NULL)));
    pm_fields fields = pm_headers(request);
    PM_CHECK(fields.len == 5 && pm_is(fields.items[0].name, "host"));
    PM_CHECK(pm_is(fields.items[0].value, "\xff.test:1") && pm_is(fields.items[3].value, ""));
    return pm_default_backend();
}

static pm_decision read_host_twice(pm_request *request)
{
    pm_str hostname = pm_hostname(request);
    found = kept(hostname);
    PM_CHECK(pm_is_none(hostname) == pm_is_none(pm_host(request)));
    pm_method(request);
    PM_CHECK(pm_is(pm_method(request), "PUT"));
    return pm_default_backend();
}

static void reads_fields_as_octets(void)
{
    pm_test_request("PUT", "/");
    route(read_host_twice);
    PM_EXPECT(found, "(none)");
    PM_EXPECT(pm_test_reads(), "header host\nmethod");
    pm_test_header("Host", "\xff.test:1");
    pm_test_header("X-A", "1");
    pm_test_header("x-a", "2");
    pm_test_header("empty", "");
    pm_test_header_n("nul", pm_octets("a\0b", 3));
    route(read_host_twice);
    PM_EXPECT(found, "\xff.test");
    PM_EXPECT(route(read_fields), "default");
}

static pm_decision read_peer(pm_request *request)
{
    pm_tls_session session;
    bool secure = pm_tls(request, &session);
    pm_str scheme = pm_scheme(request);
    pm_peer peer = pm_client(request);
    const char *server_name =
        pm_is_none(session.server_name) ? "(none)" : pm_c_string(session.server_name);
    const char *alpn = pm_is_none(session.alpn) ? "(none)" : pm_c_string(session.alpn);
    found = kept(pm_text(pm_format("%.*s %.*s %u %s %s %s %u", PM_ARG(scheme),
                                   PM_ARG(peer.address), peer.port, secure ? "tls" : "clear",
                                   server_name, alpn, pm_attempt(request))));
    return pm_default_backend();
}

static void reads_the_peer(void)
{
    pm_test_request("GET", "/");
    route(read_peer);
    PM_EXPECT(found, "http 127.0.0.1 49152 clear (none) (none) 0");
    pm_test_client("/run/a.sock", 0);
    pm_test_tls("a.test", NULL);
    pm_test_attempt(4294967295);
    route(read_peer);
    PM_EXPECT(found, "https /run/a.sock 0 tls a.test (none) 4294967295");
    pm_test_tls(NULL, "h2");
    route(read_peer);
    PM_EXPECT(found, "https /run/a.sock 0 tls (none) h2 4294967295");
}

static pm_decision edit(pm_request *request)
{
    PM_CHECK(pm_set_header(request, "X-A", pm_text("\xff")) == PM_EDITED);
    PM_CHECK(pm_append_header(request, "x-b", pm_none()) == PM_EDITED);
    PM_CHECK(pm_remove_header(request, "X-c") == PM_EDITED);
    PM_CHECK(pm_set_header(request, "host", pm_text("b")) == PM_EDITED);
    PM_CHECK(pm_set_path_with_query(request, pm_text("/new?a=b")) == PM_EDITED);
    PM_CHECK(pm_is(pm_target(request), "/old"));

    PM_CHECK(pm_set_header(request, "a b", pm_text("c")) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_set_header(request, "\xff", pm_text("c")) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_append_header(request, "", pm_text("c")) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_append_header(request, "a", pm_text("c\r\nd: e")) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_remove_header(request, "\xff") == PM_INVALID_SYNTAX);
    PM_CHECK(pm_set_path_with_query(request, pm_text("a")) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_set_path_with_query(request, pm_text("/\xff")) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_set_path_with_query(request, pm_none()) == PM_INVALID_SYNTAX);
    PM_CHECK(pm_remove_header(request, "Content-Length") == PM_FORBIDDEN);
    PM_CHECK(pm_set_header(request, "sec-websocket-key", pm_text("a")) == PM_FORBIDDEN);
    PM_CHECK(pm_append_header(request, "Host", pm_text("a")) == PM_FORBIDDEN);
    PM_CHECK(pm_remove_header(request, "host") == PM_FORBIDDEN);
    return pm_default_backend();
}

static void edits(void)
{
    pm_test_request("GET", "/old");
    route(edit);
    PM_EXPECT(pm_test_edits(), "set x-a: \xff\nappend x-b: \nremove x-c\nset host: b\n"
                               "path-with-query /new?a=b");
}

static pm_decision read_all(pm_request *request)
{
    pm_tls_session session;
    pm_fields fields = pm_headers(request);
    for (size_t i = 0; i < fields.len; i++) {
        pm_trim(fields.items[i].value);
        pm_is_utf8(fields.items[i].value);
        pm_set_header(request, pm_c_string(fields.items[i].name), fields.items[i].value);
        pm_set_path_with_query(request, fields.items[i].value);
        pm_log(PM_DEBUG, "%.*s", PM_ARG(fields.items[i].value));
    }
    pm_hostname(request);
    pm_tls(request, &session);
    pm_header_text(request, "cookie");
    pm_query_param_n(request, pm_header(request, "host"));
    pm_cookie_n(request, pm_header(request, "host"));
    pm_decision response = pm_redirect(302, pm_query_param(request, "a"));
    pm_add_header_n(&response, pm_cookie(request, "a"), pm_query(request));
    return pm_is_none(pm_cookie(request, "b")) ? pm_backend_n(pm_query_param(request, "b"))
                                               : response;
}

static pm_str any_octets(char *room, size_t size, const char *octets, size_t count)
{
    size_t length = (size_t)rand() % size;
    for (size_t i = 0; i < length; i++)
        room[i] = octets[(size_t)rand() % count];
    return pm_octets(room, length);
}

static void survives_any_octets(void)
{
    static const char octets[] = "abA=;:,?&%+[] \t\"\0\x80\xc3\xff/4";
    char room[24];
    srand(2);
    for (int round = 0; round < 20000; round++) {
        pm_test_request("GET", pm_c_string(any_octets(room, sizeof room, octets, 20)));
        pm_test_header_n("host", any_octets(room, sizeof room, octets, sizeof octets - 1));
        pm_test_header_n("cookie", any_octets(room, sizeof room, octets, sizeof octets - 1));
        PM_CHECK(strlen(route(read_all)) > 0);
    }
    pm_test_log();
}

void test_request(void)
{
    configure("{}", NULL);
    reads_query_parameters();
    splits_the_target();
    finds_cookies();
    reads_fields_as_octets();
    reads_the_peer();
    edits();
    survives_any_octets();
}

/* Tests of reads of a request, including hostile input. */
#include <stdlib.h>

#include "probe.h"

/* The name that the current test reads. */
static const char *name;
static const char *found;

static pm_decision find_query_parameter(pm_request *request)
{
    found = kept(pm_query_parameter(request, name));
    return pm_default_backend();
}

static void reads_query_parameters(void)
{
    static const char *const cases[][3] = {
        {"/", "a", "(none)"},          {"/?", "a", "(none)"},    {"/?a", "a", ""},
        {"/?a=1&a=2", "a", "1"},       {"/?b=1&a=2", "a", "2"},  {"/?a=b=c", "a", "b=c"},
        {"/?A=1", "a", "(none)"},      {"/?a=%41+%2b", "a", "A +"}, {"/?%61%20b=1", "a b", "1"},
        {"/?a=%4g%", "a", "%4g%"},     {"/?a=%ff", "a", "\xff"}, {"*", "a", "(none)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_test_request("GET", cases[i][0]);
        name = cases[i][1];
        route(find_query_parameter);
        PM_EXPECT(found, cases[i][2]);
    }
    PM_EXPECT(pm_test_reads(), "query-parameter a");
    name = NULL;
    route(find_query_parameter);
    PM_EXPECT(found, "(none)");
    PM_EXPECT(pm_test_reads(), "");
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
        PM_EXPECT(pm_test_reads(), "path\npath-with-query");
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
    PM_EXPECT(pm_test_reads(), "cookie q");
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
    PM_CHECK(fields.len == 5 && pm_is(fields.items[0].name, "Host"));
    PM_CHECK(pm_is(fields.items[0].value, "\xff.test:1") && pm_is(fields.items[3].value, ""));
    return pm_default_backend();
}

static void reads_fields_as_octets(void)
{
    pm_test_request("PUT", "/");
    pm_test_header("Host", "\xff.test:1");
    pm_test_header("X-A", "1");
    pm_test_header("x-a", "2");
    pm_test_header("empty", "");
    pm_test_header_n("nul", pm_octets("a\0b", 3));
    PM_EXPECT(route(read_fields), "default");
}

static pm_decision read_host(pm_request *request)
{
    PM_CHECK(pm_is(pm_method(request), "PUT"));
    pm_str authority = pm_authority(request);
    pm_str host = pm_host(request);
    found = kept(pm_text(pm_format("%.*s|%.*s", PM_ARG(authority), PM_ARG(host))));
    return pm_default_backend();
}

static void reads_the_host(void)
{
    static const char *const cases[][2] = {
        {"A.Test:80", "A.Test:80|a.test"}, {"a.", "a.|a"},           {"a.:1", "a.:1|a"},
        {"[::1]:80", "[::1]:80|[::1]"},    {"[::A]", "[::A]|[::a]"}, {"", "|"},
        {":", ":|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_test_request("PUT", "/");
        pm_test_header("Host", cases[i][0]);
        route(read_host);
        PM_EXPECT(found, cases[i][1]);
    }
    pm_test_request("PUT", "/");
    route(read_host);
    PM_EXPECT(found, "|");
    PM_EXPECT(pm_test_reads(), "method\nauthority\nhost");
    pm_test_version(NULL);
    pm_test_tls("sni.test", NULL);
    route(read_host);
    PM_EXPECT(found, "|sni.test");
}

static const char *shown(pm_str octets)
{
    return pm_is_none(octets) ? "(none)" : pm_c_string(octets);
}

static pm_decision read_connection(pm_request *request)
{
    found = kept(pm_text(pm_format(
        "%s %s %s %u %s %s %u", shown(pm_version(request)), shown(pm_scheme(request)),
        shown(pm_client_address(request)), pm_client_port(request),
        shown(pm_server_name(request)), shown(pm_alpn(request)), pm_attempt(request))));
    return pm_default_backend();
}

static void reads_the_connection(void)
{
    pm_test_request("GET", "/");
    route(read_connection);
    PM_EXPECT(found, "1.1 http 127.0.0.1 49152 (none) (none) 0");
    pm_test_client("", 0);
    pm_test_version(NULL);
    pm_test_tls("a.test", NULL);
    pm_test_attempt(4294967295);
    route(read_connection);
    PM_EXPECT(found, "(none) https  0 a.test (none) 4294967295");
    pm_test_tls(NULL, "h2");
    route(read_connection);
    PM_EXPECT(found, "(none) https  0 (none) h2 4294967295");
}

static pm_decision read_certificate(pm_request *request)
{
    uint64_t not_after;
    bool has_end = pm_client_certificate_not_after(request, &not_after);
    pm_strs names = pm_client_certificate_names(request);
    found = kept(pm_text(pm_format(
        "%s %s %zu %s %s %s %d %llu", shown(pm_client_certificate_subject(request)),
        shown(pm_client_certificate_issuer(request)), names.len,
        names.len > 1 ? shown(names.items[1]) : "-", shown(pm_client_certificate_serial(request)),
        shown(pm_client_certificate_sha256(request)), has_end, (unsigned long long)not_after)));
    return pm_default_backend();
}

static void reads_the_certificate(void)
{
    pm_test_certificate certificate = {"CN=a", "CN=b", "a.test spiffe://b", "0f", "ff00", 1ull << 40};
    pm_test_request("GET", "/");
    route(read_certificate);
    PM_EXPECT(found, "(none) (none) 0 - (none) (none) 0 0");
    pm_test_client_certificate(certificate);
    route(read_certificate);
    PM_EXPECT(found, "CN=a CN=b 2 spiffe://b 0f ff00 1 1099511627776");
}

static pm_decision read_body(pm_request *request)
{
    found = kept(pm_text(pm_format("%s %d", shown(pm_body_prefix(request)),
                                   pm_body_is_complete(request))));
    return pm_default_backend();
}

static void reads_the_body(void)
{
    pm_test_request("POST", "/");
    route(read_body);
    PM_EXPECT(found, "(none) 0");
    pm_test_body(pm_text("ab"), false);
    route(read_body);
    PM_EXPECT(found, "ab 0");
    pm_test_body(pm_none(), true);
    route(read_body);
    PM_EXPECT(found, " 1");
    PM_EXPECT(pm_test_reads(), "body-is-complete\nbody-prefix");
}

static pm_decision read_all(pm_request *request)
{
    pm_str host = pm_host(request);
    pm_info("%.*s", PM_ARG(host));
    pm_fail_n(pm_path_with_query(request));
    pm_header_lines_n(request, pm_cookie(request, "a"));
    pm_cookie_n(request, pm_header(request, "host"));
    pm_tag(request, "cookie", pm_cookie(request, "a"));
    pm_decision response = pm_redirect(302, pm_query_parameter(request, "a"));
    pm_add_header_n(&response, pm_cookie(request, "a"), pm_query(request));
    return pm_is_none(pm_cookie(request, "b")) ? pm_backend_n(pm_query_parameter(request, "b"))
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
    reads_the_host();
    reads_the_connection();
    reads_the_certificate();
    reads_the_body();
    survives_any_octets();
}

/* Edits and options of a request. */
#include "probe.h"

static pm_value_question session;

static void define_session(pm_value *config)
{
    (void)config;
    session = pm_define_value("cookie:session", NULL);
}

static pm_decision edit(pm_request *request)
{
    PM_CHECK(pm_set_header(request, "X-A", pm_text("\xff")));
    PM_CHECK(pm_append_header(request, "x-b", pm_none()));
    PM_CHECK(pm_remove_header(request, "X-c"));
    PM_CHECK(pm_set_header_by(request, "X-d", session));
    PM_CHECK(pm_set_authority(request, pm_text("b.test:1")));
    PM_CHECK(pm_set_path_with_query(request, pm_text("/new?a=b")));
    PM_CHECK(pm_replace_path_prefix(request, 4, pm_text("/v2")));
    PM_CHECK(pm_set_response_header(request, "X-E", pm_text("1")));
    PM_CHECK(pm_append_response_header(request, "set-cookie", pm_text("a=b")));
    PM_CHECK(pm_remove_response_header(request, "Server"));
    PM_CHECK(pm_is(pm_path(request), "/old"));
    PM_CHECK(pm_is_none(pm_take_edit_error(request)));
    return pm_next();
}

static void edits(void)
{
    pm_test_request("GET", "/old");
    PM_EXPECT(route(edit), "next");
    PM_EXPECT(pm_test_edits(), "set x-a: \xff\nappend x-b: \nremove x-c\n"
                               "set-by x-d: cookie:session\nauthority b.test:1\n"
                               "path-with-query /new?a=b\nreplace-path-prefix 4 /v2");
    PM_EXPECT(pm_test_response_edits(), "set x-e: 1\nappend set-cookie: a=b\nremove server");
    PM_EXPECT(pm_test_options(), "");
}

/* The edit of the current test. */
static bool (*bad_edit)(pm_request *request);

static bool set_no_name(pm_request *request)
{
    return pm_set_header(request, "a b", pm_text("c"));
}

static bool set_no_text(pm_request *request)
{
    return pm_set_header(request, "\xff", pm_text("c"));
}

static bool split_response(pm_request *request)
{
    return pm_append_response_header(request, "a", pm_text("c\r\nd: e"));
}

static bool frame(pm_request *request)
{
    return pm_remove_header(request, "Content-Length");
}

static bool set_host(pm_request *request)
{
    return pm_set_header(request, "host", pm_text("a"));
}

static bool set_host_by(pm_request *request)
{
    return pm_set_header_by(request, "host", session);
}

static bool set_userinfo(pm_request *request)
{
    return pm_set_authority(request, pm_text("a@b"));
}

static bool set_relative_target(pm_request *request)
{
    return pm_set_path_with_query(request, pm_text("a"));
}

static bool set_octets_as_target(pm_request *request)
{
    return pm_set_path_with_query(request, pm_text("/\xff"));
}

static bool replace_too_much(pm_request *request)
{
    return pm_replace_path_prefix(request, 5, pm_text("/"));
}

static bool replace_by_octets(pm_request *request)
{
    return pm_replace_path_prefix(request, 1, pm_text("\xff"));
}

static pm_decision fail_to_edit(pm_request *request)
{
    PM_CHECK(!bad_edit(request));
    /* The first error counts. */
    PM_CHECK(!pm_set_header(request, "", pm_none()));
    return pm_backend("a");
}

static pm_decision take_the_error(pm_request *request)
{
    PM_CHECK(!bad_edit(request));
    PM_CHECK(!pm_is_none(pm_take_edit_error(request)));
    PM_CHECK(pm_is_none(pm_take_edit_error(request)));
    return pm_backend("a");
}

static pm_decision fail_with_text(pm_request *request)
{
    bad_edit(request);
    return pm_fail("own text");
}

static void an_edit_that_fails_is_the_error(void)
{
    static const struct {
        bool (*edit)(pm_request *request);
        const char *expected;
    } cases[] = {
        {set_no_name, "error \"a b\" is not the name of a field"},
        {set_no_text, "error the name of a field is not UTF-8"},
        {split_response, "error a control character in a field's value"},
        {frame, "error \"Content-Length\" is set by the proxy"},
        {set_host, "error \"host\" is set by the proxy"},
        {set_host_by, "error \"host\" is set by the proxy"},
        {set_userinfo, "error not an authority"},
        {set_relative_target, "error not a target in origin form"},
        {set_octets_as_target, "error the target is not UTF-8"},
        {replace_too_much, "error the prefix is longer than the path"},
        {replace_by_octets, "error the replacement of a path's prefix is not UTF-8"},
    };
    pm_test_request("GET", "/old");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bad_edit = cases[i].edit;
        PM_EXPECT(route(fail_to_edit), cases[i].expected);
        PM_EXPECT(pm_test_edits(), "");
        PM_EXPECT(route(take_the_error), "backend a");
        PM_EXPECT(route(fail_with_text), "error own text");
    }
}

static pm_decision set_options(pm_request *request)
{
    pm_set_affinity(request, pm_text("\xff"));
    pm_set_affinity_by(request, session);
    pm_set_queue_timeout_ms(request, 0);
    pm_set_connect_timeout_ms(request, 1);
    pm_set_server_timeout_ms(request, 2);
    pm_set_tunnel_timeout_ms(request, 4294967295);
    pm_set_tries(request, 16);
    pm_tag(request, "a", pm_text("\xff"));
    pm_tag_by(request, "b", session);
    return pm_next();
}

static void options(void)
{
    PM_EXPECT(route(set_options), "next");
    PM_EXPECT(pm_test_options(),
              "affinity \xff\naffinity-by cookie:session\nqueue-timeout 0\nconnect-timeout 1\n"
              "server-timeout 2\ntunnel-timeout 4294967295\ntries 16\ntag a=\xef\xbf\xbd\n"
              "tag-by b=cookie:session");
    PM_EXPECT(pm_test_reads(), "");
}

void test_edit(void)
{
    configure("{}", define_session);
    edits();
    an_edit_that_fails_is_the_error();
    options();
}

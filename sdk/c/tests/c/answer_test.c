/* Decisions, backends and the log. */
#include "probe.h"

static pm_decision answer;
static bool exists;

static pm_decision to_backend(pm_request *request)
{
    char name[] = "on_the_stack";
    (void)request;
    pm_decision decision = pm_backend(name);
    name[0] = 'x';
    return decision;
}

static pm_decision to_no_text(pm_request *request)
{
    (void)request;
    return pm_backend("\xff");
}

static pm_decision respond(pm_request *request)
{
    (void)request;
    pm_decision response = pm_respond(403, pm_text("no\n"));
    pm_add_header(&response, "content-type", pm_text("text/plain"));
    pm_add_header(&response, "x-octets", pm_text("\xff"));
    pm_add_header(&response, "\xff", pm_none());
    return response;
}

static pm_decision redirect(pm_request *request)
{
    (void)request;
    return pm_redirect(302, pm_text("/a"));
}

static pm_decision respond_beyond(pm_request *request)
{
    (void)request;
    return pm_respond(65536 + 200, pm_none());
}

static pm_decision fail(pm_request *request)
{
    (void)request;
    return pm_fail("%s %d \xff", "a", 1);
}

static void answers(void)
{
    pm_test_request("GET", "/");
    PM_EXPECT(route(to_backend), "backend on_the_stack");
    PM_EXPECT(route(to_no_text), "error the name of the backend is not UTF-8");
    PM_EXPECT(route(respond), "respond 403\ncontent-type: text/plain\nx-octets: \xff\n"
                              "\xef\xbf\xbd: \n\nno\n");
    PM_EXPECT(route(redirect), "respond 302\nlocation: /a");
    PM_EXPECT(route(respond_beyond), "respond 0");
    PM_EXPECT(route(fail), "error a 1 \xef\xbf\xbd");
}

static pm_decision ask_for_load(pm_request *request)
{
    (void)request;
    pm_load load;
    exists = pm_backend_load("a", &load);
    return pm_fail("%u %u %u", load.usable_servers, load.active, load.queued);
}

static void ask_in_configure(pm_value *config)
{
    (void)config;
    exists = pm_backend_exists("a") && !pm_backend_exists("b") && !pm_backend_exists("\xff") &&
             !pm_backend_exists(NULL);
}

static void knows_backends(void)
{
    pm_load busy = {1, 2, 3};
    pm_test_no_backends();
    route(ask_for_load);
    PM_CHECK(!exists);
    pm_test_backend("a");
    PM_EXPECT(configure("{}", ask_in_configure), "uncacheable");
    PM_CHECK(exists);
    PM_EXPECT(route(ask_for_load), "error 1 0 0");
    pm_test_backend_load("a", busy);
    PM_EXPECT(route(ask_for_load), "error 1 2 3");
}

static pm_decision write_log(pm_request *request)
{
    (void)request;
    pm_str octets = pm_text("\xffz");
    pm_trace("a");
    pm_debug("%d", 1);
    pm_info("%.*s", PM_ARG(octets));
    pm_warn("%s", "");
    pm_error("b\nc");
    return pm_default_backend();
}

static void logs(void)
{
    pm_test_log();
    route(write_log);
    PM_EXPECT(pm_test_log(), "trace: a\ndebug: 1\ninfo: \xef\xbf\xbdz\nwarn: \nerror: b\nc");
    PM_EXPECT(pm_test_log(), "");
}

static pm_decision given(pm_request *request)
{
    (void)request;
    return answer;
}

static void make_answer(pm_value *config)
{
    (void)config;
    answer = pm_respond(200, pm_text("made once"));
    pm_add_header(&answer, "a", pm_text("b"));
}

/* What is made in configure stays. */
static void keeps_what_configure_made(void)
{
    configure("{}", make_answer);
    for (int i = 0; i < 3; i++)
        PM_EXPECT(route(given), "respond 200\na: b\n\nmade once");
}

void test_answer(void)
{
    configure("{}", NULL);
    answers();
    knows_backends();
    logs();
    keeps_what_configure_made();
}

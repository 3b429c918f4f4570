/* Tests of decisions, backends and the log. */
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

static pm_decision to_server(pm_request *request)
{
    (void)request;
    return pm_server("a", "s1", PM_ASK_AGAIN);
}

static pm_decision to_any_server(pm_request *request)
{
    (void)request;
    return pm_server("a", "s2", PM_ANOTHER_SERVER);
}

static pm_decision to_no_server(pm_request *request)
{
    (void)request;
    return pm_server("a", "\xff", PM_ANOTHER_SERVER);
}

static pm_decision to_next(pm_request *request)
{
    (void)request;
    return pm_next();
}

static void answers(void)
{
    pm_test_request("GET", "/");
    PM_EXPECT(route(to_backend), "backend on_the_stack");
    PM_EXPECT(route(to_no_text), "error the name of the backend is not UTF-8");
    PM_EXPECT(route(respond), "respond 403\ncontent-type: text/plain\nx-octets: \xff\n"
                              "\xef\xbf\xbd: \n\nno\n");
    PM_EXPECT(route(to_server), "server a/s1, otherwise ask-again");
    PM_EXPECT(route(to_any_server), "server a/s2, otherwise another-server");
    PM_EXPECT(route(to_no_server), "error the name of the backend or server is not UTF-8");
    PM_EXPECT(route(to_next), "next");
    PM_EXPECT(route(redirect), "respond 302\nlocation: /a");
    PM_EXPECT(route(respond_beyond), "respond 0");
    PM_EXPECT(route(fail), "error a 1 \xef\xbf\xbd");
}

static pm_decision ask_for_state(pm_request *request)
{
    (void)request;
    pm_backend_state state;
    exists = pm_get_backend_state("a", &state);
    return pm_fail("%u %u %u", state.usable_servers, state.active, state.queued);
}

static void ask_in_configure(pm_value *config)
{
    (void)config;
    exists = pm_backend_exists("a") && !pm_backend_exists("b") && !pm_backend_exists("\xff") &&
             !pm_backend_exists(NULL);
}

static void knows_backends(void)
{
    pm_backend_state busy = {1, 2, 3};
    pm_test_no_backends();
    route(ask_for_state);
    PM_CHECK(!exists);
    pm_test_backend("a");
    PM_EXPECT(configure("{}", ask_in_configure), "uncacheable");
    PM_CHECK(exists);
    PM_EXPECT(route(ask_for_state), "error 1 0 0");
    pm_test_backend_state("a", busy);
    PM_EXPECT(route(ask_for_state), "error 1 2 3");
}

static pm_decision list_servers(pm_request *request)
{
    (void)request;
    pm_servers servers;
    pm_strs names = pm_backend_names();
    PM_CHECK(names.len == 1 && pm_is(names.items[0], "a"));
    PM_CHECK(!pm_get_servers("b", &servers) && servers.len == 0);
    PM_CHECK(!pm_get_servers("\xff", &servers) && !pm_get_servers(NULL, &servers));
    PM_CHECK(pm_get_servers("a", &servers) && servers.len == 2);
    const pm_server_state *full = &servers.items[0];
    const pm_server_state *idle = &servers.items[1];
    PM_CHECK(pm_is(full->name, "s1") && full->usable && full->weight == 3 && full->active == 4);
    PM_CHECK(full->has_limit && full->limit == 5 && full->has_latency && full->latency_us == 6);
    PM_CHECK(pm_is(idle->name, "s2") && !idle->usable && !idle->has_limit && !idle->has_latency);
    return pm_default_backend();
}

static void knows_servers(void)
{
    pm_server_state full = {pm_text("s1"), true, 3, 4, true, 5, true, 6};
    pm_server_state idle = {.name = pm_text("s2")};
    pm_test_server("a", idle);
    pm_test_no_backends();
    pm_test_server("a", full);
    pm_test_server("a", idle);
    PM_EXPECT(route(list_servers), "default");
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

/* Allocations of configure are kept. */
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
    knows_servers();
    logs();
    keeps_what_configure_made();
}

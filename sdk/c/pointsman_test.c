/*
 * The double: requests that a test builds, and the plugin's decisions on them.
 */
#include "pointsman_test_internal.h"

#include <stdio.h>
#include <stdlib.h>

void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size);

test_request test_now;

static text configured_as;
static text answer;

static unsigned passed;
static unsigned failed;

/* Memory. */

void *test_grow(void *ptr, size_t count, size_t size)
{
    void *grown = realloc(ptr, count * size);
    if (grown == NULL)
        abort();
    return grown;
}

void test_add_octets(text *to, pm_str octets)
{
    to->ptr = test_grow(to->ptr, to->len + octets.len + 1, 1);
    if (octets.len > 0)
        memcpy(to->ptr + to->len, octets.ptr, octets.len);
    to->len += octets.len;
    to->ptr[to->len] = '\0';
}

void test_add(text *to, const char *part)
{
    test_add_octets(to, pm_text(part));
}

void test_set(text *to, const char *value)
{
    to->len = 0;
    test_add(to, value);
}

void test_begin_line(text *to)
{
    if (to->len > 0)
        test_add(to, "\n");
}

void test_clear(text *of)
{
    free(of->ptr);
    of->ptr = NULL;
    of->len = 0;
}

pm_str test_octets(const text *of)
{
    return pm_octets(of->ptr == NULL ? "" : of->ptr, of->len);
}

void test_trap(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

pm_str test_checked(const router_string_t *string)
{
    pm_str taken = pm_octets((const char *)string->ptr, string->len);
    if (!pm_is_utf8(taken))
        test_trap("octets that are not UTF-8 were passed to the proxy as text");
    return taken;
}

static uint8_t *lift(pm_str from)
{
    uint8_t *copy = cabi_realloc(NULL, 0, 1, from.len);
    if (from.len > 0)
        memcpy(copy, from.ptr, from.len);
    return copy;
}

router_string_t test_lift_string(pm_str octets)
{
    router_string_t string = {lift(octets), octets.len};
    return string;
}

pointsman_router_request_field_value_t test_lift_value(pm_str octets)
{
    pointsman_router_request_field_value_t value = {lift(octets), octets.len};
    return value;
}

bool test_refuse(router_string_t *error, const char *reason)
{
    *error = test_lift_string(pm_text(reason));
    return false;
}

/* Configuration. */

const char *pm_test_configure_n(pm_str json)
{
    exports_pointsman_router_plugin_cacheability_t cacheability = 0;
    router_string_t error = {NULL, 0};
    /* The JSON can be in the memory that is released now. */
    text copy = {NULL, 0};
    test_add_octets(&copy, json);
    pm_forget();
    test_clear_questions();
    router_string_t config = test_lift_string(test_octets(&copy));
    test_clear(&copy);
    if (!exports_pointsman_router_plugin_configure(&config, &cacheability, &error)) {
        configured_as.len = 0;
        test_add_octets(&configured_as, test_checked(&error));
    } else {
        bool cacheable = cacheability == EXPORTS_POINTSMAN_ROUTER_PLUGIN_CACHEABILITY_CACHEABLE;
        test_set(&configured_as, cacheable ? "cacheable" : "uncacheable");
    }
    return configured_as.ptr;
}

const char *pm_test_configure(const char *json)
{
    return pm_test_configure_n(pm_text(json));
}

/* The request. */

static void clear_request(void)
{
    text *const all[] = {&test_now.method,      &test_now.target, &test_now.version,
                         &test_now.address,     &test_now.body,   &test_now.server_name,
                         &test_now.alpn,        &test_now.edits,  &test_now.response_edits,
                         &test_now.options,     &test_now.reads};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_clear(all[i]);
    while (test_now.field_count > 0) {
        test_clear(&test_now.fields[--test_now.field_count].value);
        test_clear(&test_now.fields[test_now.field_count].name);
    }
    free(test_now.fields);
    memset(&test_now, 0, sizeof test_now);
}

void pm_test_request(const char *method, const char *path_with_query)
{
    clear_request();
    test_set(&test_now.method, method);
    test_set(&test_now.target, path_with_query);
    pm_test_version("1.1");
    pm_test_client("127.0.0.1", 49152);
}

void pm_test_header_n(const char *name, pm_str value)
{
    size_t count = ++test_now.field_count;
    test_now.fields = test_grow(test_now.fields, count, sizeof *test_now.fields);
    test_field *field = &test_now.fields[count - 1];
    memset(field, 0, sizeof *field);
    test_set(&field->name, name);
    test_add_octets(&field->value, value);
}

void pm_test_header(const char *name, const char *value)
{
    pm_test_header_n(name, pm_text(value));
}

static bool set_optional(text *to, const char *value)
{
    test_clear(to);
    if (value != NULL)
        test_set(to, value);
    return value != NULL;
}

void pm_test_version(const char *version)
{
    test_now.has_version = set_optional(&test_now.version, version);
}

void pm_test_client(const char *address, uint16_t port)
{
    test_set(&test_now.address, address);
    test_now.port = port;
}

void pm_test_tls(const char *server_name, const char *alpn)
{
    test_now.has_tls = true;
    test_now.has_server_name = set_optional(&test_now.server_name, server_name);
    test_now.has_alpn = set_optional(&test_now.alpn, alpn);
}

void pm_test_client_certificate(pm_test_certificate certificate)
{
    test_now.has_certificate = true;
    test_now.certificate = certificate;
}

void pm_test_attempt(uint32_t attempt)
{
    test_now.attempt = attempt;
}

void pm_test_body(pm_str prefix, bool is_complete)
{
    test_clear(&test_now.body);
    test_add_octets(&test_now.body, prefix);
    test_now.has_body = true;
    test_now.body_is_complete = is_complete;
}

/* Routing. */

static void add_string(const router_string_t *string)
{
    test_add_octets(&answer, test_checked(string));
}

static void show_response(const exports_pointsman_router_plugin_response_t *response)
{
    char status[32];
    snprintf(status, sizeof status, "respond %u", response->status);
    test_add(&answer, status);
    const pm_field *headers = (const pm_field *)(const void *)response->headers.ptr;
    for (size_t i = 0; i < response->headers.len; i++) {
        test_add(&answer, "\n");
        test_add_octets(&answer, headers[i].name);
        test_add(&answer, ": ");
        test_add_octets(&answer, headers[i].value);
    }
    if (response->body.len > 0) {
        test_add(&answer, "\n\n");
        test_add_octets(&answer,
                        pm_octets((const char *)response->body.ptr, response->body.len));
    }
}

static void show_server(const exports_pointsman_router_plugin_server_choice_t *choice)
{
    test_add(&answer, "server ");
    add_string(&choice->backend);
    test_add(&answer, "/");
    add_string(&choice->server);
    test_add(&answer, choice->otherwise == EXPORTS_POINTSMAN_ROUTER_PLUGIN_FALLBACK_ASK_AGAIN
                          ? ", otherwise ask-again"
                          : ", otherwise another-server");
}

static void show_decision(const exports_pointsman_router_plugin_decision_t *decision)
{
    switch (decision->tag) {
    case EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_BACKEND:
        test_add(&answer, "backend ");
        add_string(&decision->val.backend);
        break;
    case EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_DEFAULT_BACKEND:
        test_add(&answer, "default");
        break;
    case EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_RESPOND:
        show_response(&decision->val.respond);
        break;
    case EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_SERVER:
        show_server(&decision->val.server);
        break;
    default:
        test_add(&answer, "next");
        break;
    }
}

const char *pm_test_route(void)
{
    pointsman_router_request_own_request_head_t head = {1};
    exports_pointsman_router_plugin_decision_t decision;
    router_string_t error = {NULL, 0};
    test_set(&test_now.edits, "");
    test_set(&test_now.response_edits, "");
    test_set(&test_now.options, "");
    test_set(&test_now.reads, "");
    test_set(&answer, "");
    test_now.open_heads = 1;
    if (exports_pointsman_router_plugin_route(head, &decision, &error)) {
        show_decision(&decision);
    } else {
        test_add(&answer, "error ");
        add_string(&error);
    }
    if (test_now.open_heads != 0)
        test_trap("the request was not dropped");
    pm_memory_reset();
    return answer.ptr;
}

const char *pm_test_edits(void)
{
    return test_octets(&test_now.edits).ptr;
}

const char *pm_test_response_edits(void)
{
    return test_octets(&test_now.response_edits).ptr;
}

const char *pm_test_options(void)
{
    return test_octets(&test_now.options).ptr;
}

const char *pm_test_reads(void)
{
    return test_octets(&test_now.reads).ptr;
}

/* Checks. */

void pm_test_expect(const char *file, int line, const char *what, const char *actual,
                    const char *expected)
{
    bool same = actual == expected ||
                (actual != NULL && expected != NULL && strcmp(actual, expected) == 0);
    if (same) {
        passed++;
        return;
    }
    failed++;
    printf("%s:%d: %s\n  is:          %s\n  should be:   %s\n", file, line, what,
           actual == NULL ? "(none)" : actual, expected == NULL ? "(none)" : expected);
}

int pm_test_end(void)
{
    pm_test_no_backends();
    pm_test_no_tables();
    test_clear_shares();
    test_clear_questions();
    clear_request();
    test_clear_log();
    test_clear(&answer);
    test_clear(&configured_as);
    pm_forget();
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

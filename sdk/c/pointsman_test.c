/*
 * The proxy, as far as a plugin under test can tell: what bindings/router.h imports. Of the
 * proxy's checks on edits it has those on names and characters.
 */
#include "pointsman_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "bindings/router.h"
#include "pointsman_internal.h"

void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size);

/* Memory of the test's own, as the plugin's is given back with each request. */
typedef struct text {
    char *ptr;
    size_t len;
} text;

static struct {
    text name;
    pm_load load;
} *backends;
static size_t backend_count;

static struct {
    text name;
    text value;
} *fields;
static size_t field_count;

static text method;
static text target;
static text address;
static text server_name;
static text alpn;
static uint16_t port;
static bool has_tls;
static uint32_t attempt;

static text edits;
static text reads;
static text lines;
static text lines_told;
static text answer;
static text told;

/* The request that is being routed. */
static int open_heads;

static unsigned passed;
static unsigned failed;

static void *grow(void *ptr, size_t count, size_t size)
{
    void *grown = realloc(ptr, count * size);
    if (grown == NULL)
        abort();
    return grown;
}

static void add_octets(text *to, const char *ptr, size_t len)
{
    to->ptr = grow(to->ptr, to->len + len + 1, 1);
    if (len > 0)
        memcpy(to->ptr + to->len, ptr, len);
    to->len += len;
    to->ptr[to->len] = '\0';
}

static void add(text *to, const char *part)
{
    add_octets(to, part, strlen(part));
}

static void set(text *to, const char *value)
{
    to->len = 0;
    add(to, value == NULL ? "" : value);
}

static void begin_line(text *to)
{
    if (to->len > 0)
        add(to, "\n");
}

static void clear(text *of)
{
    free(of->ptr);
    of->ptr = NULL;
    of->len = 0;
}

static pm_str octets(const text *of)
{
    return pm_octets(of->ptr == NULL ? "" : of->ptr, of->len);
}

static pm_str from_string(const router_string_t *string)
{
    return pm_octets((const char *)string->ptr, string->len);
}

/* What the proxy takes as a text must be one: it ends a plugin that hands it other octets. */
static pm_str checked(const router_string_t *string)
{
    pm_str taken = from_string(string);
    if (!pm_is_utf8(taken)) {
        fprintf(stderr, "octets that are no UTF-8 were handed to the proxy as a text\n");
        abort();
    }
    return taken;
}

/* A copy in the plugin's memory, as the proxy makes one. */
static uint8_t *lift(pm_str from)
{
    uint8_t *copy = cabi_realloc(NULL, 0, 1, from.len);
    if (from.len > 0)
        memcpy(copy, from.ptr, from.len);
    return copy;
}

static router_string_t lift_string(const text *from)
{
    router_string_t string = {lift(octets(from)), from->len};
    return string;
}

static pm_str lift_octets(const text *from)
{
    return pm_octets((const char *)lift(octets(from)), from->len);
}

static void note_read(const char *what)
{
    if (open_heads != 1)
        abort();
    begin_line(&reads);
    add(&reads, what);
}

/* Backends. */

void pm_test_backend_load(const char *name, pm_load load)
{
    size_t i = 0;
    while (i < backend_count && !pm_is(octets(&backends[i].name), name))
        i++;
    if (i == backend_count) {
        backends = grow(backends, ++backend_count, sizeof *backends);
        memset(&backends[i], 0, sizeof backends[i]);
        set(&backends[i].name, name);
    }
    backends[i].load = load;
}

void pm_test_backend(const char *name)
{
    pm_load idle = {1, 0, 0};
    pm_test_backend_load(name, idle);
}

void pm_test_no_backends(void)
{
    while (backend_count > 0)
        clear(&backends[--backend_count].name);
    free(backends);
    backends = NULL;
}

bool pointsman_router_backends_state(router_string_t *name,
                                     pointsman_router_backends_backend_state_t *ret)
{
    pm_str asked = checked(name);
    for (size_t i = 0; i < backend_count; i++) {
        if (pm_equal(octets(&backends[i].name), asked)) {
            ret->usable_servers = backends[i].load.usable_servers;
            ret->active = backends[i].load.active;
            ret->queued = backends[i].load.queued;
            return true;
        }
    }
    return false;
}

/* The log. */

void pointsman_router_log_write(pointsman_router_log_level_t level, router_string_t *message)
{
    static const char *const names[] = {"trace: ", "debug: ", "info: ", "warn: ", "error: "};
    pm_str line = checked(message);
    begin_line(&lines);
    add(&lines, names[level]);
    add_octets(&lines, line.ptr, line.len);
}

const char *pm_test_log(void)
{
    set(&lines_told, lines.ptr);
    clear(&lines);
    return lines_told.ptr;
}

/* Configuration. */

const char *pm_test_configure_n(pm_str json)
{
    exports_pointsman_router_plugin_cacheability_t cacheability = 0;
    router_string_t error = {NULL, 0};
    /* It may have been made in the memory that is given back now. */
    set(&told, "");
    add_octets(&told, json.ptr, json.len);
    pm_forget();
    router_string_t config = lift_string(&told);
    if (!exports_pointsman_router_plugin_configure(&config, &cacheability, &error)) {
        told.len = 0;
        add_octets(&told, checked(&error).ptr, error.len);
    } else {
        bool cacheable = cacheability == EXPORTS_POINTSMAN_ROUTER_PLUGIN_CACHEABILITY_CACHEABLE;
        set(&told, cacheable ? "cacheable" : "uncacheable");
    }
    return told.ptr;
}

const char *pm_test_configure(const char *json)
{
    return pm_test_configure_n(pm_text(json));
}

/* The request. */

void pm_test_request(const char *with_method, const char *with_target)
{
    while (field_count > 0) {
        clear(&fields[--field_count].value);
        clear(&fields[field_count].name);
    }
    set(&method, with_method);
    set(&target, with_target);
    set(&address, "127.0.0.1");
    port = 49152;
    has_tls = false;
    attempt = 0;
}

void pm_test_header_n(const char *name, pm_str value)
{
    fields = grow(fields, ++field_count, sizeof *fields);
    memset(&fields[field_count - 1], 0, sizeof *fields);
    text *lower = &fields[field_count - 1].name;
    set(lower, name);
    for (size_t i = 0; i < lower->len; i++)
        lower->ptr[i] = pm_lower(lower->ptr[i]);
    add_octets(&fields[field_count - 1].value, value.ptr, value.len);
}

void pm_test_header(const char *name, const char *value)
{
    pm_test_header_n(name, pm_text(value));
}

void pm_test_client(const char *with_address, uint16_t with_port)
{
    set(&address, with_address);
    port = with_port;
}

void pm_test_tls(const char *with_server_name, const char *with_alpn)
{
    has_tls = true;
    clear(&server_name);
    clear(&alpn);
    if (with_server_name != NULL)
        set(&server_name, with_server_name);
    if (with_alpn != NULL)
        set(&alpn, with_alpn);
}

void pm_test_attempt(uint32_t number)
{
    attempt = number;
}

typedef pointsman_router_request_borrow_request_head_t borrowed;

borrowed pointsman_router_request_borrow_request_head(
    pointsman_router_request_own_request_head_t handle)
{
    borrowed head = {handle.__handle};
    return head;
}

void pointsman_router_request_request_head_drop_own(
    pointsman_router_request_own_request_head_t handle)
{
    (void)handle;
    open_heads--;
}

void pointsman_router_request_method_request_head_method(borrowed self, router_string_t *ret)
{
    (void)self;
    note_read("method");
    *ret = lift_string(&method);
}

void pointsman_router_request_method_request_head_scheme(borrowed self, router_string_t *ret)
{
    (void)self;
    note_read("scheme");
    text scheme = {has_tls ? "https" : "http", has_tls ? 5 : 4};
    *ret = lift_string(&scheme);
}

void pointsman_router_request_method_request_head_path_with_query(borrowed self,
                                                                  router_string_t *ret)
{
    (void)self;
    note_read("path-with-query");
    *ret = lift_string(&target);
}

void pointsman_router_request_method_request_head_header(
    borrowed self, router_string_t *name, pointsman_router_request_list_field_value_t *ret)
{
    (void)self;
    pm_str asked = checked(name);
    note_read("header ");
    add_octets(&reads, asked.ptr, asked.len);
    pm_str *values = cabi_realloc(NULL, 0, _Alignof(pm_str), field_count * sizeof *values);
    size_t count = 0;
    for (size_t i = 0; i < field_count; i++) {
        if (pm_equal_nocase(octets(&fields[i].name), asked))
            values[count++] = lift_octets(&fields[i].value);
    }
    ret->ptr = (void *)values;
    ret->len = count;
}

void pointsman_router_request_method_request_head_headers(
    borrowed self, pointsman_router_request_list_tuple2_string_field_value_t *ret)
{
    (void)self;
    note_read("headers");
    pm_field *copies = cabi_realloc(NULL, 0, _Alignof(pm_field), field_count * sizeof *copies);
    for (size_t i = 0; i < field_count; i++) {
        copies[i].name = lift_octets(&fields[i].name);
        copies[i].value = lift_octets(&fields[i].value);
    }
    ret->ptr = (void *)copies;
    ret->len = field_count;
}

void pointsman_router_request_method_request_head_client(borrowed self,
                                                         pointsman_router_request_client_t *ret)
{
    (void)self;
    note_read("client");
    ret->address = lift_string(&address);
    ret->port = port;
}

bool pointsman_router_request_method_request_head_tls(borrowed self,
                                                      pointsman_router_request_tls_t *ret)
{
    (void)self;
    note_read("tls");
    if (!has_tls)
        return false;
    ret->server_name.is_some = server_name.ptr != NULL;
    ret->server_name.val = lift_string(&server_name);
    ret->alpn.is_some = alpn.ptr != NULL;
    ret->alpn.val = lift_string(&alpn);
    return true;
}

uint32_t pointsman_router_request_method_request_head_attempt(borrowed self)
{
    (void)self;
    note_read("attempt");
    return attempt;
}

/* Edits. */

typedef pointsman_router_request_edit_error_t edit_error;

static bool refuse(uint8_t tag, edit_error *error)
{
    error->tag = tag;
    return false;
}

static bool is_token(pm_str name)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.len; i++) {
        char octet = pm_lower(name.ptr[i]);
        bool letter = octet >= 'a' && octet <= 'z';
        bool digit = octet >= '0' && octet <= '9';
        if (!letter && !digit && memchr(marks, octet, sizeof marks - 1) == NULL)
            return false;
    }
    return name.len > 0;
}

/* Fields that frame, upgrade or negotiate the connection, which only the proxy may set. */
static bool is_reserved(pm_str name)
{
    static const char *const reserved[] = {
        "connection",       "content-length", "expect",  "http2-settings",    "keep-alive",
        "proxy-connection", "te",             "trailer", "transfer-encoding", "upgrade"};
    pm_str prefix = pm_text("sec-websocket-");
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (pm_equal_nocase(name, pm_text(reserved[i])))
            return true;
    }
    return name.len >= prefix.len && pm_equal_nocase(pm_octets(name.ptr, prefix.len), prefix);
}

static bool is_value(pm_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char octet = (unsigned char)value.ptr[i];
        if ((octet < 0x20 && octet != '\t') || octet == 0x7F)
            return false;
    }
    return true;
}

static bool edit(const char *verb, const router_string_t *name,
                 const pointsman_router_request_field_value_t *with, edit_error *error)
{
    pm_str field = checked(name);
    pm_str value = with == NULL ? pm_none() : pm_octets((const char *)with->ptr, with->len);
    if (!is_token(field) || !is_value(value))
        return refuse(POINTSMAN_ROUTER_REQUEST_EDIT_ERROR_INVALID_SYNTAX, error);
    /* There is one host, which can only be replaced. */
    bool second_host = pm_equal_nocase(field, pm_text("host")) && strcmp(verb, "set ") != 0;
    if (is_reserved(field) || second_host)
        return refuse(POINTSMAN_ROUTER_REQUEST_EDIT_ERROR_FORBIDDEN, error);
    begin_line(&edits);
    add(&edits, verb);
    for (size_t i = 0; i < field.len; i++) {
        char lower = pm_lower(field.ptr[i]);
        add_octets(&edits, &lower, 1);
    }
    if (with != NULL) {
        add(&edits, ": ");
        add_octets(&edits, value.ptr, value.len);
    }
    return true;
}

bool pointsman_router_request_method_request_head_set_header(
    borrowed self, router_string_t *name, pointsman_router_request_field_value_t *value,
    edit_error *err)
{
    (void)self;
    return edit("set ", name, value, err);
}

bool pointsman_router_request_method_request_head_append_header(
    borrowed self, router_string_t *name, pointsman_router_request_field_value_t *value,
    edit_error *err)
{
    (void)self;
    return edit("append ", name, value, err);
}

bool pointsman_router_request_method_request_head_remove_header(borrowed self,
                                                                router_string_t *name,
                                                                edit_error *err)
{
    (void)self;
    return edit("remove ", name, NULL, err);
}

bool pointsman_router_request_method_request_head_set_path_with_query(borrowed self,
                                                                      router_string_t *value,
                                                                      edit_error *err)
{
    (void)self;
    pm_str path = checked(value);
    bool good = pm_starts_with(path, "/");
    for (size_t i = 0; i < path.len; i++)
        good = good && path.ptr[i] > ' ' && path.ptr[i] < 0x7F && path.ptr[i] != '#';
    if (!good)
        return refuse(POINTSMAN_ROUTER_REQUEST_EDIT_ERROR_INVALID_SYNTAX, err);
    begin_line(&edits);
    add(&edits, "path-with-query ");
    add_octets(&edits, path.ptr, path.len);
    return true;
}

/* Routing. */

static void tell_response(const exports_pointsman_router_plugin_response_t *response)
{
    char status[32];
    snprintf(status, sizeof status, "respond %u", response->status);
    add(&answer, status);
    const pm_field *headers = (const pm_field *)(const void *)response->headers.ptr;
    for (size_t i = 0; i < response->headers.len; i++) {
        add(&answer, "\n");
        add_octets(&answer, headers[i].name.ptr, headers[i].name.len);
        add(&answer, ": ");
        add_octets(&answer, headers[i].value.ptr, headers[i].value.len);
    }
    if (response->body.len > 0) {
        add(&answer, "\n\n");
        add_octets(&answer, (const char *)response->body.ptr, response->body.len);
    }
}

const char *pm_test_route(void)
{
    pointsman_router_request_own_request_head_t head = {1};
    exports_pointsman_router_plugin_decision_t decision;
    router_string_t error = {NULL, 0};
    set(&edits, "");
    set(&reads, "");
    set(&answer, "");
    open_heads = 1;
    if (!exports_pointsman_router_plugin_route(head, &decision, &error)) {
        add(&answer, "error ");
        add_octets(&answer, checked(&error).ptr, error.len);
    } else if (decision.tag == EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_BACKEND) {
        add(&answer, "backend ");
        add_octets(&answer, checked(&decision.val.backend).ptr, decision.val.backend.len);
    } else if (decision.tag == EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_DEFAULT_BACKEND) {
        add(&answer, "default");
    } else {
        tell_response(&decision.val.respond);
    }
    if (open_heads != 0)
        abort();
    pm_memory_reset();
    return answer.ptr;
}

const char *pm_test_edits(void)
{
    return octets(&edits).ptr;
}

const char *pm_test_reads(void)
{
    return octets(&reads).ptr;
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
    text *const all[] = {&method, &target, &address,    &server_name, &alpn, &edits,
                         &reads,  &lines,  &lines_told, &answer,      &told};
    pm_test_no_backends();
    pm_test_request("", "");
    free(fields);
    fields = NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        clear(all[i]);
    pm_forget();
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

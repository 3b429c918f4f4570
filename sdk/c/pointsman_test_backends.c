/*
 * The double: backends and the log.
 */
#include "pointsman_test_internal.h"

#include <stdlib.h>

void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size);

typedef struct server {
    text name;
    pm_server_state state;
} server;

static struct backend {
    text name;
    pm_backend_state state;
    server *servers;
    size_t server_count;
} *backends;
static size_t backend_count;

static text lines;
static text lines_shown;

/* Backends. */

static struct backend *find_backend(pm_str name)
{
    for (size_t i = 0; i < backend_count; i++) {
        if (pm_equal(test_octets(&backends[i].name), name))
            return &backends[i];
    }
    return NULL;
}

const pm_backend_state *test_backend_state(pm_str name)
{
    const struct backend *backend = find_backend(name);
    return backend == NULL ? NULL : &backend->state;
}

static struct backend *find_or_add_backend(const char *name)
{
    struct backend *backend = find_backend(pm_text(name));
    if (backend == NULL) {
        backends = test_grow(backends, ++backend_count, sizeof *backends);
        backend = &backends[backend_count - 1];
        memset(backend, 0, sizeof *backend);
        test_set(&backend->name, name);
        backend->state.usable_servers = 1;
    }
    return backend;
}

void pm_test_backend_state(const char *name, pm_backend_state state)
{
    find_or_add_backend(name)->state = state;
}

void pm_test_backend(const char *name)
{
    pm_backend_state idle = {1, 0, 0};
    pm_test_backend_state(name, idle);
}

void pm_test_server(const char *name, pm_server_state state)
{
    struct backend *backend = find_or_add_backend(name);
    size_t i = 0;
    while (i < backend->server_count &&
           !pm_equal(test_octets(&backend->servers[i].name), state.name))
        i++;
    if (i == backend->server_count) {
        backend->servers = test_grow(backend->servers, i + 1, sizeof *backend->servers);
        memset(&backend->servers[i], 0, sizeof *backend->servers);
        test_add_octets(&backend->servers[i].name, state.name);
        backend->server_count++;
    }
    backend->servers[i].state = state;
}

void pm_test_no_backends(void)
{
    while (backend_count > 0) {
        struct backend *last = &backends[--backend_count];
        while (last->server_count > 0)
            test_clear(&last->servers[--last->server_count].name);
        free(last->servers);
        test_clear(&last->name);
    }
    free(backends);
    backends = NULL;
}

void pointsman_router_backends_names(router_list_string_t *ret)
{
    ret->ptr = cabi_realloc(NULL, 0, _Alignof(router_string_t), backend_count * sizeof *ret->ptr);
    ret->len = backend_count;
    for (size_t i = 0; i < backend_count; i++)
        ret->ptr[i] = test_lift_string(test_octets(&backends[i].name));
}

bool pointsman_router_backends_state(router_string_t *name,
                                     pointsman_router_backends_backend_t *ret)
{
    const pm_backend_state *state = test_backend_state(test_checked(name));
    if (state == NULL)
        return false;
    ret->usable_servers = state->usable_servers;
    ret->active = state->active;
    ret->queued = state->queued;
    return true;
}

bool pointsman_router_backends_servers(router_string_t *name,
                                       pointsman_router_backends_list_server_t *ret)
{
    const struct backend *backend = find_backend(test_checked(name));
    if (backend == NULL)
        return false;
    ret->len = backend->server_count;
    ret->ptr = cabi_realloc(NULL, 0, _Alignof(pointsman_router_backends_server_t),
                            ret->len * sizeof *ret->ptr);
    for (size_t i = 0; i < ret->len; i++) {
        const pm_server_state *state = &backend->servers[i].state;
        ret->ptr[i].name = test_lift_string(test_octets(&backend->servers[i].name));
        ret->ptr[i].usable = state->usable;
        ret->ptr[i].weight = state->weight;
        ret->ptr[i].active = state->active;
        ret->ptr[i].limit.is_some = state->has_limit;
        ret->ptr[i].limit.val = state->limit;
        ret->ptr[i].latency.is_some = state->has_latency;
        ret->ptr[i].latency.val = state->latency_us;
    }
    return true;
}

/* The log. */

void pointsman_router_log_write(pointsman_router_log_level_t level, router_string_t *message)
{
    static const char *const names[] = {"trace: ", "debug: ", "info: ", "warn: ", "error: "};
    pm_str line = test_checked(message);
    test_begin_line(&lines);
    test_add(&lines, names[level]);
    test_add_octets(&lines, line);
}

const char *pm_test_log(void)
{
    test_set(&lines_shown, "");
    test_add_octets(&lines_shown, test_octets(&lines));
    test_clear(&lines);
    return lines_shown.ptr;
}

void test_clear_log(void)
{
    test_clear(&lines);
    test_clear(&lines_shown);
}

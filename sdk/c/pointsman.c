/*
 * The glue between a plugin and the contract: the two exported functions, decisions, and the
 * proxy's backends and log.
 */
#include "pointsman_request.h"

#include <stdio.h>
#include <stdlib.h>

static bool configured;

/* A server's record is copied, since the bindings represent its optional fields in another way. */
static pm_server_state from_server(const pointsman_router_backends_server_t *server)
{
    pm_server_state state = {
        .name = pm_from_string(server->name),
        .usable = server->usable,
        .weight = server->weight,
        .active = server->active,
        .has_limit = server->limit.is_some,
        .limit = server->limit.is_some ? server->limit.val : 0,
        .has_latency = server->latency.is_some,
        .latency_us = server->latency.is_some ? server->latency.val : 0,
    };
    return state;
}

pm_strs pm_backend_names(void)
{
    router_list_string_t names;
    pointsman_router_backends_names(&names);
    pm_str *items = (pm_str *)(void *)names.ptr;
    for (size_t i = 0; i < names.len; i++)
        items[i] = pm_not_none(items[i]);
    pm_strs list = {items, names.len};
    return list;
}

bool pm_get_backend_state_n(pm_str name, pm_backend_state *state)
{
    pointsman_router_backends_backend_t found = {0, 0, 0};
    router_string_t asked = pm_to_string(name);
    bool exists =
        !pm_is_none(name) && pm_is_utf8(name) && pointsman_router_backends_state(&asked, &found);
    state->usable_servers = exists ? found.usable_servers : 0;
    state->active = exists ? found.active : 0;
    state->queued = exists ? found.queued : 0;
    return exists;
}

bool pm_get_servers_n(pm_str backend, pm_servers *servers)
{
    pointsman_router_backends_list_server_t found = {NULL, 0};
    router_string_t asked = pm_to_string(backend);
    bool exists = !pm_is_none(backend) && pm_is_utf8(backend) &&
                  pointsman_router_backends_servers(&asked, &found);
    servers->items = NULL;
    servers->len = exists ? found.len : 0;
    if (servers->len > 0) {
        pm_server_state *items = pm_alloc_array(found.len, sizeof *items);
        for (size_t i = 0; i < found.len; i++)
            items[i] = from_server(&found.ptr[i]);
        servers->items = items;
    }
    return exists;
}

void pm_log_n(pm_level level, pm_str message)
{
    router_string_t line = pm_to_string(pm_lossy(message));
    pointsman_router_log_write((pointsman_router_log_level_t)level, &line);
}

void pm_log(pm_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pm_log_n(level, pm_format_list(format, arguments));
    va_end(arguments);
}

void pm_panic(const char *message)
{
    /* pm_log is not used here, since memory can be exhausted. */
    router_string_t line = pm_to_string(pm_text(pm_is_utf8(pm_text(message)) ? message : "panic"));
    pointsman_router_log_write(POINTSMAN_ROUTER_LOG_LEVEL_ERROR, &line);
#ifndef __wasm__
    fprintf(stderr, "%s\n", message);
#endif
    abort();
}

static pm_decision decision(pm_decision_kind kind, pm_str text)
{
    pm_decision decision = {.kind = kind, .text = pm_copy(text)};
    return decision;
}

pm_decision pm_backend_n(pm_str name)
{
    if (!pm_is_utf8(name))
        return pm_fail_n(pm_text("the name of the backend is not UTF-8"));
    return decision(PM_TO_BACKEND, name);
}

pm_decision pm_server_n(pm_str backend, pm_str server, pm_fallback otherwise)
{
    if (!pm_is_utf8(backend) || !pm_is_utf8(server))
        return pm_fail_n(pm_text("the name of the backend or server is not UTF-8"));
    pm_decision choice = decision(PM_TO_SERVER, backend);
    choice.server = pm_copy(server);
    choice.otherwise = otherwise;
    return choice;
}

pm_decision pm_default_backend(void)
{
    pm_decision decision = {.kind = PM_TO_DEFAULT};
    return decision;
}

pm_decision pm_next(void)
{
    pm_decision decision = {.kind = PM_TO_NEXT};
    return decision;
}

pm_decision pm_respond(unsigned status, pm_str body)
{
    pm_decision response = decision(PM_RESPOND, body);
    /* 0 is also invalid, and the proxy reports it. */
    response.status = status > UINT16_MAX ? 0 : (uint16_t)status;
    return response;
}

void pm_add_header_n(pm_decision *response, pm_str name, pm_str value)
{
    /* Copying all fields each time is cheap, since there are few. */
    size_t count = response->header_count;
    pm_field *headers = pm_alloc_array(count + 1, sizeof *headers);
    if (count > 0)
        memcpy(headers, response->headers, count * sizeof *headers);
    headers[count].name = pm_copy(pm_lossy(name));
    headers[count].value = pm_copy(value);
    response->headers = headers;
    response->header_count = count + 1;
}

pm_decision pm_redirect(unsigned status, pm_str location)
{
    pm_decision response = pm_respond(status, pm_none());
    pm_add_header(&response, "location", location);
    return response;
}

pm_decision pm_fail_n(pm_str message)
{
    return decision(PM_FAIL, pm_lossy(message));
}

pm_decision pm_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pm_decision failure = pm_fail_n(pm_format_list(format, arguments));
    va_end(arguments);
    return failure;
}

bool exports_pointsman_router_plugin_configure(router_string_t *config,
                                               exports_pointsman_router_plugin_cacheability_t *ret,
                                               router_string_t *err)
{
    pm_str error = pm_none();
    if (configured) {
        *err = pm_to_string(pm_text("configured twice"));
        return false;
    }
    pm_value *root = pm_config_begin(pm_octets((const char *)config->ptr, config->len), &error);
    if (root != NULL) {
        *ret = pm_configure(root) == PM_CACHEABLE
                   ? EXPORTS_POINTSMAN_ROUTER_PLUGIN_CACHEABILITY_CACHEABLE
                   : EXPORTS_POINTSMAN_ROUTER_PLUGIN_CACHEABILITY_UNCACHEABLE;
        error = pm_config_end();
    }
    if (!pm_is_none(error)) {
        *err = pm_to_string(error);
        return false;
    }
    pm_memory_seal();
    configured = true;
    return true;
}

static void lower_response(const pm_decision *decision,
                           exports_pointsman_router_plugin_response_t *response)
{
    response->status = decision->status;
    response->headers.ptr = (void *)decision->headers;
    response->headers.len = decision->header_count;
    response->body.ptr = (uint8_t *)(uintptr_t)decision->text.ptr;
    response->body.len = decision->text.len;
}

static void lower_server(const pm_decision *decision,
                         exports_pointsman_router_plugin_server_choice_t *choice)
{
    choice->backend = pm_to_string(decision->text);
    choice->server = pm_to_string(decision->server);
    choice->otherwise = decision->otherwise == PM_ASK_AGAIN
                            ? EXPORTS_POINTSMAN_ROUTER_PLUGIN_FALLBACK_ASK_AGAIN
                            : EXPORTS_POINTSMAN_ROUTER_PLUGIN_FALLBACK_ANOTHER_SERVER;
}

static bool lower_decision(const pm_decision *decision,
                           exports_pointsman_router_plugin_decision_t *ret, router_string_t *err)
{
    switch (decision->kind) {
    case PM_TO_BACKEND:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_BACKEND;
        ret->val.backend = pm_to_string(decision->text);
        return true;
    case PM_TO_DEFAULT:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_DEFAULT_BACKEND;
        return true;
    case PM_RESPOND:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_RESPOND;
        lower_response(decision, &ret->val.respond);
        return true;
    case PM_TO_SERVER:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_SERVER;
        lower_server(decision, &ret->val.server);
        return true;
    case PM_TO_NEXT:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_NEXT;
        return true;
    default:
        *err = pm_to_string(decision->text);
        return false;
    }
}

bool exports_pointsman_router_plugin_route(exports_pointsman_router_plugin_own_request_head_t head,
                                           exports_pointsman_router_plugin_decision_t *ret,
                                           router_string_t *err)
{
    pm_decision decision = {.kind = PM_FAIL, .text = pm_text("not configured")};
    if (configured) {
        pm_request request = {0};
        request.head = pointsman_router_request_borrow_request_head(head);
        decision = pm_route(&request);
        pm_str error = pm_take_edit_error(&request);
        /* The plugin's own error is more precise. */
        if (!pm_is_none(error) && decision.kind != PM_FAIL)
            decision = pm_fail_n(error);
    }
    pointsman_router_request_request_head_drop_own(head);
    return lower_decision(&decision, ret, err);
}

#ifdef __wasm__

/* Replace the generated functions, which would free allocations one by one, although they were not
 * made that way. */

void __wasm_export_exports_pointsman_router_plugin_configure_post_return(uint8_t *result);
void __wasm_export_exports_pointsman_router_plugin_route_post_return(uint8_t *result);

__attribute__((__export_name__("cabi_post_pointsman:router/plugin@1.0.0#configure"))) void
__wasm_export_exports_pointsman_router_plugin_configure_post_return(uint8_t *result)
{
    (void)result;
}

__attribute__((__export_name__("cabi_post_pointsman:router/plugin@1.0.0#route"))) void
__wasm_export_exports_pointsman_router_plugin_route_post_return(uint8_t *result)
{
    (void)result;
    pm_memory_reset();
}

#else

void pm_forget(void)
{
    configured = false;
    pm_memory_clear();
}

#endif

/*
 * Between a plugin and the contract: the two exported functions, what they answer, and the
 * proxy's backends and log.
 */
#include "pointsman_request.h"

#include <stdio.h>
#include <stdlib.h>

static bool configured;

static router_string_t to_string(pm_str text)
{
    router_string_t string = {(uint8_t *)(uintptr_t)text.ptr, text.len};
    return string;
}

bool pm_backend_load_n(pm_str name, pm_load *load)
{
    pointsman_router_backends_backend_state_t state = {0, 0, 0};
    router_string_t asked = to_string(name);
    bool exists =
        !pm_is_none(name) && pm_is_utf8(name) && pointsman_router_backends_state(&asked, &state);
    if (!exists)
        state.usable_servers = state.active = state.queued = 0;
    load->usable_servers = state.usable_servers;
    load->active = state.active;
    load->queued = state.queued;
    return exists;
}

void pm_log_n(pm_level level, pm_str message)
{
    router_string_t line = to_string(pm_lossy(message));
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
    /* Not pm_log: memory may be what is lacking. */
    router_string_t line = to_string(pm_text(pm_is_utf8(pm_text(message)) ? message : "panic"));
    pointsman_router_log_write(POINTSMAN_ROUTER_LOG_LEVEL_ERROR, &line);
#ifndef __wasm__
    fprintf(stderr, "%s\n", message);
#endif
    abort();
}

static pm_decision decision(pm_decision_kind kind, pm_str text)
{
    pm_decision decision = {kind, 0, pm_copy(text), NULL, 0};
    return decision;
}

pm_decision pm_backend_n(pm_str name)
{
    if (!pm_is_utf8(name))
        return pm_fail_n(pm_text("the name of the backend is not UTF-8"));
    return decision(PM_TO_BACKEND, name);
}

pm_decision pm_default_backend(void)
{
    pm_decision decision = {PM_TO_DEFAULT, 0, {NULL, 0}, NULL, 0};
    return decision;
}

pm_decision pm_respond(unsigned status, pm_str body)
{
    pm_decision response = decision(PM_RESPOND, body);
    /* 0 is as wrong, and the proxy says so. */
    response.status = status > UINT16_MAX ? 0 : (uint16_t)status;
    return response;
}

void pm_add_header_n(pm_decision *response, pm_str name, pm_str value)
{
    /* There are few, and each is added once. */
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
        *err = to_string(pm_text("configured twice"));
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
        *err = to_string(error);
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

bool exports_pointsman_router_plugin_route(exports_pointsman_router_plugin_own_request_head_t head,
                                           exports_pointsman_router_plugin_decision_t *ret,
                                           router_string_t *err)
{
    pm_decision decision = {PM_FAIL, 0, pm_text("not configured"), NULL, 0};
    if (configured) {
        pm_request request = {0};
        request.head = pointsman_router_request_borrow_request_head(head);
        decision = pm_route(&request);
    }
    pointsman_router_request_request_head_drop_own(head);
    switch (decision.kind) {
    case PM_TO_BACKEND:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_BACKEND;
        ret->val.backend = to_string(decision.text);
        return true;
    case PM_TO_DEFAULT:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_DEFAULT_BACKEND;
        return true;
    case PM_RESPOND:
        ret->tag = EXPORTS_POINTSMAN_ROUTER_PLUGIN_DECISION_RESPOND;
        lower_response(&decision, &ret->val.respond);
        return true;
    default:
        *err = to_string(decision.text);
        return false;
    }
}

#ifdef __wasm__

/* In place of the generated ones, which would free piece by piece what was not so allocated. */

void __wasm_export_exports_pointsman_router_plugin_configure_post_return(uint8_t *result);
void __wasm_export_exports_pointsman_router_plugin_route_post_return(uint8_t *result);

__attribute__((__export_name__("cabi_post_pointsman:router/plugin@0.1.0#configure"))) void
__wasm_export_exports_pointsman_router_plugin_configure_post_return(uint8_t *result)
{
    (void)result;
}

__attribute__((__export_name__("cabi_post_pointsman:router/plugin@0.1.0#route"))) void
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

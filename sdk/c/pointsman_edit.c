/*
 * Edits and options of a request.
 */
#include "pointsman_request.h"

typedef pointsman_router_request_borrow_request_head_t head;

/* Keeps the reason of the first edit that failed. */
static bool failed(pm_request *request, pm_str reason)
{
    if (pm_is_none(request->edit_error))
        request->edit_error = reason;
    return false;
}

static bool edited(pm_request *request, bool done, const router_string_t *error)
{
    return done || failed(request, pm_from_string(*error));
}

static bool is_text(pm_request *request, pm_str text, const char *reason)
{
    return pm_is_utf8(text) || failed(request, pm_text(reason));
}

static bool is_name(pm_request *request, pm_str name)
{
    return is_text(request, name, "the name of a field is not UTF-8");
}

static bool set_line(pm_request *request, pm_str name, pm_str value,
                     bool (*set)(head, router_string_t *, pointsman_router_request_field_value_t *,
                                 router_string_t *))
{
    if (!is_name(request, name))
        return false;
    router_string_t field = pm_to_string(name);
    pointsman_router_request_field_value_t octets = pm_to_value(value);
    router_string_t error = {NULL, 0};
    return edited(request, set(request->head, &field, &octets, &error), &error);
}

static bool remove_lines(pm_request *request, pm_str name,
                         bool (*remove)(head, router_string_t *, router_string_t *))
{
    if (!is_name(request, name))
        return false;
    router_string_t field = pm_to_string(name);
    router_string_t error = {NULL, 0};
    return edited(request, remove(request->head, &field, &error), &error);
}

bool pm_set_header_n(pm_request *request, pm_str name, pm_str value)
{
    return set_line(request, name, value, pointsman_router_request_method_request_head_set_header);
}

bool pm_append_header_n(pm_request *request, pm_str name, pm_str value)
{
    return set_line(request, name, value,
                    pointsman_router_request_method_request_head_append_header);
}

bool pm_remove_header_n(pm_request *request, pm_str name)
{
    return remove_lines(request, name,
                        pointsman_router_request_method_request_head_remove_header);
}

bool pm_set_response_header_n(pm_request *request, pm_str name, pm_str value)
{
    return set_line(request, name, value,
                    pointsman_router_request_method_request_head_set_response_header);
}

bool pm_append_response_header_n(pm_request *request, pm_str name, pm_str value)
{
    return set_line(request, name, value,
                    pointsman_router_request_method_request_head_append_response_header);
}

bool pm_remove_response_header_n(pm_request *request, pm_str name)
{
    return remove_lines(request, name,
                        pointsman_router_request_method_request_head_remove_response_header);
}

bool pm_set_header_by_n(pm_request *request, pm_str name, pm_value_question question)
{
    if (!is_name(request, name))
        return false;
    router_string_t field = pm_to_string(name);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_request_method_request_head_set_header_by(request->head, &field,
                                                                           question.id, &error);
    return edited(request, done, &error);
}

bool pm_set_authority(pm_request *request, pm_str authority)
{
    pointsman_router_request_field_value_t octets = pm_to_value(authority);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_request_method_request_head_set_authority(request->head, &octets,
                                                                           &error);
    return edited(request, done, &error);
}

bool pm_set_path_with_query(pm_request *request, pm_str target)
{
    if (!is_text(request, target, "the target is not UTF-8"))
        return false;
    router_string_t text = pm_to_string(target);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_request_method_request_head_set_path_with_query(request->head,
                                                                                 &text, &error);
    return edited(request, done, &error);
}

bool pm_replace_path_prefix(pm_request *request, uint32_t length, pm_str replacement)
{
    if (!is_text(request, replacement, "the replacement of a path's prefix is not UTF-8"))
        return false;
    router_string_t text = pm_to_string(replacement);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_request_method_request_head_replace_path_prefix(
        request->head, length, &text, &error);
    return edited(request, done, &error);
}

pm_str pm_take_edit_error(pm_request *request)
{
    pm_str error = request->edit_error;
    request->edit_error = pm_none();
    return error;
}

void pm_set_affinity(pm_request *request, pm_str key)
{
    router_list_u8_t octets = {(uint8_t *)(uintptr_t)key.ptr, key.len};
    pointsman_router_request_method_request_head_set_affinity(request->head, &octets);
}

void pm_set_affinity_by(pm_request *request, pm_value_question question)
{
    pointsman_router_request_method_request_head_set_affinity_by(request->head, question.id);
}

void pm_set_queue_timeout_ms(pm_request *request, uint32_t milliseconds)
{
    pointsman_router_request_method_request_head_set_queue_timeout(request->head, milliseconds);
}

void pm_set_connect_timeout_ms(pm_request *request, uint32_t milliseconds)
{
    pointsman_router_request_method_request_head_set_connect_timeout(request->head, milliseconds);
}

void pm_set_server_timeout_ms(pm_request *request, uint32_t milliseconds)
{
    pointsman_router_request_method_request_head_set_server_timeout(request->head, milliseconds);
}

void pm_set_tunnel_timeout_ms(pm_request *request, uint32_t milliseconds)
{
    pointsman_router_request_method_request_head_set_tunnel_timeout(request->head, milliseconds);
}

void pm_set_tries(pm_request *request, uint32_t tries)
{
    pointsman_router_request_method_request_head_set_tries(request->head, tries);
}

void pm_tag_n(pm_request *request, pm_str name, pm_str value)
{
    router_string_t tag = pm_to_string(pm_lossy(name));
    router_string_t text = pm_to_string(pm_lossy(value));
    pointsman_router_request_method_request_head_tag(request->head, &tag, &text);
}

void pm_tag_by_n(pm_request *request, pm_str name, pm_value_question question)
{
    router_string_t tag = pm_to_string(pm_lossy(name));
    pointsman_router_request_method_request_head_tag_by(request->head, &tag, question.id);
}

/* A request as the SDK's own files use it. Not for plugins. */
#ifndef POINTSMAN_REQUEST_H
#define POINTSMAN_REQUEST_H

#include "bindings/router.h"
#include "pointsman_internal.h"

struct pm_request {
    pointsman_router_request_borrow_request_head_t head;
    /* The reason of the first edit that failed and was not taken, or none. */
    pm_str edit_error;
};

/* Empty octets can have any address, even NULL, but they are not none. */
static inline pm_str pm_not_none(pm_str octets)
{
    return octets.len == 0 ? pm_octets("", 0) : octets;
}

static inline pm_str pm_from_string(router_string_t string)
{
    return pm_not_none(pm_octets((const char *)string.ptr, string.len));
}

static inline pm_str pm_from_value(pointsman_router_request_field_value_t value)
{
    return pm_not_none(pm_octets((const char *)value.ptr, value.len));
}

/* `text` must be UTF-8: the proxy traps a plugin that passes other octets as text. */
static inline router_string_t pm_to_string(pm_str text)
{
    router_string_t string = {(uint8_t *)(uintptr_t)text.ptr, text.len};
    return string;
}

static inline pointsman_router_request_field_value_t pm_to_value(pm_str octets)
{
    pointsman_router_request_field_value_t value = {(uint8_t *)(uintptr_t)octets.ptr, octets.len};
    return value;
}

#endif

/*
 * Reads of a request. Each is a call out of the sandbox.
 */
#include "pointsman_request.h"

/* The bindings' lists are used without a copy. */
_Static_assert(sizeof(pm_str) == sizeof(pointsman_router_request_field_value_t), "same layout");
_Static_assert(sizeof(pm_str) == sizeof(router_string_t), "same layout");
_Static_assert(sizeof(pm_field) == sizeof(pointsman_router_request_tuple2_string_field_value_t),
               "same layout");

typedef pointsman_router_request_borrow_request_head_t head;

static pm_str read_text(pm_request *request, void (*read)(head, router_string_t *))
{
    router_string_t text;
    read(request->head, &text);
    return pm_from_string(text);
}

static pm_str read_optional(pm_request *request, bool (*read)(head, router_string_t *))
{
    router_string_t text;
    return read(request->head, &text) ? pm_from_string(text) : pm_none();
}

/* For reads by name: octets that are not UTF-8 cannot be a name. */
static bool is_name(pm_str name)
{
    return !pm_is_none(name) && pm_is_utf8(name);
}

static pm_str read_named(pm_request *request, pm_str name,
                         bool (*read)(head, router_string_t *,
                                      pointsman_router_request_field_value_t *))
{
    router_string_t asked = pm_to_string(name);
    pointsman_router_request_field_value_t value;
    bool found = is_name(name) && read(request->head, &asked, &value);
    return found ? pm_from_value(value) : pm_none();
}

static pm_strs strings(void *items, size_t count)
{
    pm_strs list = {items, count};
    for (size_t i = 0; i < count; i++)
        ((pm_str *)items)[i] = pm_not_none(list.items[i]);
    return list;
}

pm_str pm_method(pm_request *request)
{
    return read_text(request, pointsman_router_request_method_request_head_method);
}

pm_str pm_scheme(pm_request *request)
{
    return read_text(request, pointsman_router_request_method_request_head_scheme);
}

pm_str pm_version(pm_request *request)
{
    return read_optional(request, pointsman_router_request_method_request_head_version);
}

pm_str pm_authority(pm_request *request)
{
    pointsman_router_request_field_value_t authority;
    pointsman_router_request_method_request_head_authority(request->head, &authority);
    return pm_from_value(authority);
}

pm_str pm_host(pm_request *request)
{
    return read_text(request, pointsman_router_request_method_request_head_host);
}

pm_str pm_path_with_query(pm_request *request)
{
    return read_text(request, pointsman_router_request_method_request_head_path_with_query);
}

pm_str pm_path(pm_request *request)
{
    return read_text(request, pointsman_router_request_method_request_head_path);
}

pm_str pm_query(pm_request *request)
{
    pm_str query = pm_path_with_query(request);
    pm_str path;
    pm_split(&query, '?', &path);
    return query;
}

pm_str pm_query_parameter_n(pm_request *request, pm_str name)
{
    return read_named(request, name, pointsman_router_request_method_request_head_query_parameter);
}

pm_str pm_cookie_n(pm_request *request, pm_str name)
{
    return read_named(request, name, pointsman_router_request_method_request_head_cookie);
}

pm_strs pm_header_lines_n(pm_request *request, pm_str name)
{
    if (!is_name(name))
        return strings(NULL, 0);
    router_string_t asked = pm_to_string(name);
    pointsman_router_request_list_field_value_t values;
    pointsman_router_request_method_request_head_header(request->head, &asked, &values);
    return strings(values.ptr, values.len);
}

pm_str pm_header_n(pm_request *request, pm_str name)
{
    pm_strs lines = pm_header_lines_n(request, name);
    return lines.len > 0 ? lines.items[0] : pm_none();
}

pm_str pm_header_text_n(pm_request *request, pm_str name)
{
    pm_str value = pm_header_n(request, name);
    return pm_is_utf8(value) ? value : pm_none();
}

const char *pm_header_text(pm_request *request, const char *name)
{
    pm_str value = pm_header_text_n(request, pm_text(name));
    /* HTTP does not allow NUL. As a C string, the value would end at the NUL, and so be a different
     * value. */
    if (pm_is_none(value) || memchr(value.ptr, '\0', value.len) != NULL)
        return NULL;
    return pm_c_string(value);
}

pm_fields pm_headers(pm_request *request)
{
    pointsman_router_request_list_tuple2_string_field_value_t lines;
    pointsman_router_request_method_request_head_headers(request->head, &lines);
    pm_field *items = (pm_field *)(void *)lines.ptr;
    for (size_t i = 0; i < lines.len; i++)
        items[i].value = pm_not_none(items[i].value);
    pm_fields fields = {items, lines.len};
    return fields;
}

pm_str pm_client_address(pm_request *request)
{
    return read_text(request, pointsman_router_request_method_request_head_client_address);
}

uint16_t pm_client_port(pm_request *request)
{
    return pointsman_router_request_method_request_head_client_port(request->head);
}

pm_str pm_server_name(pm_request *request)
{
    return read_optional(request, pointsman_router_request_method_request_head_server_name);
}

pm_str pm_alpn(pm_request *request)
{
    return read_optional(request, pointsman_router_request_method_request_head_alpn);
}

pm_str pm_client_certificate_subject(pm_request *request)
{
    return read_optional(request,
                         pointsman_router_request_method_request_head_client_certificate_subject);
}

pm_str pm_client_certificate_issuer(pm_request *request)
{
    return read_optional(request,
                         pointsman_router_request_method_request_head_client_certificate_issuer);
}

pm_strs pm_client_certificate_names(pm_request *request)
{
    router_list_string_t names;
    pointsman_router_request_method_request_head_client_certificate_names(request->head, &names);
    return strings(names.ptr, names.len);
}

pm_str pm_client_certificate_serial(pm_request *request)
{
    return read_optional(request,
                         pointsman_router_request_method_request_head_client_certificate_serial);
}

pm_str pm_client_certificate_sha256(pm_request *request)
{
    return read_optional(request,
                         pointsman_router_request_method_request_head_client_certificate_sha256);
}

bool pm_client_certificate_not_after(pm_request *request, uint64_t *seconds)
{
    uint64_t found = 0;
    bool is_known = pointsman_router_request_method_request_head_client_certificate_not_after(
        request->head, &found);
    /* Without a certificate, the bindings write an undefined value. */
    *seconds = is_known ? found : 0;
    return is_known;
}

uint32_t pm_attempt(pm_request *request)
{
    return pointsman_router_request_method_request_head_attempt(request->head);
}

pm_str pm_body_prefix(pm_request *request)
{
    router_list_u8_t prefix;
    if (!pointsman_router_request_method_request_head_body_prefix(request->head, &prefix))
        return pm_none();
    return pm_not_none(pm_octets((const char *)prefix.ptr, prefix.len));
}

bool pm_body_is_complete(pm_request *request)
{
    return pointsman_router_request_method_request_head_body_is_complete(request->head);
}

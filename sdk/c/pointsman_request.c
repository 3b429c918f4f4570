/*
 * Reads and edits of a request. Each read is a call out of the sandbox; method, target and host
 * are asked for once.
 */
#include "pointsman_request.h"

/* What the bindings give out is taken as it is, with no copy. */
_Static_assert(sizeof(pm_str) == sizeof(pointsman_router_request_field_value_t), "same layout");
_Static_assert(sizeof(pm_field) == sizeof(pointsman_router_request_tuple2_string_field_value_t),
               "same layout");

/* What is empty may be anywhere, NULL too. */
static pm_str not_none(pm_str octets)
{
    return octets.len == 0 ? pm_octets("", 0) : octets;
}

static pm_str from_string(router_string_t string)
{
    return not_none(pm_octets((const char *)string.ptr, string.len));
}

static router_string_t to_string(pm_str octets)
{
    router_string_t string = {(uint8_t *)(uintptr_t)octets.ptr, octets.len};
    return string;
}

static pointsman_router_request_field_value_t to_value(pm_str octets)
{
    pointsman_router_request_field_value_t value = {(uint8_t *)(uintptr_t)octets.ptr, octets.len};
    return value;
}

pm_str pm_method(pm_request *request)
{
    if (pm_is_none(request->method)) {
        router_string_t method;
        pointsman_router_request_method_request_head_method(request->head, &method);
        request->method = from_string(method);
    }
    return request->method;
}

pm_str pm_scheme(pm_request *request)
{
    router_string_t scheme;
    pointsman_router_request_method_request_head_scheme(request->head, &scheme);
    return from_string(scheme);
}

pm_str pm_target(pm_request *request)
{
    if (pm_is_none(request->target)) {
        router_string_t target;
        pointsman_router_request_method_request_head_path_with_query(request->head, &target);
        request->target = from_string(target);
    }
    return request->target;
}

pm_str pm_path(pm_request *request)
{
    pm_str rest = pm_target(request);
    pm_str path = pm_none();
    pm_split(&rest, '?', &path);
    return path;
}

pm_str pm_query(pm_request *request)
{
    pm_str query = pm_target(request);
    pm_str path;
    pm_split(&query, '?', &path);
    return query;
}

static int hex_digit(char digit)
{
    digit = pm_lower(digit);
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Takes one octet, decoded, off the front of `*part`, which is not empty. */
static char decode_octet(pm_str *part)
{
    char octet = part->ptr[0];
    size_t length = 1;
    if (octet == '+') {
        octet = ' ';
    } else if (octet == '%' && part->len >= 3) {
        int high = hex_digit(part->ptr[1]);
        int low = hex_digit(part->ptr[2]);
        if (high >= 0 && low >= 0) {
            octet = (char)(high << 4 | low);
            length = 3;
        }
    }
    part->ptr += length;
    part->len -= length;
    return octet;
}

static bool decodes_to(pm_str part, pm_str expected)
{
    size_t i = 0;
    while (part.len > 0) {
        char octet = decode_octet(&part);
        if (i == expected.len || octet != expected.ptr[i])
            return false;
        i++;
    }
    return i == expected.len;
}

static pm_str decode(pm_str part)
{
    char *decoded = pm_alloc(part.len);
    size_t length = 0;
    while (part.len > 0)
        decoded[length++] = decode_octet(&part);
    return pm_octets(decoded, length);
}

pm_str pm_query_param_n(pm_request *request, pm_str name)
{
    pm_str query = pm_query(request);
    pm_str parameter;
    while (pm_split(&query, '&', &parameter)) {
        pm_str value = parameter;
        pm_str key;
        pm_split(&value, '=', &key);
        if (decodes_to(key, name))
            return pm_is_none(value) ? pm_octets("", 0) : decode(value);
    }
    return pm_none();
}

pm_str pm_host(pm_request *request)
{
    if (!request->has_host) {
        request->host = pm_header(request, "host");
        request->has_host = true;
    }
    return request->host;
}

pm_str pm_hostname(pm_request *request)
{
    return pm_without_port(pm_host(request));
}

pm_strs pm_header_lines_n(pm_request *request, pm_str name)
{
    pm_strs lines = {NULL, 0};
    if (!pm_is_utf8(name))
        return lines;
    router_string_t asked = to_string(name);
    pointsman_router_request_list_field_value_t values;
    pointsman_router_request_method_request_head_header(request->head, &asked, &values);
    pm_str *items = (pm_str *)(void *)values.ptr;
    for (size_t i = 0; i < values.len; i++)
        items[i] = not_none(items[i]);
    lines.items = items;
    lines.len = values.len;
    return lines;
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
    /* HTTP has no NUL; a text that seems to end there would be another text. */
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
        items[i].value = not_none(items[i].value);
    pm_fields fields = {items, lines.len};
    return fields;
}

/* What follows `name=` in a pair of a cookie, or none. */
static pm_str cookie_value(pm_str pair, pm_str name)
{
    if (pair.len <= name.len || pair.ptr[name.len] != '=' ||
        !pm_equal(pm_octets(pair.ptr, name.len), name))
        return pm_none();
    return pm_octets(pair.ptr + name.len + 1, pair.len - name.len - 1);
}

pm_str pm_cookie_n(pm_request *request, pm_str name)
{
    if (pm_is_none(name))
        return pm_none();
    pm_strs lines = pm_header_lines(request, "cookie");
    for (size_t i = 0; i < lines.len; i++) {
        pm_str rest = lines.items[i];
        pm_str pair;
        while (pm_split(&rest, ';', &pair)) {
            pm_str value = cookie_value(pm_trim(pair), name);
            if (!pm_is_none(value))
                return value;
        }
    }
    return pm_none();
}

pm_peer pm_client(pm_request *request)
{
    pointsman_router_request_client_t client;
    pointsman_router_request_method_request_head_client(request->head, &client);
    pm_peer peer = {from_string(client.address), client.port};
    return peer;
}

bool pm_tls(pm_request *request, pm_tls_session *session)
{
    pointsman_router_request_tls_t tls;
    session->server_name = pm_none();
    session->alpn = pm_none();
    if (!pointsman_router_request_method_request_head_tls(request->head, &tls))
        return false;
    if (tls.server_name.is_some)
        session->server_name = from_string(tls.server_name.val);
    if (tls.alpn.is_some)
        session->alpn = from_string(tls.alpn.val);
    return true;
}

uint32_t pm_attempt(pm_request *request)
{
    return pointsman_router_request_method_request_head_attempt(request->head);
}

static pm_edit edited(bool done, pointsman_router_request_edit_error_t error)
{
    if (done)
        return PM_EDITED;
    return error.tag == POINTSMAN_ROUTER_REQUEST_EDIT_ERROR_FORBIDDEN ? PM_FORBIDDEN
                                                                       : PM_INVALID_SYNTAX;
}

pm_edit pm_set_header_n(pm_request *request, pm_str name, pm_str value)
{
    if (!pm_is_utf8(name))
        return PM_INVALID_SYNTAX;
    router_string_t field = to_string(name);
    pointsman_router_request_field_value_t octets = to_value(value);
    pointsman_router_request_edit_error_t error = {0};
    bool done = pointsman_router_request_method_request_head_set_header(request->head, &field,
                                                                        &octets, &error);
    return edited(done, error);
}

pm_edit pm_append_header_n(pm_request *request, pm_str name, pm_str value)
{
    if (!pm_is_utf8(name))
        return PM_INVALID_SYNTAX;
    router_string_t field = to_string(name);
    pointsman_router_request_field_value_t octets = to_value(value);
    pointsman_router_request_edit_error_t error = {0};
    bool done = pointsman_router_request_method_request_head_append_header(request->head, &field,
                                                                           &octets, &error);
    return edited(done, error);
}

pm_edit pm_remove_header_n(pm_request *request, pm_str name)
{
    if (!pm_is_utf8(name))
        return PM_INVALID_SYNTAX;
    router_string_t field = to_string(name);
    pointsman_router_request_edit_error_t error = {0};
    bool done =
        pointsman_router_request_method_request_head_remove_header(request->head, &field, &error);
    return edited(done, error);
}

pm_edit pm_set_path_with_query(pm_request *request, pm_str target)
{
    if (!pm_is_utf8(target))
        return PM_INVALID_SYNTAX;
    router_string_t text = to_string(target);
    pointsman_router_request_edit_error_t error = {0};
    bool done = pointsman_router_request_method_request_head_set_path_with_query(request->head,
                                                                                 &text, &error);
    return edited(done, error);
}

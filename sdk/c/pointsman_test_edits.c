/*
 * The double: edits and options. It makes the proxy's checks of names, characters and numbers, but
 * no others.
 */
#include "pointsman_test_internal.h"

#include <stdio.h>

typedef pointsman_router_request_borrow_request_head_t borrowed;
typedef pointsman_router_request_field_value_t field_value;

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

/* Fields that frame, upgrade or negotiate the connection, and those that have their own edit. */
static bool is_reserved(pm_str name)
{
    static const char *const reserved[] = {
        "connection",       "content-length", "expect",  "host",    "http2-settings", "keep-alive",
        "proxy-connection", "te",             "trailer", "upgrade", "transfer-encoding"};
    pm_str prefix = pm_text("sec-websocket-");
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (pm_is_nocase(name, reserved[i]))
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

static bool is_target(pm_str target, const char *also_without)
{
    for (size_t i = 0; i < target.len; i++) {
        char octet = target.ptr[i];
        if (octet <= ' ' || octet >= 0x7F || octet == '#' || strchr(also_without, octet) != NULL)
            return false;
    }
    return true;
}

static void record(text *list, const char *verb, pm_str name, const char *between, pm_str value)
{
    test_begin_line(list);
    test_add(list, verb);
    for (size_t i = 0; i < name.len; i++) {
        char lower = pm_lower(name.ptr[i]);
        test_add_octets(list, pm_octets(&lower, 1));
    }
    test_add(list, between);
    test_add_octets(list, value);
}

static bool may_edit(const router_string_t *name, router_string_t *error)
{
    pm_str field = test_checked(name);
    if (!is_token(field))
        return test_refuse(error, pm_format("\"%.*s\" is not the name of a field", PM_ARG(field)));
    if (is_reserved(field))
        return test_refuse(error, pm_format("\"%.*s\" is set by the proxy", PM_ARG(field)));
    return true;
}

static bool edit_line(text *list, const char *verb, const router_string_t *name,
                      const field_value *with, router_string_t *error)
{
    pm_str value = pm_octets((const char *)with->ptr, with->len);
    if (!may_edit(name, error))
        return false;
    if (!is_value(value))
        return test_refuse(error, "a control character in a field's value");
    record(list, verb, test_checked(name), ": ", value);
    return true;
}

static bool remove_lines(text *list, const router_string_t *name, router_string_t *error)
{
    if (!may_edit(name, error))
        return false;
    record(list, "remove ", test_checked(name), "", pm_none());
    return true;
}

bool pointsman_router_request_method_request_head_set_header(borrowed self, router_string_t *name,
                                                             field_value *value,
                                                             router_string_t *err)
{
    (void)self;
    return edit_line(&test_now.edits, "set ", name, value, err);
}

bool pointsman_router_request_method_request_head_append_header(borrowed self,
                                                                router_string_t *name,
                                                                field_value *value,
                                                                router_string_t *err)
{
    (void)self;
    return edit_line(&test_now.edits, "append ", name, value, err);
}

bool pointsman_router_request_method_request_head_remove_header(borrowed self,
                                                                router_string_t *name,
                                                                router_string_t *err)
{
    (void)self;
    return remove_lines(&test_now.edits, name, err);
}

bool pointsman_router_request_method_request_head_set_header_by(borrowed self,
                                                                router_string_t *name,
                                                                uint32_t question,
                                                                router_string_t *err)
{
    (void)self;
    pm_str by = test_value_question(question);
    if (!may_edit(name, err))
        return false;
    record(&test_now.edits, "set-by ", test_checked(name), ": ", by);
    return true;
}

bool pointsman_router_request_method_request_head_set_response_header(borrowed self,
                                                                      router_string_t *name,
                                                                      field_value *value,
                                                                      router_string_t *err)
{
    (void)self;
    return edit_line(&test_now.response_edits, "set ", name, value, err);
}

bool pointsman_router_request_method_request_head_append_response_header(borrowed self,
                                                                         router_string_t *name,
                                                                         field_value *value,
                                                                         router_string_t *err)
{
    (void)self;
    return edit_line(&test_now.response_edits, "append ", name, value, err);
}

bool pointsman_router_request_method_request_head_remove_response_header(borrowed self,
                                                                         router_string_t *name,
                                                                         router_string_t *err)
{
    (void)self;
    return remove_lines(&test_now.response_edits, name, err);
}

bool pointsman_router_request_method_request_head_set_authority(borrowed self, field_value *value,
                                                                router_string_t *err)
{
    (void)self;
    pm_str authority = pm_octets((const char *)value->ptr, value->len);
    if (!is_target(authority, "/?@,"))
        return test_refuse(err, "not an authority");
    record(&test_now.edits, "authority ", pm_none(), "", authority);
    return true;
}

bool pointsman_router_request_method_request_head_set_path_with_query(borrowed self,
                                                                      router_string_t *value,
                                                                      router_string_t *err)
{
    (void)self;
    pm_str target = test_checked(value);
    if (!pm_starts_with(target, "/") || !is_target(target, ""))
        return test_refuse(err, "not a target in origin form");
    record(&test_now.edits, "path-with-query ", pm_none(), "", target);
    return true;
}

bool pointsman_router_request_method_request_head_replace_path_prefix(borrowed self,
                                                                      uint32_t length,
                                                                      router_string_t *replacement,
                                                                      router_string_t *err)
{
    (void)self;
    pm_str with = test_checked(replacement);
    if (length > test_path().len)
        return test_refuse(err, "the prefix is longer than the path");
    if (!is_target(with, "?"))
        return test_refuse(err, "not a path");
    record(&test_now.edits, pm_format("replace-path-prefix %u ", (unsigned)length), pm_none(), "",
           with);
    return true;
}

/* Options. */

static void option(const char *name, pm_str value)
{
    record(&test_now.options, name, pm_none(), " ", value);
}

static void number_option(const char *name, uint32_t number)
{
    option(name, pm_text(pm_format("%u", (unsigned)number)));
}

static void timeout(const char *name, uint32_t milliseconds)
{
    if (milliseconds == 0)
        test_trap("a timeout of 0, which only the queue may have");
    number_option(name, milliseconds);
}

void pointsman_router_request_method_request_head_set_affinity(borrowed self, router_list_u8_t *key)
{
    (void)self;
    option("affinity", pm_octets((const char *)key->ptr, key->len));
}

void pointsman_router_request_method_request_head_set_affinity_by(borrowed self, uint32_t question)
{
    (void)self;
    option("affinity-by", test_value_question(question));
}

void pointsman_router_request_method_request_head_set_queue_timeout(borrowed self,
                                                                    uint32_t milliseconds)
{
    (void)self;
    number_option("queue-timeout", milliseconds);
}

void pointsman_router_request_method_request_head_set_connect_timeout(borrowed self,
                                                                      uint32_t milliseconds)
{
    (void)self;
    timeout("connect-timeout", milliseconds);
}

void pointsman_router_request_method_request_head_set_server_timeout(borrowed self,
                                                                     uint32_t milliseconds)
{
    (void)self;
    timeout("server-timeout", milliseconds);
}

void pointsman_router_request_method_request_head_set_tunnel_timeout(borrowed self,
                                                                     uint32_t milliseconds)
{
    (void)self;
    timeout("tunnel-timeout", milliseconds);
}

void pointsman_router_request_method_request_head_set_tries(borrowed self, uint32_t tries)
{
    (void)self;
    if (tries < 1 || tries > 16)
        test_trap("tries must be from 1 to 16");
    number_option("tries", tries);
}

static void tag(const char *verb, const router_string_t *name, pm_str value)
{
    test_begin_line(&test_now.options);
    test_add(&test_now.options, verb);
    test_add_octets(&test_now.options, test_checked(name));
    test_add(&test_now.options, "=");
    test_add_octets(&test_now.options, value);
}

void pointsman_router_request_method_request_head_tag(borrowed self, router_string_t *name,
                                                      router_string_t *value)
{
    (void)self;
    tag("tag ", name, test_checked(value));
}

void pointsman_router_request_method_request_head_tag_by(borrowed self, router_string_t *name,
                                                         uint32_t question)
{
    (void)self;
    tag("tag-by ", name, test_value_question(question));
}

/*
 * The double: reads of the request.
 */
#include "pointsman_test_internal.h"

void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size);

typedef pointsman_router_request_borrow_request_head_t borrowed;
typedef pointsman_router_request_field_value_t field_value;

void test_note_read(const char *what, pm_str name)
{
    if (test_now.open_heads != 1)
        test_trap("a request was used outside of pm_route");
    test_begin_line(&test_now.reads);
    test_add(&test_now.reads, what);
    if (!pm_is_none(name)) {
        test_add(&test_now.reads, " ");
        test_add_octets(&test_now.reads, name);
    }
}

static router_string_t read_text(const char *what, pm_str value)
{
    test_note_read(what, pm_none());
    return test_lift_string(value);
}

static bool read_optional(const char *what, pm_str value, router_string_t *ret)
{
    test_note_read(what, pm_none());
    if (!pm_is_none(value))
        *ret = test_lift_string(value);
    return !pm_is_none(value);
}

static pm_str known(bool is_known, const text *value)
{
    return is_known ? test_octets(value) : pm_none();
}

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
    test_now.open_heads--;
}

void pointsman_router_request_method_request_head_method(borrowed self, router_string_t *ret)
{
    (void)self;
    *ret = read_text("method", test_octets(&test_now.method));
}

void pointsman_router_request_method_request_head_scheme(borrowed self, router_string_t *ret)
{
    (void)self;
    *ret = read_text("scheme", pm_text(test_now.has_tls ? "https" : "http"));
}

bool pointsman_router_request_method_request_head_version(borrowed self, router_string_t *ret)
{
    (void)self;
    return read_optional("version", known(test_now.has_version, &test_now.version), ret);
}

void pointsman_router_request_method_request_head_authority(borrowed self, field_value *ret)
{
    (void)self;
    test_note_read("authority", pm_none());
    *ret = test_lift_value(test_authority());
}

void pointsman_router_request_method_request_head_host(borrowed self, router_string_t *ret)
{
    (void)self;
    *ret = read_text("host", pm_lossy(test_host()));
}

void pointsman_router_request_method_request_head_path_with_query(borrowed self,
                                                                  router_string_t *ret)
{
    (void)self;
    *ret = read_text("path-with-query", test_octets(&test_now.target));
}

void pointsman_router_request_method_request_head_path(borrowed self, router_string_t *ret)
{
    (void)self;
    *ret = read_text("path", test_path());
}

static bool read_named(const char *what, router_string_t *name, pm_str (*find)(pm_str),
                       field_value *ret)
{
    test_note_read(what, test_checked(name));
    pm_str value = find(test_checked(name));
    if (!pm_is_none(value))
        *ret = test_lift_value(value);
    return !pm_is_none(value);
}

bool pointsman_router_request_method_request_head_query_parameter(borrowed self,
                                                                  router_string_t *name,
                                                                  field_value *ret)
{
    (void)self;
    return read_named("query-parameter", name, test_query_parameter, ret);
}

bool pointsman_router_request_method_request_head_cookie(borrowed self, router_string_t *name,
                                                         field_value *ret)
{
    (void)self;
    return read_named("cookie", name, test_cookie, ret);
}

void pointsman_router_request_method_request_head_header(
    borrowed self, router_string_t *name, pointsman_router_request_list_field_value_t *ret)
{
    (void)self;
    pm_str asked = test_checked(name);
    test_note_read("header", asked);
    ret->len = 0;
    ret->ptr =
        cabi_realloc(NULL, 0, _Alignof(field_value), test_now.field_count * sizeof *ret->ptr);
    for (size_t i = 0; i < test_now.field_count; i++) {
        if (pm_equal_nocase(test_octets(&test_now.fields[i].name), asked))
            ret->ptr[ret->len++] = test_lift_value(test_octets(&test_now.fields[i].value));
    }
}

void pointsman_router_request_method_request_head_headers(
    borrowed self, pointsman_router_request_list_tuple2_string_field_value_t *ret)
{
    (void)self;
    test_note_read("headers", pm_none());
    ret->len = test_now.field_count;
    ret->ptr = cabi_realloc(NULL, 0, _Alignof(field_value), ret->len * sizeof *ret->ptr);
    for (size_t i = 0; i < ret->len; i++) {
        ret->ptr[i].f0 = test_lift_string(test_octets(&test_now.fields[i].name));
        ret->ptr[i].f1 = test_lift_value(test_octets(&test_now.fields[i].value));
    }
}

void pointsman_router_request_method_request_head_client_address(borrowed self,
                                                                 router_string_t *ret)
{
    (void)self;
    *ret = read_text("client-address", test_octets(&test_now.address));
}

uint16_t pointsman_router_request_method_request_head_client_port(borrowed self)
{
    (void)self;
    test_note_read("client-port", pm_none());
    return test_now.port;
}

bool pointsman_router_request_method_request_head_server_name(borrowed self, router_string_t *ret)
{
    (void)self;
    return read_optional("server-name", known(test_now.has_server_name, &test_now.server_name),
                         ret);
}

bool pointsman_router_request_method_request_head_alpn(borrowed self, router_string_t *ret)
{
    (void)self;
    return read_optional("alpn", known(test_now.has_alpn, &test_now.alpn), ret);
}

static bool read_certificate(const char *what, const char *value, router_string_t *ret)
{
    return read_optional(what, test_now.has_certificate ? pm_text(value) : pm_none(), ret);
}

bool pointsman_router_request_method_request_head_client_certificate_subject(borrowed self,
                                                                             router_string_t *ret)
{
    (void)self;
    return read_certificate("client-certificate-subject", test_now.certificate.subject, ret);
}

bool pointsman_router_request_method_request_head_client_certificate_issuer(borrowed self,
                                                                            router_string_t *ret)
{
    (void)self;
    return read_certificate("client-certificate-issuer", test_now.certificate.issuer, ret);
}

bool pointsman_router_request_method_request_head_client_certificate_serial(borrowed self,
                                                                            router_string_t *ret)
{
    (void)self;
    return read_certificate("client-certificate-serial", test_now.certificate.serial, ret);
}

bool pointsman_router_request_method_request_head_client_certificate_sha256(borrowed self,
                                                                            router_string_t *ret)
{
    (void)self;
    return read_certificate("client-certificate-sha256", test_now.certificate.sha256, ret);
}

void pointsman_router_request_method_request_head_client_certificate_names(
    borrowed self, router_list_string_t *ret)
{
    (void)self;
    test_note_read("client-certificate-names", pm_none());
    pm_str rest = test_now.has_certificate ? pm_text(test_now.certificate.names) : pm_none();
    pm_str name;
    ret->len = 0;
    ret->ptr = cabi_realloc(NULL, 0, _Alignof(router_string_t), (rest.len + 1) * sizeof *ret->ptr);
    while (pm_split(&rest, ' ', &name))
        ret->ptr[ret->len++] = test_lift_string(name);
}

bool pointsman_router_request_method_request_head_client_certificate_not_after(borrowed self,
                                                                               uint64_t *ret)
{
    (void)self;
    test_note_read("client-certificate-not-after", pm_none());
    /* Without a certificate, the value is undefined. */
    *ret = test_now.has_certificate ? test_now.certificate.not_after : UINT64_MAX;
    return test_now.has_certificate;
}

uint32_t pointsman_router_request_method_request_head_attempt(borrowed self)
{
    (void)self;
    test_note_read("attempt", pm_none());
    return test_now.attempt;
}

bool pointsman_router_request_method_request_head_body_prefix(borrowed self, router_list_u8_t *ret)
{
    (void)self;
    test_note_read("body-prefix", pm_none());
    if (test_now.has_body) {
        field_value octets = test_lift_value(test_octets(&test_now.body));
        ret->ptr = octets.ptr;
        ret->len = octets.len;
    }
    return test_now.has_body;
}

bool pointsman_router_request_method_request_head_body_is_complete(borrowed self)
{
    (void)self;
    test_note_read("body-is-complete", pm_none());
    return test_now.body_is_complete;
}

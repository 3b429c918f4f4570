/* Declarations that the parts of the double share. Not for plugins or their tests. */
#ifndef POINTSMAN_TEST_INTERNAL_H
#define POINTSMAN_TEST_INTERNAL_H

#include "bindings/router.h"
#include "pointsman_internal.h"
#include "pointsman_test.h"

/* The test's own memory; the plugin's is released with each request. */

typedef struct text {
    char *ptr;
    size_t len;
} text;

/* Never returns NULL. */
void *test_grow(void *ptr, size_t count, size_t size);
void test_add_octets(text *to, pm_str octets);
void test_add(text *to, const char *part);
void test_set(text *to, const char *value);
void test_begin_line(text *to);
void test_clear(text *of);
pm_str test_octets(const text *of);

/* Conversions between the test's memory and the plugin's. */

/* Returns a string that the plugin passes. Ends the test if it is not UTF-8, which would trap. */
pm_str test_checked(const router_string_t *string);
/* Copy values into the plugin's memory, as the proxy does. */
router_string_t test_lift_string(pm_str octets);
pointsman_router_request_field_value_t test_lift_value(pm_str octets);
/* Fails a definition or an edit; returns false. */
bool test_refuse(router_string_t *error, const char *reason);
/* Ends the test for a mistake that would trap in the proxy. */
PM_NORETURN void test_trap(const char *message);

/* The request that is routed, and the plugin's effects on it. */

typedef struct test_field {
    text name;
    text value;
} test_field;

typedef struct test_request {
    text method;
    text target;
    text version;
    bool has_version;
    test_field *fields;
    size_t field_count;
    text address;
    uint16_t port;
    bool has_tls;
    text server_name;
    bool has_server_name;
    text alpn;
    bool has_alpn;
    bool has_certificate;
    pm_test_certificate certificate;
    uint32_t attempt;
    text body;
    bool has_body;
    bool body_is_complete;
    /* Handles that the plugin has not dropped. */
    int open_heads;
    text edits;
    text response_edits;
    text options;
    text reads;
} test_request;

extern test_request test_now;

/* Records a read, and the name that is read if there is one. */
void test_note_read(const char *what, pm_str name);

/* Backends and the log (pointsman_test_backends.c). */

/* Returns NULL if there is no such backend. */
const pm_backend_state *test_backend_state(pm_str name);
/* Frees the logged lines. */
void test_clear_log(void);

/* Parts of the request (pointsman_test_parts.c). Copies are in the plugin's memory. */

pm_str test_authority(void);
pm_str test_host(void);
pm_str test_path(void);
pm_str test_query_parameter(pm_str name);
pm_str test_cookie(pm_str name);
/* Reports whether `over` names a part. */
bool test_is_part(pm_str over);
/* Returns the values of a part: any number for a field, otherwise one or none. */
pm_strs test_part(pm_str over);

/* Matchers (pointsman_test_matcher.c). */

typedef struct test_entry test_entry;

typedef struct test_matcher {
    pm_match match;
    bool ignore_case;
    test_entry *entries;
    size_t entry_count;
} test_matcher;

bool test_add_entry(test_matcher *matcher, pm_str octets, uint32_t number, router_string_t *error);
/* Returns the number of the best entry; 0 if none matches. */
uint32_t test_match(const test_matcher *matcher, pm_strs values);
void test_clear_matcher(test_matcher *matcher);

/* Questions (pointsman_test_questions.c). */

void test_clear_questions(void);
void test_clear_shares(void);
/* Returns the name of a question whose answer is a value: "cookie:session" or
 * "tenants[cookie:session]". */
pm_str test_value_question(uint32_t id);

#endif

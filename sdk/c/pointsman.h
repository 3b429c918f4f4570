/*
 * Write routing plugins for Pointsman in C. README.md has a whole plugin.
 *
 * A plugin defines two functions, pm_configure and pm_route, declared at the end of this file.
 *
 * Memory: nothing is ever freed by hand. What these functions give out during pm_configure lives
 * as long as the plugin; what they give out during pm_route lives until pm_route returns. What
 * they take (names, values, bodies) is copied, so it may lie on the stack.
 *
 * Texts: `const char *` is a text of the plugin's own, or one from its configuration. `pm_str` is
 * what came with a request: octets with a length, no NUL at the end, perhaps no UTF-8.
 */
#ifndef POINTSMAN_H
#define POINTSMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PM_PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))
#define PM_NORETURN __attribute__((__noreturn__))
#else
#define PM_PRINTF(at, first)
#define PM_NORETURN
#endif

/* Octets. */

/* Octets with a length. `ptr` is NULL for none, as for a field that a request does not have, and
 * only then: an empty value has a `ptr` and no length. */
typedef struct pm_str {
    const char *ptr;
    size_t len;
} pm_str;

/* Several, as the lines of a field. */
typedef struct pm_strs {
    const pm_str *items;
    size_t len;
} pm_strs;

/* None. */
static inline pm_str pm_none(void)
{
    pm_str none = {NULL, 0};
    return none;
}

static inline bool pm_is_none(pm_str octets)
{
    return octets.ptr == NULL;
}

/* The octets at `ptr`. */
static inline pm_str pm_octets(const char *ptr, size_t len)
{
    pm_str octets = {ptr, len};
    return octets;
}

/* A text as octets; none for NULL. */
static inline pm_str pm_text(const char *text)
{
    return pm_octets(text, text == NULL ? 0 : strlen(text));
}

/* For "%.*s", of a variable: pm_info("host %.*s", PM_ARG(host)). */
#define PM_ARG(octets) (int)(octets).len, ((octets).ptr == NULL ? "" : (octets).ptr)

/* Whether these are the octets of `text`. None is equal to no text. */
bool pm_is(pm_str octets, const char *text);
/* The same, whatever the case of ASCII letters. */
bool pm_is_nocase(pm_str octets, const char *text);
/* Whether both are none, or have the same octets. */
bool pm_equal(pm_str a, pm_str b);
bool pm_equal_nocase(pm_str a, pm_str b);
bool pm_starts_with(pm_str octets, const char *text);
bool pm_ends_with(pm_str octets, const char *text);
bool pm_is_utf8(pm_str octets);
/* Without the white space of ASCII around it. */
pm_str pm_trim(pm_str octets);
/* Takes what stands before the next `separator` off the front of `*rest`; false once there is
 * nothing left: while (pm_split(&rest, ',', &part)) ... */
bool pm_split(pm_str *rest, char separator, pm_str *part);
/* A host without its port: `a` of `a:80`, `[::1]` of `[::1]:80`. An address that has several
 * colons and no brackets is left as it is. */
pm_str pm_without_port(pm_str host);
/* A copy with a NUL at the end; it ends at the first NUL that is in `octets`. */
const char *pm_c_string(pm_str octets);
/* A text as printf makes it. */
const char *pm_format(const char *format, ...) PM_PRINTF(1, 2);
/* Memory that need not be freed, see above; never NULL. What is in it is undefined. */
void *pm_alloc(size_t size);
/* Room for `count` things of `size` octets each, zeroed. */
void *pm_alloc_array(size_t count, size_t size);

/*
 * The request. Only what is asked for crosses into the sandbox, and each thing asked for becomes
 * part of what a cached decision depends on: ask for what the decision needs, and no more.
 * Reads answer with the request as it came, whatever was edited before.
 */
typedef struct pm_request pm_request;

/* The peer of the connection: behind another proxy, that proxy. */
typedef struct pm_peer {
    /* An IPv4 or IPv6 address in text form, or the path of a Unix socket: empty for most clients. */
    pm_str address;
    /* 0 for a Unix socket. */
    uint16_t port;
} pm_peer;

/* Facts of the TLS session that a request came over. */
typedef struct pm_tls_session {
    /* Server name that the client asked for (SNI), in lower case; perhaps none. */
    pm_str server_name;
    /* Protocol agreed by ALPN, as in `h2`; perhaps none. */
    pm_str alpn;
} pm_tls_session;

typedef struct pm_field {
    pm_str name;
    pm_str value;
} pm_field;

typedef struct pm_fields {
    const pm_field *items;
    size_t len;
} pm_fields;

/* As sent, as in `GET`. */
pm_str pm_method(pm_request *request);
/* `http` or `https`. */
pm_str pm_scheme(pm_request *request);
/* The path with its query, as in `/a?b=c`; `*` for `OPTIONS *`. Nothing is decoded. */
pm_str pm_target(pm_request *request);
/* The target up to its first `?`. */
pm_str pm_path(pm_request *request);
/* What follows the first `?` of the target, or none. */
pm_str pm_query(pm_request *request);
/* The value of the query's first parameter of this name, or none; empty where it has no `=`.
 * `+` is a blank and %XX is decoded, in names too; a broken escape is left as it is. */
static inline pm_str pm_query_param(pm_request *request, const char *name);
/* The first line of the field `host` (`:authority` of HTTP/2), with its port, or none. */
pm_str pm_host(pm_request *request);
/* The host without its port, see pm_without_port, or none. */
pm_str pm_hostname(pm_request *request);
/* The value of the first line of the field `name`, which matches in any case, or none. */
static inline pm_str pm_header(pm_request *request, const char *name);
/* The same as a text; NULL where there is no such line, or it is not UTF-8. */
const char *pm_header_text(pm_request *request, const char *name);
/* The value of every line of the field, in the order received. */
static inline pm_strs pm_header_lines(pm_request *request, const char *name);
/* Every field line, names in lower case. Lines of one name are together, in the order received;
 * the order of the names is not that of the request. */
pm_fields pm_headers(pm_request *request);
/* The value of the first cookie of this name, whose case counts, or none. */
static inline pm_str pm_cookie(pm_request *request, const char *name);
pm_peer pm_client(pm_request *request);
/* False for a request in the clear; then `*session` has none of its facts. */
bool pm_tls(pm_request *request, pm_tls_session *session);
/* How many backends were tried before this call: 0 on the first. */
uint32_t pm_attempt(pm_request *request);

/* What became of an edit. */
typedef enum pm_edit {
    PM_EDITED,
    /* Not a field name, value or request target that HTTP allows. */
    PM_INVALID_SYNTAX,
    /* A field that frames or upgrades the message, which only the proxy may set. */
    PM_FORBIDDEN
} pm_edit;

/* Edits apply to what the chosen backend receives, in the order made. With an answer that is no
 * backend they are dropped. */

/* Replaces every line of the field by one. */
static inline pm_edit pm_set_header(pm_request *request, const char *name, pm_str value);
/* Adds a line after those that are there. `host` is forbidden: there is one. */
static inline pm_edit pm_append_header(pm_request *request, const char *name, pm_str value);
/* Removes every line of the field. `host` is forbidden. */
static inline pm_edit pm_remove_header(pm_request *request, const char *name);
/* Replaces the target by another in origin form, as in `/a?b=c`. */
pm_edit pm_set_path_with_query(pm_request *request, pm_str target);

/* Decisions: what pm_route returns, made by one of the functions below. */
typedef enum pm_decision_kind {
    PM_TO_BACKEND,
    PM_TO_DEFAULT,
    PM_RESPOND,
    PM_FAIL
} pm_decision_kind;

typedef struct pm_decision {
    pm_decision_kind kind;
    uint16_t status;
    /* The backend's name, the body, or the error's message. */
    pm_str text;
    pm_field *headers;
    size_t header_count;
} pm_decision;

/* The backend of this name. */
static inline pm_decision pm_backend(const char *name);
/* The frontend's `default_backend`. */
pm_decision pm_default_backend(void);
/* A response that the proxy sends itself: a status from 200 to 599, and a body. */
pm_decision pm_respond(unsigned status, pm_str body);
/* Adds a field line to a response. */
static inline void pm_add_header(pm_decision *response, const char *name, pm_str value);
/* Sends the client elsewhere: 301, 302, 303, 307 or 308. */
pm_decision pm_redirect(unsigned status, pm_str location);
/* Counts as a fault of the plugin: the request goes by the frontend's `on_fault`. */
pm_decision pm_fail(const char *format, ...) PM_PRINTF(1, 2);

/*
 * The configuration: `router.config`, read in pm_configure.
 *
 * Nobody has to look for errors. The first one is kept, with its key, and told to the proxy once
 * pm_configure has returned; what a function here returns in place of a value that is missing or
 * of another type is "", 0, false or an empty list. A key that was not asked for is an error too
 * ("unknown key"), so ask for every key that a user may give, also after an error.
 */
typedef struct pm_value pm_value;

typedef enum pm_kind {
    /* Not there: what pm_get gives where it has told that a key is missing. */
    PM_ABSENT,
    PM_TEXT,
    PM_NUMBER,
    PM_BOOL,
    PM_LIST,
    PM_TABLE,
    PM_NULL
} pm_kind;

/* The value of a key that must be there. */
static inline pm_value *pm_get(pm_value *table, const char *key);
/* The value of a key that may be there, or NULL. */
static inline pm_value *pm_find(pm_value *table, const char *key);
/* What a value is; PM_ABSENT for NULL. */
pm_kind pm_kind_of(const pm_value *value);

/* What a value holds; any other type is an error at its key. NULL, as pm_find gives it, is no
 * error, and has "", 0 or false, or the `otherwise` of those functions that take one. */

/* A text, without NUL; it lives as long as the plugin. */
const char *pm_as_text(pm_value *value);
const char *pm_as_text_or(pm_value *value, const char *otherwise);
/* The name of a backend that the proxy's configuration has. */
const char *pm_as_backend(pm_value *value);
bool pm_as_bool(pm_value *value);
bool pm_as_bool_or(pm_value *value, bool otherwise);
/* An integer from `min` to `max`. */
int64_t pm_as_integer(pm_value *value, int64_t min, int64_t max);
int64_t pm_as_integer_or(pm_value *value, int64_t min, int64_t max, int64_t otherwise);
/* A number, with or without a fraction, from `min` to `max`. */
double pm_as_number(pm_value *value, double min, double max);
double pm_as_number_or(pm_value *value, double min, double max, double otherwise);

/* How many items a list has. */
size_t pm_count(pm_value *list);
/* One of them. */
pm_value *pm_item(pm_value *list, size_t index);
/* How many keys a table has, for one whose keys are the user's own. */
size_t pm_entries(pm_value *table);
/* The value of one of them, in no particular order, and its key. */
pm_value *pm_entry(pm_value *table, size_t index, const char **key);

/* Refuses the configuration at this value's key: `rules[0].suffix: MESSAGE`. */
void pm_refuse(pm_value *value, const char *format, ...) PM_PRINTF(2, 3);
/* The same for a value of the wrong type: "expected a text or a list of texts, not 5". */
void pm_refuse_type(pm_value *value, const char *expected);

/* What the proxy knows about its backends. Asked in pm_route, that decision is never cached. In
 * pm_configure every server counts as usable, and nothing is in progress. */
typedef struct pm_load {
    /* Servers that are up and not draining, with or without a free slot. */
    uint32_t usable_servers;
    /* Requests and tunnels in progress, over all servers. */
    uint32_t active;
    /* Requests that wait for a free slot. */
    uint32_t queued;
} pm_load;

/* False where the proxy's configuration has no backend of this name. */
static inline bool pm_backend_load(const char *name, pm_load *load);
static inline bool pm_backend_exists(const char *name);

/* The proxy's log. What the plugin prints with printf goes there too, at `info`. */
typedef enum pm_level { PM_TRACE, PM_DEBUG, PM_INFO, PM_WARN, PM_ERROR } pm_level;

void pm_log(pm_level level, const char *format, ...) PM_PRINTF(2, 3);
#define pm_trace(...) pm_log(PM_TRACE, __VA_ARGS__)
#define pm_debug(...) pm_log(PM_DEBUG, __VA_ARGS__)
#define pm_info(...) pm_log(PM_INFO, __VA_ARGS__)
#define pm_warn(...) pm_log(PM_WARN, __VA_ARGS__)
#define pm_error(...) pm_log(PM_ERROR, __VA_ARGS__)

/* For a mistake of the plugin's own: logs the message as an error, and traps. assert() does too. */
PM_NORETURN void pm_panic(const char *message);

/* Whether the proxy may reuse a decision. */
typedef enum pm_cacheability {
    /* A decision follows from the configuration and from what was read of the request alone. */
    PM_CACHEABLE,
    /* It depends on more, as on earlier requests: each is made afresh. */
    PM_UNCACHEABLE
} pm_cacheability;

/* What a plugin defines. */

/* Called once, before any request. */
pm_cacheability pm_configure(pm_value *config);
/* Called for each request that no cached decision covers. */
pm_decision pm_route(pm_request *request);

/* The same with names that have a length, which those with `const char *` are made of. A name
 * that is not UTF-8 is that of no field, parameter, cookie, key or backend. */
pm_str pm_query_param_n(pm_request *request, pm_str name);
pm_str pm_header_n(pm_request *request, pm_str name);
pm_str pm_header_text_n(pm_request *request, pm_str name);
pm_strs pm_header_lines_n(pm_request *request, pm_str name);
pm_str pm_cookie_n(pm_request *request, pm_str name);
pm_edit pm_set_header_n(pm_request *request, pm_str name, pm_str value);
pm_edit pm_append_header_n(pm_request *request, pm_str name, pm_str value);
pm_edit pm_remove_header_n(pm_request *request, pm_str name);
pm_decision pm_backend_n(pm_str name);
pm_decision pm_fail_n(pm_str message);
void pm_add_header_n(pm_decision *response, pm_str name, pm_str value);
pm_value *pm_get_n(pm_value *table, pm_str key);
pm_value *pm_find_n(pm_value *table, pm_str key);
pm_str pm_as_text_n(pm_value *value);
pm_str pm_as_backend_n(pm_value *value);
void pm_refuse_n(pm_value *value, pm_str message);
bool pm_backend_load_n(pm_str name, pm_load *load);
void pm_log_n(pm_level level, pm_str message);

static inline pm_str pm_query_param(pm_request *request, const char *name)
{
    return pm_query_param_n(request, pm_text(name));
}

static inline pm_str pm_header(pm_request *request, const char *name)
{
    return pm_header_n(request, pm_text(name));
}

static inline pm_strs pm_header_lines(pm_request *request, const char *name)
{
    return pm_header_lines_n(request, pm_text(name));
}

static inline pm_str pm_cookie(pm_request *request, const char *name)
{
    return pm_cookie_n(request, pm_text(name));
}

static inline pm_edit pm_set_header(pm_request *request, const char *name, pm_str value)
{
    return pm_set_header_n(request, pm_text(name), value);
}

static inline pm_edit pm_append_header(pm_request *request, const char *name, pm_str value)
{
    return pm_append_header_n(request, pm_text(name), value);
}

static inline pm_edit pm_remove_header(pm_request *request, const char *name)
{
    return pm_remove_header_n(request, pm_text(name));
}

static inline pm_decision pm_backend(const char *name)
{
    return pm_backend_n(pm_text(name));
}

static inline void pm_add_header(pm_decision *response, const char *name, pm_str value)
{
    pm_add_header_n(response, pm_text(name), value);
}

static inline pm_value *pm_get(pm_value *table, const char *key)
{
    return pm_get_n(table, pm_text(key));
}

static inline pm_value *pm_find(pm_value *table, const char *key)
{
    return pm_find_n(table, pm_text(key));
}

static inline bool pm_backend_load(const char *name, pm_load *load)
{
    return pm_backend_load_n(pm_text(name), load);
}

static inline bool pm_backend_exists(const char *name)
{
    pm_load load;
    return pm_backend_load(name, &load);
}

#ifdef __cplusplus
}
#endif

#endif

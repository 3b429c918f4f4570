/*
 * Write routing plugins for Pointsman in C. README.md has a whole plugin.
 *
 * A plugin defines two functions, pm_configure and pm_route, declared at the end of this file.
 *
 * Memory: nothing is ever freed by hand. What these functions return during pm_configure lives as
 * long as the plugin; what they return during pm_route lives until pm_route returns. What they
 * take (names, values, bodies) is copied, so it may lie on the stack.
 */
#ifndef POINTSMAN_H
#define POINTSMAN_H

#include "pointsman_questions.h"
#include "pointsman_text.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The request. Only what the plugin asks for crosses into the sandbox, and every read becomes part
 * of the key under which the decision is cached: read only what you need, and where a yes, a no or
 * a number is enough, ask a question instead (pointsman_questions.h). Reads show the request as
 * the proxy admitted it, without edits.
 *
 * In a frontend with `mode = "tcp"` there is no HTTP: pm_host is the TLS server name, pm_method,
 * pm_path and pm_authority are empty, pm_version is none, and edits fail.
 */
typedef struct pm_request pm_request;

typedef struct pm_field {
    pm_str name;
    pm_str value;
} pm_field;

typedef struct pm_fields {
    const pm_field *items;
    size_t len;
} pm_fields;

/* As sent, for example `GET`. */
pm_str pm_method(pm_request *request);
/* `http` or `https`; a trusted proxy's `X-Forwarded-Proto` counts. */
pm_str pm_scheme(pm_request *request);
/* `1.0`, `1.1`, `2` or `3`, or none. */
pm_str pm_version(pm_request *request);
/* Host as sent, with its port. */
pm_str pm_authority(pm_request *request);
/* The host of the authority: lower case, without port and trailing dot. */
pm_str pm_host(pm_request *request);
/* Origin form, for example `/a?b=c`; `*` for `OPTIONS *`. Nothing is decoded. */
pm_str pm_path_with_query(pm_request *request);
/* The path alone, as sent. */
pm_str pm_path(pm_request *request);
/* The text after the first `?` of pm_path_with_query, which it reads, or none. */
pm_str pm_query(pm_request *request);
/* First value of a query parameter, or none. %XX is decoded once, `+` is read as a blank. */
static inline pm_str pm_query_parameter(pm_request *request, const char *name);
/* Value of the first line of the field `name`, which matches in any case, or none. */
static inline pm_str pm_header(pm_request *request, const char *name);
/* The same as a C string; NULL if there is no such line, or it is not UTF-8. */
const char *pm_header_text(pm_request *request, const char *name);
/* Value of every line of the field, in the order received. */
static inline pm_strs pm_header_lines(pm_request *request, const char *name);
/* Every field line in the order received, names as sent. */
pm_fields pm_headers(pm_request *request);
/* Value of one cookie, or none. The case of its name counts. */
static inline pm_str pm_cookie(pm_request *request, const char *name);
/* Address of the client: the peer, or the address that PROXY protocol or a trusted proxy gives.
 * Text form of RFC 5952, without zone and port; empty for a client on a Unix socket. */
pm_str pm_client_address(pm_request *request);
/* Port of the peer; 0 for a Unix socket. It differs for each connection. */
uint16_t pm_client_port(pm_request *request);
/* Server name of the TLS session (SNI) in lower case, or none. */
pm_str pm_server_name(pm_request *request);
/* Protocol agreed by ALPN, for example `h2`, or none. */
pm_str pm_alpn(pm_request *request);
/* Of the verified client certificate; none without one. Subject and issuer are distinguished
 * names (RFC 4514). */
pm_str pm_client_certificate_subject(pm_request *request);
pm_str pm_client_certificate_issuer(pm_request *request);
/* DNS names and URIs. */
pm_strs pm_client_certificate_names(pm_request *request);
/* In hex. */
pm_str pm_client_certificate_serial(pm_request *request);
/* SHA-256 of the certificate, in hex. */
pm_str pm_client_certificate_sha256(pm_request *request);
/* Seconds since 1970; false, and 0, without a certificate. */
bool pm_client_certificate_not_after(pm_request *request, uint64_t *seconds);
/* Number of choices for this request that failed before this call; 0 at first. */
uint32_t pm_attempt(pm_request *request);
/* The part of the body that had arrived when pm_route was called; none unless the frontend waits
 * for it (`routing.body`). A decision that reads it is not cached. */
pm_str pm_body_prefix(pm_request *request);
/* Whether pm_body_prefix is the whole body. */
bool pm_body_is_complete(pm_request *request);

/*
 * Edits. They take effect if pm_route returns a backend, a server, the default backend or `next`.
 *
 * An edit fails, and returns false, if HTTP does not allow the name, the value or the target, or
 * if only the proxy may set the field (`connection`, `content-length` and the like; `host` has
 * pm_set_authority). The first failure becomes the error of pm_route, whatever that returns,
 * unless the plugin takes it: if (!pm_set_header(...)) pm_warn(..., pm_take_edit_error(request)).
 */

/* Replaces every line of the field by one. */
static inline bool pm_set_header(pm_request *request, const char *name, pm_str value);
/* Adds one line after those that are there. */
static inline bool pm_append_header(pm_request *request, const char *name, pm_str value);
/* Removes every line of the field. */
static inline bool pm_remove_header(pm_request *request, const char *name);
/* Replaces the Host that the server sees (HTTP/2: `:authority`). */
bool pm_set_authority(pm_request *request, pm_str authority);
/* Replaces the target by another in origin form, for example `/a?b=c`. */
bool pm_set_path_with_query(pm_request *request, pm_str target);
/* Replaces the first `length` bytes of the path; the rest and the query stay. One cached decision
 * serves every path below a prefix. */
bool pm_replace_path_prefix(pm_request *request, uint32_t length, pm_str replacement);
/* Edits of the final response, whoever makes it. They also apply to a response that this or a
 * later plugin makes. */
static inline bool pm_set_response_header(pm_request *request, const char *name, pm_str value);
static inline bool pm_append_response_header(pm_request *request, const char *name, pm_str value);
static inline bool pm_remove_response_header(pm_request *request, const char *name);
/* The reason of the first edit that failed, or none. From now on it counts as handled. */
pm_str pm_take_edit_error(pm_request *request);

/* Options. Of several calls of one option the last counts. */

/* Requests with the same key go to the same server while it is usable. */
void pm_set_affinity(pm_request *request, pm_str key);
/* Override a timeout of the backend for this request. 0 is valid for the queue only. */
void pm_set_queue_timeout_ms(pm_request *request, uint32_t milliseconds);
void pm_set_connect_timeout_ms(pm_request *request, uint32_t milliseconds);
void pm_set_server_timeout_ms(pm_request *request, uint32_t milliseconds);
void pm_set_tunnel_timeout_ms(pm_request *request, uint32_t milliseconds);
/* How often the request may be sent in all, 1 to 16, where that is safe. */
void pm_set_tries(pm_request *request, uint32_t tries);
/* A name and a value for the access record and the trace: at most 16 tags of 256 bytes. Octets
 * that are not UTF-8 become U+FFFD. */
static inline void pm_tag(pm_request *request, const char *name, pm_str value);

/* Decisions: what pm_route returns, made by one of the functions below. */
typedef enum pm_decision_kind {
    PM_TO_BACKEND,
    PM_TO_DEFAULT,
    PM_RESPOND,
    PM_TO_SERVER,
    PM_TO_NEXT,
    PM_FAIL
} pm_decision_kind;

/* What happens if a chosen server is not usable. */
typedef enum pm_fallback {
    /* Another server of the backend. */
    PM_ANOTHER_SERVER,
    /* The router is asked again, with the next pm_attempt. */
    PM_ASK_AGAIN
} pm_fallback;

typedef struct pm_decision {
    pm_decision_kind kind;
    uint16_t status;
    /* The backend's name, the body, or the error's message. */
    pm_str text;
    pm_str server;
    pm_fallback otherwise;
    pm_field *headers;
    size_t header_count;
} pm_decision;

/* The backend of this name. */
static inline pm_decision pm_backend(const char *name);
/* The frontend's `default_backend`. */
pm_decision pm_default_backend(void);
/* One server of a backend. */
static inline pm_decision pm_server(const char *backend, const char *server,
                                    pm_fallback otherwise);
/* Not for this plugin: the next one of the router decides, with the edits and options so far;
 * after the last one, the frontend's `default_backend`. */
pm_decision pm_next(void);
/* A response that the proxy sends itself: a status from 200 to 599, and a body. */
pm_decision pm_respond(unsigned status, pm_str body);
/* Adds a field line to a response. */
static inline void pm_add_header(pm_decision *response, const char *name, pm_str value);
/* Sends the client elsewhere: 301, 302, 303, 307 or 308. */
pm_decision pm_redirect(unsigned status, pm_str location);
/* A fault of the plugin: the request goes by its `on_fault`. */
pm_decision pm_fail(const char *format, ...) PM_PRINTF(1, 2);

/*
 * The configuration: `router.config`, read in pm_configure.
 *
 * Errors need no handling. The SDK keeps the first one, with its key, and reports it once
 * pm_configure has returned. In place of a value that is missing or of another type, the functions
 * here return "", 0, false or an empty list. A key that was not asked for is an error too ("unknown
 * key"), so ask for every key that a user may give, also after an error.
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

/* What the proxy knows about its backends. A decision for which pm_route asks is not cached; to
 * ask whether a backend is usable, see pm_define_usable. In pm_configure every server counts as
 * usable and idle. */
typedef struct pm_backend_state {
    uint32_t usable_servers;
    /* Requests and tunnels in progress. */
    uint32_t active;
    /* Requests that wait for a free slot. */
    uint32_t queued;
} pm_backend_state;

typedef struct pm_server_state {
    pm_str name;
    /* Up and not draining, whether or not a slot is free. */
    bool usable;
    uint32_t weight;
    /* Requests and tunnels in progress. */
    uint32_t active;
    /* Requests that the server accepts at once. */
    bool has_limit;
    uint32_t limit;
    /* Moving average of the time to a response's head; none before the first response. */
    bool has_latency;
    uint32_t latency_us;
} pm_server_state;

typedef struct pm_servers {
    const pm_server_state *items;
    size_t len;
} pm_servers;

/* Every backend of the configuration. */
pm_strs pm_backend_names(void);
/* False if the configuration has no backend of this name. */
static inline bool pm_get_backend_state(const char *name, pm_backend_state *state);
static inline bool pm_get_servers(const char *backend, pm_servers *servers);
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
    /* A decision follows from the configuration, from what was read of the request and from the
     * answers to questions, and from nothing else. */
    PM_CACHEABLE,
    /* A decision depends on more, such as earlier requests: each is made afresh. */
    PM_UNCACHEABLE
} pm_cacheability;

/* What a plugin defines. */

/* Called once, before any request. */
pm_cacheability pm_configure(pm_value *config);
/* Called for each request that no cached decision covers. */
pm_decision pm_route(pm_request *request);

/* The same with names that have a length, which those with `const char *` are made of. A name
 * that is not UTF-8 is that of no field, parameter, cookie, key or backend. */
pm_str pm_query_parameter_n(pm_request *request, pm_str name);
pm_str pm_header_n(pm_request *request, pm_str name);
pm_str pm_header_text_n(pm_request *request, pm_str name);
pm_strs pm_header_lines_n(pm_request *request, pm_str name);
pm_str pm_cookie_n(pm_request *request, pm_str name);
bool pm_set_header_n(pm_request *request, pm_str name, pm_str value);
bool pm_append_header_n(pm_request *request, pm_str name, pm_str value);
bool pm_remove_header_n(pm_request *request, pm_str name);
bool pm_set_response_header_n(pm_request *request, pm_str name, pm_str value);
bool pm_append_response_header_n(pm_request *request, pm_str name, pm_str value);
bool pm_remove_response_header_n(pm_request *request, pm_str name);
void pm_tag_n(pm_request *request, pm_str name, pm_str value);
pm_decision pm_backend_n(pm_str name);
pm_decision pm_server_n(pm_str backend, pm_str server, pm_fallback otherwise);
pm_decision pm_fail_n(pm_str message);
void pm_add_header_n(pm_decision *response, pm_str name, pm_str value);
pm_value *pm_get_n(pm_value *table, pm_str key);
pm_value *pm_find_n(pm_value *table, pm_str key);
pm_str pm_as_text_n(pm_value *value);
pm_str pm_as_backend_n(pm_value *value);
void pm_refuse_n(pm_value *value, pm_str message);
bool pm_get_backend_state_n(pm_str name, pm_backend_state *state);
bool pm_get_servers_n(pm_str backend, pm_servers *servers);
void pm_log_n(pm_level level, pm_str message);

static inline pm_str pm_query_parameter(pm_request *request, const char *name)
{
    return pm_query_parameter_n(request, pm_text(name));
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

static inline bool pm_set_header(pm_request *request, const char *name, pm_str value)
{
    return pm_set_header_n(request, pm_text(name), value);
}

static inline bool pm_append_header(pm_request *request, const char *name, pm_str value)
{
    return pm_append_header_n(request, pm_text(name), value);
}

static inline bool pm_remove_header(pm_request *request, const char *name)
{
    return pm_remove_header_n(request, pm_text(name));
}

static inline bool pm_set_response_header(pm_request *request, const char *name, pm_str value)
{
    return pm_set_response_header_n(request, pm_text(name), value);
}

static inline bool pm_append_response_header(pm_request *request, const char *name, pm_str value)
{
    return pm_append_response_header_n(request, pm_text(name), value);
}

static inline bool pm_remove_response_header(pm_request *request, const char *name)
{
    return pm_remove_response_header_n(request, pm_text(name));
}

static inline void pm_tag(pm_request *request, const char *name, pm_str value)
{
    pm_tag_n(request, pm_text(name), value);
}

static inline pm_decision pm_backend(const char *name)
{
    return pm_backend_n(pm_text(name));
}

static inline pm_decision pm_server(const char *backend, const char *server, pm_fallback otherwise)
{
    return pm_server_n(pm_text(backend), pm_text(server), otherwise);
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

static inline bool pm_get_backend_state(const char *name, pm_backend_state *state)
{
    return pm_get_backend_state_n(pm_text(name), state);
}

static inline bool pm_get_servers(const char *backend, pm_servers *servers)
{
    return pm_get_servers_n(pm_text(backend), servers);
}

static inline bool pm_backend_exists(const char *name)
{
    pm_backend_state state;
    return pm_get_backend_state(name, &state);
}

#ifdef __cplusplus
}
#endif

#endif

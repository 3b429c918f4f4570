/*
 * Write routing plugins for Pointsman in C. README.md contains a complete plugin.
 *
 * A plugin defines two functions, pm_configure and pm_route, declared at the end of this file.
 *
 * Memory: nothing is ever freed by hand. The results of these functions live as long as the plugin
 * if they are called during pm_configure, and until pm_route returns if they are called during
 * pm_route. Their arguments (names, values, bodies) are copied, so they can be on the stack.
 */
#ifndef POINTSMAN_H
#define POINTSMAN_H

#include "pointsman_questions.h"
#include "pointsman_text.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The request. Only the parts that the plugin reads cross into the sandbox, and every read becomes
 * part of the key under which the decision is cached. Read only what you need. If yes, no or one of
 * a few values is enough, ask a question instead (pointsman_questions.h). Reads show the request as
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

/* Returns the method as sent, for example `GET` (RFC 9110, section 9). Empty without HTTP
 * (`mode = "tcp"`). */
pm_str pm_method(pm_request *request);
/* Returns the scheme: `http` or `https`. If a trusted proxy sends `X-Forwarded-Proto`, its value
 * is used. */
pm_str pm_scheme(pm_request *request);
/* Returns the HTTP version: `1.0`, `1.1`, `2` or `3`. None without HTTP (`mode = "tcp"`). */
pm_str pm_version(pm_request *request);
/* Returns the authority as sent: the host, with the port if there is one. The scheme's default port
 * is left out if the authority comes from an absolute target or from `:authority`. Empty without
 * HTTP, or if the client sent no authority (HTTP/1.0). */
pm_str pm_authority(pm_request *request);
/* Returns the host of pm_authority, in lower case, without port or trailing dot. Without HTTP
 * (`mode = "tcp"`), returns the server name of the TLS `ClientHello`. */
pm_str pm_host(pm_request *request);
/* Returns the target in origin form, for example `/a?b=c`; `*` for `OPTIONS *` (RFC 9112, section
 * 3.2). Nothing is decoded. */
pm_str pm_path_with_query(pm_request *request);
/* Returns the path as sent, without the query. Nothing is decoded. */
pm_str pm_path(pm_request *request);
/* Returns the text after the first `?` of the target, for example `b=c`; none if there is no `?`.
 * Nothing is decoded. Reads the whole target; pm_query_parameter reads less. */
pm_str pm_query(pm_request *request);
/* Returns the first value of the query parameter `name`; none if there is no such parameter. `%XX`
 * is decoded once, and `+` is read as a space. */
static inline pm_str pm_query_parameter(pm_request *request, const char *name);
/* Returns the value of the first line of the field `name`; none if there is no such line. The name
 * is case-insensitive. */
static inline pm_str pm_header(pm_request *request, const char *name);
/* Like pm_header, but returns a C string; NULL if there is no such line, or if the value is not
 * UTF-8 or contains a NUL. */
const char *pm_header_text(pm_request *request, const char *name);
/* Returns the value of every line of the field `name`, in the order received. */
static inline pm_strs pm_header_lines(pm_request *request, const char *name);
/* Returns every field line in the order received, with names as sent. */
pm_fields pm_headers(pm_request *request);
/* Returns the value of the cookie `name`; none if there is no such cookie. The name is
 * case-sensitive (RFC 6265, section 5.4). */
static inline pm_str pm_cookie(pm_request *request, const char *name);
/* Returns the client's address: that of the peer, or the one given by the PROXY protocol or by a
 * trusted proxy. It is in the text form of RFC 5952, without zone or port; an IPv4-mapped IPv6
 * address is given as IPv4. Empty for a client on a Unix socket. */
pm_str pm_client_address(pm_request *request);
/* Returns the port of the peer, which differs for each connection. 0 for a client on a Unix socket,
 * or if a trusted proxy gives the client's address. */
uint16_t pm_client_port(pm_request *request);
/* Returns the server name of the TLS session (SNI), in lower case. None if the proxy does not
 * terminate TLS, or if the client sent no name. */
pm_str pm_server_name(pm_request *request);
/* Returns the protocol negotiated by ALPN, for example `h2`; none if no protocol was negotiated. */
pm_str pm_alpn(pm_request *request);
/* Returns the subject of the verified client certificate, a distinguished name (RFC 4514), for
 * example `CN=example.com,O=Example`. None without TLS, or if the client presented no
 * certificate. */
pm_str pm_client_certificate_subject(pm_request *request);
/* Returns the issuer of the verified client certificate, a distinguished name (RFC 4514). None
 * without a certificate. */
pm_str pm_client_certificate_issuer(pm_request *request);
/* Returns the DNS names and URIs (SPIFFE IDs, for example) of the verified client certificate, in
 * the order of the certificate. Empty without a certificate. */
pm_strs pm_client_certificate_names(pm_request *request);
/* Returns the serial number of the verified client certificate, in hex. None without a
 * certificate. */
pm_str pm_client_certificate_serial(pm_request *request);
/* Returns the SHA-256 of the verified client certificate, in hex. None without a certificate. */
pm_str pm_client_certificate_sha256(pm_request *request);
/* Gets the time at which the verified client certificate expires, in seconds since 1970. Without a
 * certificate, returns false and sets 0. */
bool pm_client_certificate_not_after(pm_request *request, uint64_t *seconds);
/* Returns how many decisions for this request have failed before this call; 0 on the first call. */
uint32_t pm_attempt(pm_request *request);
/* Returns the part of the body that had arrived when pm_route was called; none unless the frontend
 * waits for the body (`routing.body`). A decision that reads it is not cached. */
pm_str pm_body_prefix(pm_request *request);
/* Reports whether pm_body_prefix is the whole body. */
bool pm_body_is_complete(pm_request *request);

/*
 * Edits. They take effect if pm_route returns a backend, a server, the default backend or `next`.
 *
 * An edit fails, and returns false, if HTTP does not allow the name, the value or the target, or if
 * only the proxy may set the field (`connection`, `content-length` and the like). For `host`, use
 * pm_set_authority. The first failure becomes the error of pm_route, whatever pm_route returns,
 * unless the plugin takes the error: if (!pm_set_header(...)) pm_warn(...,
 * pm_take_edit_error(request)).
 */

/* Replaces every line of the field `name` with one line that has this value. */
static inline bool pm_set_header(pm_request *request, const char *name, pm_str value);
/* Adds one line of the field `name`, after any existing lines. */
static inline bool pm_append_header(pm_request *request, const char *name, pm_str value);
/* Removes every line of the field `name`. */
static inline bool pm_remove_header(pm_request *request, const char *name);
/* Replaces the Host (HTTP/2: `:authority`) that the server sees. */
bool pm_set_authority(pm_request *request, pm_str authority);
/* Replaces the target with another one in origin form, for example `/a?b=c`. */
bool pm_set_path_with_query(pm_request *request, pm_str target);
/* Replaces the first `length` bytes of the path; the rest of the path and the query stay unchanged.
 * The proxy does this for each request, so one cached decision serves every path below a prefix.
 * The new path begins with `/`; the proxy adds the slash if it is missing. */
bool pm_replace_path_prefix(pm_request *request, uint32_t length, pm_str replacement);
/* Replaces every line of the field `name` in the final response with one line that has this value.
 * Response edits apply to every final response, whether a server, a plugin or the proxy itself
 * makes it, but not to interim responses. */
static inline bool pm_set_response_header(pm_request *request, const char *name, pm_str value);
static inline bool pm_append_response_header(pm_request *request, const char *name, pm_str value);
static inline bool pm_remove_response_header(pm_request *request, const char *name);
/* Returns the reason of the first edit that failed, or none. The failure then counts as handled. */
pm_str pm_take_edit_error(pm_request *request);

/* Options. If an option is set several times, the last call counts. */

/* Sends requests with the same key to the same server while that server is usable. Only the first
 * 4 KiB of the key count. */
void pm_set_affinity(pm_request *request, pm_str key);
/* Overrides a timeout of the backend for this request, in milliseconds. Only the queue timeout can
 * be 0, which means not to wait. */
void pm_set_queue_timeout_ms(pm_request *request, uint32_t milliseconds);
void pm_set_connect_timeout_ms(pm_request *request, uint32_t milliseconds);
void pm_set_server_timeout_ms(pm_request *request, uint32_t milliseconds);
void pm_set_tunnel_timeout_ms(pm_request *request, uint32_t milliseconds);
/* Sets how many times the request can be sent in total, 1 to 16. The request is sent again only if
 * that is safe. */
void pm_set_tries(pm_request *request, uint32_t tries);
/* Adds a name and a value to the access log record and to the trace, but never to a metric's
 * labels. A request can have at most 16 tags. A value is truncated to 256 bytes. Octets that are
 * not UTF-8 become U+FFFD. */
static inline void pm_tag(pm_request *request, const char *name, pm_str value);

/* Decisions: the result of pm_route, made by one of the functions below. */
typedef enum pm_decision_kind {
    PM_TO_BACKEND,
    PM_TO_DEFAULT,
    PM_RESPOND,
    PM_TO_SERVER,
    PM_TO_NEXT,
    PM_FAIL
} pm_decision_kind;

/* Fallback if the chosen server is not usable. */
typedef enum pm_fallback {
    /* Another server of the backend receives the request. */
    PM_ANOTHER_SERVER,
    /* The router is called again, with pm_attempt increased by one. */
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

/* Sends the request to the backend `name`. A name that is not in the proxy's configuration is a
 * fault of the plugin. */
static inline pm_decision pm_backend(const char *name);
/* Sends the request to the frontend's `default_backend`. */
pm_decision pm_default_backend(void);
/* Sends the request to one server of a backend. */
static inline pm_decision pm_server(const char *backend, const char *server,
                                    pm_fallback otherwise);
/* Leaves the decision to the next plugin of the frontend's router, with the edits and options made
 * so far. After the last plugin, the request goes to the frontend's `default_backend`. */
pm_decision pm_next(void);
/* Responds without a backend: the proxy sends a response with this status, 200 to 599, and this
 * body. */
pm_decision pm_respond(unsigned status, pm_str body);
/* Adds a field line to a response. */
static inline void pm_add_header(pm_decision *response, const char *name, pm_str value);
/* Redirects the client to `location` with status 301, 302, 303, 307 or 308 (RFC 9110, section
 * 15.4). */
pm_decision pm_redirect(unsigned status, pm_str location);
/* Reports a fault of the plugin, which its `on_fault` then handles. */
pm_decision pm_fail(const char *format, ...) PM_PRINTF(1, 2);

/*
 * The configuration: `router.config`, read in pm_configure.
 *
 * Errors need no handling. The SDK keeps the first one, with its key, and reports it once
 * pm_configure has returned. If a value is missing or has another type, the functions here return
 * "", 0, false or an empty list. A key that was never read is also an error ("unknown key"), so
 * read every key that a user can give, even after an error.
 */
typedef struct pm_value pm_value;

typedef enum pm_kind {
    /* An absent value: pm_get returns it after it has reported that a key is missing. */
    PM_ABSENT,
    PM_TEXT,
    PM_NUMBER,
    PM_BOOL,
    PM_LIST,
    PM_TABLE,
    PM_NULL
} pm_kind;

/* Returns the value of a required key. */
static inline pm_value *pm_get(pm_value *table, const char *key);
/* Returns the value of an optional key, or NULL. */
static inline pm_value *pm_find(pm_value *table, const char *key);
/* Returns the kind of a value; PM_ABSENT for NULL. */
pm_kind pm_kind_of(const pm_value *value);

/* Functions that read a value. A value of any other type is an error at its key. NULL, which
 * pm_find returns for an absent key, is not an error: the functions then return "", 0 or false, or
 * their argument `otherwise` if they have one. */

/* Returns a string without an embedded NUL. It lives as long as the plugin. */
const char *pm_as_text(pm_value *value);
const char *pm_as_text_or(pm_value *value, const char *otherwise);
/* Returns the name of a backend, which the proxy's configuration must have. */
const char *pm_as_backend(pm_value *value);
bool pm_as_bool(pm_value *value);
bool pm_as_bool_or(pm_value *value, bool otherwise);
/* Returns an integer from `min` to `max`. */
int64_t pm_as_integer(pm_value *value, int64_t min, int64_t max);
int64_t pm_as_integer_or(pm_value *value, int64_t min, int64_t max, int64_t otherwise);
/* Returns a number, with or without a fraction, from `min` to `max`. */
double pm_as_number(pm_value *value, double min, double max);
double pm_as_number_or(pm_value *value, double min, double max, double otherwise);

/* Returns the number of items of a list. */
size_t pm_count(pm_value *list);
/* Returns the item at `index`. */
pm_value *pm_item(pm_value *list, size_t index);
/* Returns the number of keys of a table whose keys the user chooses. */
size_t pm_entries(pm_value *table);
/* Returns the value at `index`, in no particular order, and its key. */
pm_value *pm_entry(pm_value *table, size_t index, const char **key);

/* Refuses the configuration at this value's key: `rules[0].suffix: MESSAGE`. */
void pm_refuse(pm_value *value, const char *format, ...) PM_PRINTF(2, 3);
/* Refuses a value of the wrong type: "expected a text or a list of texts, not 5". */
void pm_refuse_type(pm_value *value, const char *expected);

/* The state of the proxy's backends. Calling any of these functions in pm_route makes the decision
 * uncacheable. To find out whether a backend is usable, ask pm_define_usable's question instead.
 * While pm_configure runs, every server counts as usable and idle. */
typedef struct pm_backend_state {
    uint32_t usable_servers;
    /* Number of requests and tunnels in progress. */
    uint32_t active;
    /* Number of requests that wait for a free slot. */
    uint32_t queued;
} pm_backend_state;

typedef struct pm_server_state {
    pm_str name;
    /* Whether the server is up and not draining, with or without a free slot. */
    bool usable;
    uint32_t weight;
    /* Number of requests and tunnels in progress. */
    uint32_t active;
    /* Maximum number of concurrent requests, if the server has a limit. */
    bool has_limit;
    uint32_t limit;
    /* Moving average of the time until a response's head arrives; none before the first
     * response. */
    bool has_latency;
    uint32_t latency_us;
} pm_server_state;

typedef struct pm_servers {
    const pm_server_state *items;
    size_t len;
} pm_servers;

/* Returns the names of all backends in the proxy's configuration. */
pm_strs pm_backend_names(void);
/* Gets the load of the backend `name`; false if the proxy's configuration has no such backend. */
static inline bool pm_get_backend_state(const char *name, pm_backend_state *state);
static inline bool pm_get_servers(const char *backend, pm_servers *servers);
static inline bool pm_backend_exists(const char *name);

/* The proxy's log. The plugin's output with printf also goes there, at level `info`. */
typedef enum pm_level { PM_TRACE, PM_DEBUG, PM_INFO, PM_WARN, PM_ERROR } pm_level;

void pm_log(pm_level level, const char *format, ...) PM_PRINTF(2, 3);
#define pm_trace(...) pm_log(PM_TRACE, __VA_ARGS__)
#define pm_debug(...) pm_log(PM_DEBUG, __VA_ARGS__)
#define pm_info(...) pm_log(PM_INFO, __VA_ARGS__)
#define pm_warn(...) pm_log(PM_WARN, __VA_ARGS__)
#define pm_error(...) pm_log(PM_ERROR, __VA_ARGS__)

/* Logs the message as an error, and traps. Use it for a mistake of the plugin itself. assert()
 * does the same. */
PM_NORETURN void pm_panic(const char *message);

/* Whether the proxy may reuse a decision. */
typedef enum pm_cacheability {
    /* A decision depends only on the configuration, on the parts of the request that were read and
     * on the answers to questions. */
    PM_CACHEABLE,
    /* A decision depends on more than that, such as earlier requests. Each request gets a new
     * decision. */
    PM_UNCACHEABLE
} pm_cacheability;

/* The functions that a plugin defines. */

/* Called once, before any request. */
pm_cacheability pm_configure(pm_value *config);
/* Called for each request that no cached decision covers. */
pm_decision pm_route(pm_request *request);

/* The same functions for names with a length. The functions with `const char *` call these. No
 * field, parameter, cookie, key or backend has a name that is not UTF-8. */
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

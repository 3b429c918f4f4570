/*
 * Tests of a plugin without the proxy: native, in memory, with the same glue code. For C and C++.
 *
 *     int main(void)
 *     {
 *         pm_test_backend("canary_backend");
 *         PM_EXPECT(pm_test_configure("{\"backend\": \"canary_backend\"}"), "cacheable");
 *         pm_test_request("GET", "/");
 *         pm_test_header("cookie", "canary=1");
 *         PM_EXPECT(pm_test_route(), "backend canary_backend");
 *         return pm_test_end();
 *     }
 *
 * Results are strings. Each lives until the next call of the function that returned it. Questions
 * are answered as in the proxy, by simpler code. Regular expressions are POSIX's extended ones
 * here, which support less than the proxy's. Asking a question that was not defined, or that is of
 * another kind, ends the test, as it would trap in the proxy.
 */
#ifndef POINTSMAN_TEST_H
#define POINTSMAN_TEST_H

#include "pointsman.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds a backend with one usable and idle server, or sets the state of a backend. */
void pm_test_backend(const char *name);
void pm_test_backend_state(const char *name, pm_backend_state state);
/* Adds a server to a backend, or sets the state of a server. */
void pm_test_server(const char *backend, pm_server_state server);
/* Removes all backends. */
void pm_test_no_backends(void);

/* Adds a row to one of the operator's tables, or replaces its value. */
void pm_test_table(const char *table, const char *key, const char *value);
/* Removes all tables. */
void pm_test_no_tables(void);

/* Sets whether requests are in shares with this salt; by default, they are not. A request is
 * always in a share of all requests, and never in one of none. */
void pm_test_share(const char *salt, bool applies);

/* Configures the plugin again with JSON. Returns "cacheable" or "uncacheable", or the error. Set
 * backends and tables before this call. */
const char *pm_test_configure(const char *json);
const char *pm_test_configure_n(pm_str json);

/* Starts a request: HTTP/1.1 without TLS, from 127.0.0.1, without fields or body, on the first
 * attempt. */
void pm_test_request(const char *method, const char *path_with_query);
/* Adds a field line to the request. The authority and the host are taken from the field `host`. */
void pm_test_header(const char *name, const char *value);
void pm_test_header_n(const char *name, pm_str value);
/* Sets the HTTP version. NULL means no HTTP, as in a frontend with `mode = "tcp"`: then the host
 * is the server name. */
void pm_test_version(const char *version);
void pm_test_client(const char *address, uint16_t port);
/* Sets the facts of the TLS session. NULL means that there is no such fact. */
void pm_test_tls(const char *server_name, const char *alpn);

typedef struct pm_test_certificate {
    const char *subject;
    const char *issuer;
    /* Separated by spaces. */
    const char *names;
    const char *serial;
    const char *sha256;
    uint64_t not_after;
} pm_test_certificate;

/* Sets the client certificate. The strings that it points to must live until the request has been
 * routed. */
void pm_test_client_certificate(pm_test_certificate certificate);
void pm_test_attempt(uint32_t attempt);
/* Sets the part of the body that had arrived, and whether it is the whole body. */
void pm_test_body(pm_str prefix, bool is_complete);

/* Routes the request; it can be called several times. Returns "backend NAME", "default", "next",
 * "server BACKEND/SERVER, otherwise another-server" (or "ask-again"), "error MESSAGE", or "respond
 * STATUS". After "respond STATUS" comes a line "NAME: VALUE" for each field, then an empty line
 * and the body if there is one. */
const char *pm_test_route(void);
/* Returns the edits made to the request, one per line: "set x-a: 1", "set-by x-a: cookie:session",
 * "append x-b: 2", "remove x-c", "authority a.test", "path-with-query /a", "replace-path-prefix 4
 * /b". */
const char *pm_test_edits(void);
/* Returns the edits made to the response: "set x-a: 1", "append x-b: 2", "remove x-c". */
const char *pm_test_response_edits(void);
/* Returns the options, one per line: "affinity KEY", "affinity-by cookie:session", "queue-timeout
 * 100", "connect-timeout 100", "server-timeout 100", "tunnel-timeout 100", "tries 3", "tag a=1",
 * "tag-by a=tenants[header:x-tenant]". */
const char *pm_test_options(void);
/* Returns the reads and questions in order, one per line: "method", "header cookie", "suffix over
 * host", "share over cookie:session", "look-up tenants[header:x-tenant]", "value over
 * cookie:session", "usable primary". */
const char *pm_test_reads(void);
/* Returns the lines logged since the last call, as "info: message". */
const char *pm_test_log(void);

/* Compares two strings, and prints them if they differ. */
#define PM_EXPECT(actual, expected) pm_test_expect(__FILE__, __LINE__, #actual, actual, expected)
void pm_test_expect(const char *file, int line, const char *what, const char *actual,
                    const char *expected);
/* Checks a condition in the same way. */
#define PM_CHECK(condition) PM_EXPECT((condition) ? "true" : "false", "true")

/* Ends the test: prints how many checks passed, and returns the exit code for main. */
int pm_test_end(void);

#ifdef __cplusplus
}
#endif

#endif

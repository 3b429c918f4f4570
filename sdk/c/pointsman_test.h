/*
 * Tests of a plugin without the proxy: native, in memory, through the same glue. For C and C++.
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
 * Everything is told as a text. Texts live until the next call of the function that gave them.
 */
#ifndef POINTSMAN_TEST_H
#define POINTSMAN_TEST_H

#include "pointsman.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds a backend with one idle server, or sets the load of one. Before pm_test_configure. */
void pm_test_backend(const char *name);
void pm_test_backend_load(const char *name, pm_load load);
/* Removes all. */
void pm_test_no_backends(void);

/* Configures the plugin afresh with JSON: "cacheable" or "uncacheable", or the error. */
const char *pm_test_configure(const char *json);
const char *pm_test_configure_n(pm_str json);

/* Begins a request: in the clear, from 127.0.0.1, without fields, on the first attempt. */
void pm_test_request(const char *method, const char *target);
/* Adds to it. */
void pm_test_header(const char *name, const char *value);
void pm_test_header_n(const char *name, pm_str value);
void pm_test_client(const char *address, uint16_t port);
/* NULL for a fact that there is not. */
void pm_test_tls(const char *server_name, const char *alpn);
void pm_test_attempt(uint32_t attempt);

/* Routes the request, as often as wanted:
 * "backend NAME", "default", "error MESSAGE", or "respond STATUS", then for each field a line
 * "NAME: VALUE", then where there is one an empty line and the body. */
const char *pm_test_route(void);
/* The edits made to it: lines as "set x-a: 1", "append x-b: 2", "remove x-c" and
 * "path-with-query /a". */
const char *pm_test_edits(void);
/* What was read of it, in order: lines as "method", "header cookie". */
const char *pm_test_reads(void);
/* The lines logged since the last call, as "info: message". */
const char *pm_test_log(void);

/* Counts a check, and prints it where the texts differ. */
#define PM_EXPECT(actual, expected) pm_test_expect(__FILE__, __LINE__, #actual, actual, expected)
void pm_test_expect(const char *file, int line, const char *what, const char *actual,
                    const char *expected);
/* The same for a condition. */
#define PM_CHECK(condition) PM_EXPECT((condition) ? "true" : "false", "true")

/* Ends the test: prints how many checks passed, and gives the exit code of main. */
int pm_test_end(void);

#ifdef __cplusplus
}
#endif

#endif

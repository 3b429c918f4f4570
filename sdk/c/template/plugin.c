/*
 * Sends clients with the cookie `canary=1` to another backend.
 */
#include "pointsman.h"

/* router.config.backend */
static const char *canary;
static pm_question is_canary;

/* Once, before any request. The proxy gets the first error in the configuration by itself. */
pm_cacheability pm_configure(pm_value *config)
{
    pm_numbered values[] = {{pm_text("1"), 1}};
    canary = pm_as_backend(pm_get(config, "backend"));
    /* A question, which the proxy answers by itself: two decisions serve all clients. */
    is_canary = pm_define_exact("cookie:canary", PM_MATCH_CASE, values, 1, NULL);
    /* A decision follows from the answer alone, so the proxy may reuse it. */
    return PM_CACHEABLE;
}

/* For each request that no cached decision covers. */
pm_decision pm_route(pm_request *request)
{
    if (pm_ask(request, is_canary))
        return pm_backend(canary);
    /* Not for this plugin: the next one decides, or the frontend's `default_backend`. */
    return pm_next();
}

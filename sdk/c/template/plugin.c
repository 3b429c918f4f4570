/*
 * Sends clients with the cookie `canary=1` to a separate backend.
 */
#include "pointsman.h"

/* router.config.backend */
static const char *canary;
static pm_question is_canary;

/* Called once, before any request. The SDK reports the first error in the configuration to the
 * proxy. */
pm_cacheability pm_configure(pm_value *config)
{
    pm_numbered values[] = {{pm_text("1"), 1}};
    canary = pm_as_backend(pm_get(config, "backend"));
    /* The proxy answers this question by itself, so two cached decisions serve all clients. */
    is_canary = pm_define_exact("cookie:canary", PM_MATCH_CASE, values, 1, NULL);
    /* A decision depends only on the answer, so the proxy can reuse it. */
    return PM_CACHEABLE;
}

/* Called for each request that no cached decision covers. */
pm_decision pm_route(pm_request *request)
{
    if (pm_ask(request, is_canary))
        return pm_backend(canary);
    /* The next plugin decides; after the last plugin, the request goes to `default_backend`. */
    return pm_next();
}

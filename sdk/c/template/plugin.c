/*
 * Sends the clients that have the cookie `canary=1` to a backend of their own.
 */
#include "pointsman.h"

/* router.config.backend */
static const char *canary;

/* Once, before any request. What is wrong with the configuration is told by itself. */
pm_cacheability pm_configure(pm_value *config)
{
    canary = pm_as_backend(pm_get(config, "backend"));
    /* A decision follows from the request alone: the proxy may use it again. */
    return PM_CACHEABLE;
}

/* For each request that no decision made before covers. */
pm_decision pm_route(pm_request *request)
{
    if (pm_is(pm_cookie(request, "canary"), "1"))
        return pm_backend(canary);
    return pm_default_backend();
}

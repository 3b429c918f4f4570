#include "probe.h"

#include <stdio.h>

static void (*in_configure)(pm_value *config);
static pm_decision (*in_route)(pm_request *request);

pm_cacheability pm_configure(pm_value *config)
{
    if (in_configure != NULL)
        in_configure(config);
    return PM_UNCACHEABLE;
}

pm_decision pm_route(pm_request *request)
{
    return in_route(request);
}

const char *configure(const char *json, void (*during)(pm_value *config))
{
    in_configure = during;
    return pm_test_configure(json);
}

const char *route(pm_decision (*during)(pm_request *request))
{
    in_route = during;
    return pm_test_route();
}

const char *kept(pm_str octets)
{
    static char buffer[256];
    if (pm_is_none(octets))
        return "(none)";
    snprintf(buffer, sizeof buffer, "%.*s", PM_ARG(octets));
    return buffer;
}

#include "pointsman.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

pm_cacheability pm_configure(pm_value *config)
{
    (void)config;
    return PM_CACHEABLE;
}

pm_decision pm_route(pm_request *request)
{
    static char body[64];
    pm_str path = pm_path(request);
    body[0] = 0;
    if (pm_is(path, "/print")) {
        printf("printed\n");
    } else if (pm_is(path, "/open")) {
        snprintf(body, sizeof body, fopen("/etc/passwd", "r") ? "some" : "none");
    } else if (pm_is(path, "/clock")) {
        snprintf(body, sizeof body, "%lld", (long long)time(NULL));
    } else if (pm_is(path, "/random")) {
        unsigned long long number = 0;
        getentropy(&number, sizeof number);
        snprintf(body, sizeof body, "%llu", number);
    }
    return pm_respond(200, pm_text(body));
}

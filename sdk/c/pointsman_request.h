/* What a request is to the SDK itself. Not for plugins. */
#ifndef POINTSMAN_REQUEST_H
#define POINTSMAN_REQUEST_H

#include "bindings/router.h"
#include "pointsman_internal.h"

struct pm_request {
    pointsman_router_request_borrow_request_head_t head;
    /* None until asked for. */
    pm_str method;
    pm_str target;
    pm_str host;
    bool has_host;
};

#endif

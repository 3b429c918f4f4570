#include "pointsman_test.h"

static void routes_by_the_cookie()
{
    PM_EXPECT(pm_test_configure(R"({"backend": "canary_backend"})"), "cacheable");

    pm_test_request("GET", "/");
    PM_EXPECT(pm_test_route(), "next");

    pm_test_header("cookie", "a=b; canary=1");
    PM_EXPECT(pm_test_route(), "backend canary_backend");

    pm_test_request("GET", "/");
    pm_test_header("cookie", "canary=0");
    PM_EXPECT(pm_test_route(), "next");

    // Only this answer is part of the key under which a decision is cached.
    PM_EXPECT(pm_test_reads(), "exact over cookie:canary");
}

static void refuses_a_bad_configuration()
{
    PM_EXPECT(pm_test_configure(R"({"backend": "canary"})"),
              R"(backend: there is no backend "canary")");
    PM_EXPECT(pm_test_configure(R"({})"), R"(missing key "backend")");
    PM_EXPECT(pm_test_configure(R"({"backend": "canary_backend", "bakend": 1})"),
              "bakend: unknown key");
}

int main()
{
    pm_test_backend("canary_backend");
    routes_by_the_cookie();
    refuses_a_bad_configuration();
    return pm_test_end();
}

// Sends clients with the cookie `canary=1` to another backend.

#include "pointsman.hpp"

class Canary {
public:
    // Once, before any request. The proxy gets the first error in the configuration by itself.
    pointsman::Cacheability configure(pointsman::Config config)
    {
        std::string_view backend = config["backend"].backend();
        // A question, which the proxy answers by itself: two decisions serve all clients.
        backends_ =
            pointsman::questions::exact<std::string_view>("cookie:canary", {{"1", backend}});
        // A decision follows from the answer alone, so the proxy may reuse it.
        return pointsman::cacheable;
    }

    // For each request that no cached decision covers.
    pointsman::Decision route(pointsman::Request &request) const
    {
        if (const std::string_view *backend = request.ask(backends_))
            return pointsman::backend(*backend);
        // Not for this plugin: the next one decides, or the frontend's `default_backend`.
        return pointsman::next();
    }

private:
    pointsman::Matcher<std::string_view> backends_;
};

POINTSMAN_PLUGIN(Canary)

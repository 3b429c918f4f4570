// Sends clients with the cookie `canary=1` to a separate backend.

#include "pointsman.hpp"

class Canary {
public:
    // Called once, before any request. The SDK reports the first error in the configuration to the
    // proxy.
    pointsman::Cacheability configure(pointsman::Config config)
    {
        std::string_view backend = config["backend"].backend();
        // The proxy answers this question by itself, so two cached decisions serve all clients.
        backends_ =
            pointsman::questions::exact<std::string_view>("cookie:canary", {{"1", backend}});
        // A decision depends only on the answer, so the proxy can reuse it.
        return pointsman::cacheable;
    }

    // Called for each request that no cached decision covers.
    pointsman::Decision route(pointsman::Request &request) const
    {
        if (const std::string_view *backend = request.ask(backends_))
            return pointsman::backend(*backend);
        // The next plugin decides; after the last plugin, the request goes to `default_backend`.
        return pointsman::next();
    }

private:
    pointsman::Matcher<std::string_view> backends_;
};

POINTSMAN_PLUGIN(Canary)

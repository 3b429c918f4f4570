// Sends the clients that have the cookie `canary=1` to a backend of their own.

#include "pointsman.hpp"

class Canary {
public:
    // Once, before any request. What is wrong with the configuration is told by itself.
    pointsman::Cacheability configure(pointsman::Config config)
    {
        backend_ = config["backend"].backend();
        // A decision follows from the request alone: the proxy may use it again.
        return pointsman::cacheable;
    }

    // For each request that no decision made before covers.
    pointsman::Decision route(pointsman::Request &request) const
    {
        if (request.cookie("canary") == "1")
            return pointsman::backend(backend_);
        return pointsman::default_backend();
    }

private:
    std::string_view backend_;
};

POINTSMAN_PLUGIN(Canary)

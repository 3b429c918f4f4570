#include "probe.hpp"

#include <utility>
#include <vector>

namespace {

std::function<void(pointsman::Config)> in_configure;
std::function<pointsman::Decision(pointsman::Request &)> in_route;

// Owns memory, which must be released when a test configures again.
class Probe {
public:
    pointsman::Cacheability configure(pointsman::Config config)
    {
        in_configure(config);
        owned_.assign(1000, 1);
        return pointsman::uncacheable;
    }

    pointsman::Decision route(pointsman::Request &request) { return in_route(request); }

private:
    std::vector<int> owned_;
};

} // namespace

const char *configure(const char *json, std::function<void(pointsman::Config)> during)
{
    in_configure = std::move(during);
    return pm_test_configure(json);
}

const char *route(std::function<pointsman::Decision(pointsman::Request &)> during)
{
    in_route = std::move(during);
    return pm_test_route();
}

POINTSMAN_PLUGIN(Probe)

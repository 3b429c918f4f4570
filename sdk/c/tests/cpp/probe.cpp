#include "probe.hpp"

#include <vector>

std::function<void(pointsman::Config)> in_configure;
std::function<pointsman::Decision(pointsman::Request &)> in_route;

namespace {

// Owns memory, which must be given back where a test configures again.
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

POINTSMAN_PLUGIN(Probe)

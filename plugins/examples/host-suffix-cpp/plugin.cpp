// Routes by the end of a header field, as HAProxy's ACL `hdr_end(host) -i` does, with a few more
// options.
//
// Rules without options become a question, which the proxy answers by itself, so one cached
// decision serves every value with the same answer. A rule with an option has to read the field,
// which then becomes part of the decision's cache key.

#include <vector>

#include "group.hpp"
#include "pointsman.hpp"
#include "rule.hpp"

namespace {

class HostSuffix {
public:
    pointsman::Cacheability configure(pointsman::Config config)
    {
        for (pointsman::Config table : config["rules"]) {
            Rule rule(table);
            if (groups_.empty() || !(groups_.back().way() == rule.way))
                groups_.emplace_back(rule.way);
            groups_.back().add(rule);
        }
        for (Group &group : groups_)
            group.define(config["rules"]);
        return pointsman::cacheable;
    }

    pointsman::Decision route(const pointsman::Request &request) const
    {
        for (const Group &group : groups_) {
            if (auto backend = group.choose(request))
                return pointsman::backend(*backend);
        }
        return pointsman::next();
    }

private:
    // Groups in the order of their rules. The first rule that matches wins.
    std::vector<Group> groups_;
};

} // namespace

POINTSMAN_PLUGIN(HostSuffix)

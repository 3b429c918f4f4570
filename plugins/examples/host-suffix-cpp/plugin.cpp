// Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.
//
// No field is looked at beyond those that rules name: each is part of a cached decision.

#include <string>
#include <utility>
#include <vector>

#include "field.hpp"
#include "pointsman.hpp"
#include "rule.hpp"

namespace {

bool matches_any(const Rule &rule, pointsman::Lines lines)
{
    for (std::string_view line : lines) {
        field::Values values(line);
        while (auto value = values.next()) {
            if (rule.matches(*value))
                return true;
        }
    }
    return false;
}

// Rules that follow each other and look at the same field, which is read once for all.
struct Group {
    // In lower case.
    std::string header;
    std::vector<Rule> rules;

    // The first rule that one of the field's values matches, or nullptr.
    const Rule *choose(const pointsman::Request &request) const
    {
        pointsman::Lines lines = request.header_lines(header);
        // `host` is no list: a comma in it is refused before routing, as is a second line.
        bool is_whole = header == "host" && lines.size() == 1;
        std::string_view host = is_whole ? pointsman::trim(lines[0]) : "";
        for (const Rule &rule : rules) {
            if (is_whole ? rule.matches(host) : matches_any(rule, lines))
                return &rule;
        }
        return nullptr;
    }
};

class HostSuffix {
public:
    pointsman::Cacheability configure(pointsman::Config config)
    {
        for (pointsman::Config table : config["rules"]) {
            std::string header = read_header(table);
            if (groups_.empty() || groups_.back().header != header)
                groups_.push_back(Group{std::move(header), {}});
            groups_.back().rules.emplace_back(table);
        }
        return pointsman::cacheable;
    }

    pointsman::Decision route(const pointsman::Request &request) const
    {
        for (const Group &group : groups_) {
            if (const Rule *rule = group.choose(request))
                return pointsman::backend(rule->backend());
        }
        return pointsman::default_backend();
    }

private:
    // In the order of their rules, of which the first that matches wins.
    std::vector<Group> groups_;
};

} // namespace

POINTSMAN_PLUGIN(HostSuffix)

#include "group.hpp"

#include "field.hpp"

void Group::add(const Rule &rule)
{
    for (const std::string &suffix : rule.suffixes) {
        if (known_.insert(suffix).second)
            suffixes_.push_back(Suffix{suffix, rule.backend});
    }
}

void Group::define(pointsman::Config rules)
{
    namespace questions = pointsman::questions;
    if (way_.has_options())
        return;
    std::vector<pointsman::Entry<std::string_view>> entries;
    for (const Suffix &suffix : suffixes_)
        entries.push_back({suffix.text, suffix.backend});
    // Host is compared as sent, since it is not a list; other fields are compared member by member.
    std::string_view over =
        way_.is_host() ? "header:host" : pointsman::text("values:", way_.header);
    in_field_ = questions::first_suffix(over, entries, pointsman::ignore_case, rules);
    if (way_.is_host())
        in_connection_ = questions::first_suffix("host", entries, pointsman::ignore_case, rules);
}

std::optional<std::string_view> Group::choose(const pointsman::Request &request) const
{
    return way_.has_options() ? read(request) : ask(request);
}

// Reports whether the rules compare Host and the connection does not use HTTP. Such a connection
// has no fields, but its server name serves as the host.
bool Group::has_no_http(const pointsman::Request &request) const
{
    return way_.is_host() && !request.version();
}

std::optional<std::string_view> Group::ask(const pointsman::Request &request) const
{
    const std::string_view *backend = request.ask(in_field_);
    if (backend == nullptr && has_no_http(request))
        backend = request.ask(in_connection_);
    return backend == nullptr ? std::nullopt : std::optional(*backend);
}

std::optional<std::string_view> Group::read(const pointsman::Request &request) const
{
    pointsman::Lines lines = request.header_lines(way_.header);
    if (lines.empty() && has_no_http(request)) {
        std::string_view host = request.host();
        for (const Suffix &suffix : suffixes_) {
            if (matches(suffix, host))
                return suffix.backend;
        }
    }
    for (const Suffix &suffix : suffixes_) {
        for (std::string_view line : lines) {
            if (matches_line(suffix, line))
                return suffix.backend;
        }
    }
    return std::nullopt;
}

// Reports whether `value`, without surrounding blanks, ends as the options require.
bool Group::matches(const Suffix &suffix, std::string_view value) const
{
    if (way_.ignore_port)
        value = field::without_port(value);
    return field::ends_with(value, suffix.text) &&
           (!way_.label_boundary || field::starts_label(value, suffix.text));
}

// Reports whether a line matches or, if the field is a list, whether one of the line's values
// matches.
bool Group::matches_line(const Suffix &suffix, std::string_view line) const
{
    if (way_.is_host())
        return matches(suffix, line);
    field::Values values(line);
    while (auto value = values.next()) {
        if (matches(suffix, *value))
            return true;
    }
    return false;
}

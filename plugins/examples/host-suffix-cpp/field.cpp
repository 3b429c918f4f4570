#include "field.hpp"

#include "pointsman.hpp"

namespace field {

namespace {

// Returns the position of the first comma outside of quotes, or the length if there is none. A
// comma inside a quoted string does not separate values (RFC 9110, section 5.6.1).
std::size_t find_comma(std::string_view line)
{
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); i++) {
        if (line[i] == '"')
            quoted = !quoted;
        else if (line[i] == '\\' && quoted)
            i++;
        else if (line[i] == ',' && !quoted)
            return i;
    }
    return line.size();
}

} // namespace

char to_lower(char octet)
{
    return octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet + ('a' - 'A')) : octet;
}

std::string to_lower(std::string_view text)
{
    std::string lower(text);
    for (char &octet : lower)
        octet = to_lower(octet);
    return lower;
}

bool is_name(std::string_view name)
{
    constexpr std::string_view octets = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
    for (char octet : name) {
        if (octets.find(to_lower(octet)) == octets.npos)
            return false;
    }
    return !name.empty();
}

std::optional<std::string_view> Values::next()
{
    if (!rest_)
        return std::nullopt;
    std::string_view line = *rest_;
    std::size_t comma = find_comma(line);
    if (comma == line.size())
        rest_.reset();
    else
        rest_ = line.substr(comma + 1);
    return pointsman::trim(line.substr(0, comma));
}

std::string_view without_port(std::string_view host)
{
    std::size_t colon = host.find(':');
    if (!host.empty() && host.front() == '[') {
        std::size_t end = host.find(']');
        bool has_port = end != host.npos && host.substr(end + 1, 1) == ":";
        return has_port ? host.substr(0, end + 1) : host;
    }
    // There must be only one colon: an address such as `::1` needs brackets before a port.
    bool has_port = colon != host.npos && host.find(':', colon + 1) == host.npos;
    return has_port ? host.substr(0, colon) : host;
}

bool ends_with(std::string_view value, std::string_view suffix)
{
    if (value.size() < suffix.size())
        return false;
    std::string_view end = value.substr(value.size() - suffix.size());
    // Compares from the front: names of one site have the same end, so a difference is found sooner
    // at the front.
    for (std::size_t i = 0; i < suffix.size(); i++) {
        if (to_lower(end[i]) != suffix[i])
            return false;
    }
    return true;
}

bool starts_label(std::string_view value, std::string_view suffix)
{
    return suffix.front() == '.' || value.size() == suffix.size() ||
           value[value.size() - suffix.size() - 1] == '.';
}

} // namespace field

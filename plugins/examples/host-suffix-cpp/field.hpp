// The values in a field line, and the ends of one. Octets throughout: a value need not be UTF-8.

#ifndef FIELD_HPP
#define FIELD_HPP

#include <optional>
#include <string>
#include <string_view>

namespace field {

char to_lower(char octet);

std::string to_lower(std::string_view text);

// Whether `name` is a token (RFC 9110, section 5.6.2).
bool is_name(std::string_view name);

// The values of a line that is a list, one after the other.
class Values {
public:
    explicit Values(std::string_view line) : rest_(line) {}
    std::optional<std::string_view> next();

private:
    std::optional<std::string_view> rest_;
};

// A host without its port: `a` of `a:80`, `[::1]` of `[::1]:80`.
std::string_view without_port(std::string_view host);

// Whether `value` ends with `suffix`, which is in lower case, whatever its own case.
bool ends_with(std::string_view value, std::string_view suffix);

// Whether `suffix`, with which `value` ends, starts where a label of `value` does.
bool starts_label(std::string_view value, std::string_view suffix);

} // namespace field

#endif

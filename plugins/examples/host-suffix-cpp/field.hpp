// Splits field lines into values, and compares the ends of values. Works on octets, since a value
// need not be UTF-8.

#ifndef FIELD_HPP
#define FIELD_HPP

#include <optional>
#include <string>
#include <string_view>

namespace field {

char to_lower(char octet);

std::string to_lower(std::string_view text);

// Reports whether `name` is a token (RFC 9110, section 5.6.2).
bool is_name(std::string_view name);

// Iterates over the values of a field line that is a comma-separated list.
class Values {
public:
    explicit Values(std::string_view line) : rest_(line) {}
    std::optional<std::string_view> next();

private:
    std::optional<std::string_view> rest_;
};

// Returns a host without its port: `a` for `a:80`, `[::1]` for `[::1]:80`.
std::string_view without_port(std::string_view host);

// Reports whether `value`, in any case, ends with `suffix`, which is in lower case.
bool ends_with(std::string_view value, std::string_view suffix);

// Reports whether `suffix` starts at a label of `value`, which must end with `suffix`.
bool starts_label(std::string_view value, std::string_view suffix);

} // namespace field

#endif

// A rule: suffixes, and the backend for requests with a value that ends with one of them.

#ifndef RULE_HPP
#define RULE_HPP

#include <string>
#include <string_view>
#include <vector>

#include "pointsman.hpp"

// The field that a rule compares, and how.
struct Way {
    // In lower case.
    std::string header = "host";
    // Whether the port is left out of the comparison.
    bool ignore_port = false;
    // Whether a suffix matches only if it starts at a label.
    bool label_boundary = false;

    // `host` is not a list: the proxy rejects requests that have a comma in Host or several Host
    // lines.
    bool is_host() const { return header == "host"; }
    bool has_options() const { return ignore_port || label_boundary; }
    bool operator==(const Way &other) const;
};

// A rule as it is written in the configuration.
struct Rule {
    // Reads `table`. The SDK reports the first error to the proxy, with its key.
    explicit Rule(pointsman::Config table);

    Way way;
    // The suffixes, in lower case. No suffix is empty.
    std::vector<std::string> suffixes;
    std::string_view backend;

private:
    void read_suffix(pointsman::Config value);
};

#endif

// A rule: the suffixes that a value can end with, and the backend of such requests.

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
    // The port is left out of the comparison.
    bool ignore_port = false;
    // A suffix matches only if it starts at a label.
    bool label_boundary = false;

    // `host` is not a list: the proxy refuses a comma in it, and a second line.
    bool is_host() const { return header == "host"; }
    bool has_options() const { return ignore_port || label_boundary; }
    bool operator==(const Way &other) const;
};

// A rule as it is written in the configuration.
struct Rule {
    // Reads `table`. The SDK reports the first error to the proxy, with its key.
    explicit Rule(pointsman::Config table);

    Way way;
    // In lower case; none is empty.
    std::vector<std::string> suffixes;
    std::string_view backend;

private:
    void read_suffix(pointsman::Config value);
};

#endif

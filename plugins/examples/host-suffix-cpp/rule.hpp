// A rule: what a value must end with, and the backend of such requests.

#ifndef RULE_HPP
#define RULE_HPP

#include <string>
#include <string_view>
#include <vector>

#include "pointsman.hpp"

// The field that a rule looks at, and how.
struct Way {
    // In lower case.
    std::string header = "host";
    // The port is no part of what is compared.
    bool ignore_port = false;
    // A suffix may start only where a label does.
    bool label_boundary = false;

    // `host` is no list: the proxy refuses a comma in it, and a second line.
    bool is_host() const { return header == "host"; }
    bool has_options() const { return ignore_port || label_boundary; }
    bool operator==(const Way &other) const;
};

// A rule as it is written.
struct Rule {
    // Reads `table`; the proxy gets its first error, with the key.
    explicit Rule(pointsman::Config table);

    Way way;
    // In lower case, none empty.
    std::vector<std::string> suffixes;
    std::string_view backend;

private:
    void read_suffix(pointsman::Config value);
};

#endif

// A rule: what a value must end with, and the backend that the request then goes to.

#ifndef RULE_HPP
#define RULE_HPP

#include <string>
#include <string_view>
#include <vector>

#include "pointsman.hpp"

class Rule {
public:
    // Reads `table`; what is wrong with it is told at its keys.
    explicit Rule(pointsman::Config table);

    // Whether `value`, without blanks around it, ends as this rule asks.
    bool matches(std::string_view value) const;

    std::string_view backend() const { return backend_; }

private:
    void read_suffix(pointsman::Config value);

    // In lower case, none empty.
    std::vector<std::string> suffixes_;
    std::string_view backend_;
    // The port is no part of what is compared.
    bool ignore_port_;
    // A suffix may start only where a label does.
    bool label_boundary_;
};

// The field that the rule in `table` looks at, in lower case.
std::string read_header(pointsman::Config table);

#endif

// Consecutive rules that compare the same field in the same way.

#ifndef GROUP_HPP
#define GROUP_HPP

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pointsman.hpp"
#include "rule.hpp"

class Group {
public:
    explicit Group(Way way) : way_(std::move(way)) {}

    const Way &way() const { return way_; }
    void add(const Rule &rule);

    // Defines the questions of rules without options. Errors are reported at the key of `rules`.
    void define(pointsman::Config rules);

    // Returns the backend of the first rule that one of the field's values matches.
    std::optional<std::string_view> choose(const pointsman::Request &request) const;

private:
    struct Suffix {
        std::string text;
        std::string_view backend;
    };

    std::optional<std::string_view> ask(const pointsman::Request &request) const;
    std::optional<std::string_view> read(const pointsman::Request &request) const;
    bool has_no_http(const pointsman::Request &request) const;
    bool matches(const Suffix &suffix, std::string_view value) const;
    bool matches_line(const Suffix &suffix, std::string_view line) const;

    Way way_;
    // Suffixes in the order of the rules. If several are equal, only the first is kept, since the
    // entries of a matcher must differ.
    std::vector<Suffix> suffixes_;
    std::unordered_set<std::string> known_;
    pointsman::Matcher<std::string_view> in_field_;
    // The question for connections without HTTP, which have no fields. Defined only if the field is
    // `host`.
    pointsman::Matcher<std::string_view> in_connection_;
};

#endif

/*
 * Questions about a request that the proxy answers by itself. Part of pointsman.hpp.
 * pointsman_questions.h describes how they work, and the parts that `over` can name.
 *
 * Define them in configure, and ask them in route:
 *
 *     backends_ = questions::suffix<std::string_view>("host", {{"io.test.tld", "node"}});
 *     if (const std::string_view *backend = request.ask(backends_)) ...
 *
 * An invalid definition refuses the configuration, at the key of `at` if that is given.
 */
#ifndef POINTSMAN_QUESTIONS_HPP
#define POINTSMAN_QUESTIONS_HPP

#include <functional>
#include <unordered_map>
#include <vector>

#include "pointsman_config.hpp"

namespace pointsman {

class Request;

/* Whether a matcher folds the case of ASCII letters. */
enum class Case { match = PM_MATCH_CASE, ignore = PM_IGNORE_CASE };

inline constexpr Case match_case = Case::match;
inline constexpr Case ignore_case = Case::ignore;

/* An entry of a matcher, and its value. */
template <class T> struct Entry {
    std::string_view text;
    T value;
};

namespace detail {

inline constexpr std::uint32_t no_question = std::numeric_limits<std::uint32_t>::max();

/* Numbers the distinct values from 1, in the order of their first use. */
template <class T, bool = std::is_default_constructible_v<std::hash<T>>> class Numbers {
public:
    std::uint32_t of(const T &value)
    {
        return numbers_.try_emplace(value, static_cast<std::uint32_t>(numbers_.size() + 1))
            .first->second;
    }

private:
    std::unordered_map<T, std::uint32_t> numbers_;
};

/* Variant for a type without a hash: compares a value with each of the others. */
template <class T> class Numbers<T, false> {
public:
    std::uint32_t of(const T &value)
    {
        std::uint32_t number = 1;
        for (const T &known : known_) {
            if (known == value)
                return number;
            number++;
        }
        known_.push_back(value);
        return number;
    }

private:
    std::vector<T> known_;
};

} // namespace detail

/* The question of which entry matches a part of the request: `request.ask` returns that entry's
 * value, or nullptr. Entries with equal values share cached decisions. `T` needs a hash or `==`. */
template <class T> class Matcher {
public:
    Matcher() = default;

    Matcher(pm_match match, std::string_view over, const std::vector<Entry<T>> &entries,
            Case letters, Config at)
    {
        detail::Numbers<T> numbers;
        std::vector<pm_numbered> numbered;
        numbered.reserve(entries.size());
        for (const Entry<T> &entry : entries) {
            std::uint32_t number = numbers.of(entry.value);
            if (number > values_.size())
                values_.push_back(entry.value);
            numbered.push_back(pm_numbered{detail::to_c(entry.text), number});
        }
        question_ =
            pm_define_matcher_n(match, detail::to_c(over), static_cast<pm_case>(letters),
                                numbered.data(), numbered.size(), at.c());
    }

private:
    friend class Request;
    pm_question question_{detail::no_question};
    std::vector<T> values_;
};

/* The question of whether the request is in a share: `request.ask` returns a bool. */
class Share {
public:
    Share() = default;
    explicit Share(pm_question question) : question_(question) {}

private:
    friend class Request;
    pm_question question_{detail::no_question};
};

/* The question of whether a backend has a usable server: `request.ask` returns a bool. */
class Usable {
public:
    Usable() = default;
    explicit Usable(pm_question question) : question_(question) {}

private:
    friend class Request;
    pm_question question_{detail::no_question};
};

/* A question whose answer is a value: `request.ask` returns it if there is one.
 * `request.set_header_by`, `set_affinity_by` and `tag_by` use the answer without asking. */
class ValueQuestion {
public:
    ValueQuestion() = default;
    explicit ValueQuestion(pm_value_question question) : question_(question) {}

private:
    friend class Request;
    pm_value_question question_{detail::no_question};
};

/* The question for a value from an operator's table. */
class LookUp : public ValueQuestion {
    using ValueQuestion::ValueQuestion;
};

/* The question for the value of a part of the request. */
class Value : public ValueQuestion {
    using ValueQuestion::ValueQuestion;
};

namespace questions {

/* No key, for a question that does not come from the configuration. */
inline constexpr Config nowhere = Config(nullptr);

/* Defines a matcher for the entry that equals the whole part. If the part has several lines or
 * members, the first that equals an entry wins. */
template <class T>
Matcher<T> exact(std::string_view over, const std::vector<Entry<T>> &entries,
                 Case letters = match_case, Config at = nowhere)
{
    return Matcher<T>(PM_EXACT, over, entries, letters, at);
}

/* Defines a matcher for the longest entry that is a prefix of the part. */
template <class T>
Matcher<T> prefix(std::string_view over, const std::vector<Entry<T>> &entries,
                  Case letters = match_case, Config at = nowhere)
{
    return Matcher<T>(PM_PREFIX, over, entries, letters, at);
}

/* Defines a matcher for the longest entry that is a prefix of the part in whole segments: `/api`
 * matches `/api` and `/api/x`, but not `/apiary`. A `/` at the end of an entry is ignored. */
template <class T>
Matcher<T> path_prefix(std::string_view over, const std::vector<Entry<T>> &entries,
                       Case letters = match_case, Config at = nowhere)
{
    return Matcher<T>(PM_PATH_PREFIX, over, entries, letters, at);
}

/* Defines a matcher for the longest entry that is a suffix of the part. */
template <class T>
Matcher<T> suffix(std::string_view over, const std::vector<Entry<T>> &entries,
                  Case letters = match_case, Config at = nowhere)
{
    return Matcher<T>(PM_SUFFIX, over, entries, letters, at);
}

/* Defines a matcher for the first entry, in the order given, that is a suffix of the part. */
template <class T>
Matcher<T> first_suffix(std::string_view over, const std::vector<Entry<T>> &entries,
                        Case letters = match_case, Config at = nowhere)
{
    return Matcher<T>(PM_FIRST_SUFFIX, over, entries, letters, at);
}

/* Defines a matcher for the longest entry that the part, a host name, equals or is a subdomain
 * of. */
template <class T>
Matcher<T> domain(std::string_view over, const std::vector<Entry<T>> &entries,
                  Config at = nowhere)
{
    return Matcher<T>(PM_DOMAIN, over, entries, ignore_case, at);
}

/* Defines a matcher for the smallest network (CIDR) that contains the part, an address. */
template <class T>
Matcher<T> network(std::string_view over, const std::vector<Entry<T>> &entries,
                   Config at = nowhere)
{
    return Matcher<T>(PM_NETWORK, over, entries, ignore_case, at);
}

/* Defines a matcher for the first regular expression, in the order given, that matches anywhere in
 * the part. Expressions match bytes and have the syntax of Rust's crate `regex`. */
template <class T>
Matcher<T> regex(std::string_view over, const std::vector<Entry<T>> &entries, Config at = nowhere)
{
    return Matcher<T>(PM_REGEX, over, entries, match_case, at);
}

/* Defines the question of whether the request is in a share of `per_million` requests out of
 * 1,000,000. `over` can also be `random`. */
inline Share share(std::string_view over, std::string_view salt, std::uint32_t per_million,
                   Config at = nowhere)
{
    return Share(
        pm_define_share_n(detail::to_c(over), detail::to_c(salt), per_million, at.c()));
}

inline Usable usable(std::string_view backend, Config at = nowhere)
{
    return Usable(pm_define_usable_n(detail::to_c(backend), at.c()));
}

inline LookUp look_up(std::string_view table, std::string_view over, Config at = nowhere)
{
    return LookUp(pm_define_look_up_n(detail::to_c(table), detail::to_c(over), at.c()));
}

inline Value value(std::string_view over, Config at = nowhere)
{
    return Value(pm_define_value_n(detail::to_c(over), at.c()));
}

} // namespace questions

} // namespace pointsman

#endif

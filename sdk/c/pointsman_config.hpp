/*
 * Strings and the configuration, in C++. Part of pointsman.hpp.
 */
#ifndef POINTSMAN_CONFIG_HPP
#define POINTSMAN_CONFIG_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

#include "pointsman.h"

namespace pointsman {

namespace detail {

inline pm_str to_c(std::string_view octets)
{
    /* An empty view can have no address, but it is not none. */
    return octets.data() == nullptr ? pm_octets("", 0) : pm_octets(octets.data(), octets.size());
}

inline std::string_view from_c(pm_str octets)
{
    return std::string_view(octets.ptr, octets.len);
}

inline std::optional<std::string_view> maybe(pm_str octets)
{
    return pm_is_none(octets) ? std::nullopt : std::optional(from_c(octets));
}

/* One part of a string: a string view or a value that converts to one, a character, a bool or an
 * integer. */
class Part {
public:
    template <class T> explicit Part(const T &value)
    {
        if constexpr (std::is_convertible_v<const T &, std::string_view>) {
            view = value;
        } else if constexpr (std::is_same_v<T, bool>) {
            view = value ? "true" : "false";
        } else if constexpr (std::is_same_v<T, char>) {
            digits[0] = value;
            view = std::string_view(digits, 1);
        } else {
            static_assert(std::is_integral_v<T>, "a text, a character, a bool or an integer");
            write(value < 0, value < 0 ? 0 - static_cast<std::uint64_t>(value)
                                       : static_cast<std::uint64_t>(value));
        }
    }

    Part(const Part &) = delete;
    Part &operator=(const Part &) = delete;

    std::string_view view;

private:
    void write(bool negative, std::uint64_t magnitude)
    {
        char *start = digits + sizeof digits;
        do {
            *--start = static_cast<char>('0' + magnitude % 10);
            magnitude /= 10;
        } while (magnitude > 0);
        if (negative)
            *--start = '-';
        view = std::string_view(start, static_cast<std::size_t>(digits + sizeof digits - start));
    }

    char digits[21] = {};
};

} // namespace detail

/* Concatenates the parts: strings, characters, bools, integers. */
template <class... Parts> std::string_view text(const Parts &...parts)
{
    if constexpr (sizeof...(Parts) == 0) {
        return "";
    } else {
        const detail::Part list[] = {detail::Part(parts)...};
        std::size_t length = 0;
        for (const detail::Part &part : list)
            length += part.view.size();
        char *start = static_cast<char *>(pm_alloc(length));
        char *at = start;
        for (const detail::Part &part : list) {
            if (!part.view.empty())
                std::memcpy(at, part.view.data(), part.view.size());
            at += part.view.size();
        }
        return std::string_view(start, length);
    }
}

/* Returns the octets without leading and trailing ASCII white space. */
inline std::string_view trim(std::string_view octets)
{
    return detail::from_c(pm_trim(detail::to_c(octets)));
}

/* Reports whether the octets are equal, ignoring the case of ASCII letters. */
inline bool equal_nocase(std::string_view a, std::string_view b)
{
    return pm_equal_nocase(detail::to_c(a), detail::to_c(b));
}

/* A part of the configuration. Errors need no handling: the SDK reports the first one, with its
 * key, once configure has returned. See pointsman.h. */
class Config {
public:
    explicit constexpr Config(pm_value *value) : value_(value) {}

    pm_value *c() const { return value_; }

    /* Whether the value is there: a value that `find` returns can be absent. */
    explicit operator bool() const { return pm_kind_of(value_) != PM_ABSENT; }

    bool is_text() const { return pm_kind_of(value_) == PM_TEXT; }
    bool is_number() const { return pm_kind_of(value_) == PM_NUMBER; }
    bool is_list() const { return pm_kind_of(value_) == PM_LIST; }
    bool is_table() const { return pm_kind_of(value_) == PM_TABLE; }

    /* Returns the value of a required key. */
    Config operator[](std::string_view key) const
    {
        return Config(pm_get_n(value_, detail::to_c(key)));
    }

    /* Returns the value of an optional key. */
    Config find(std::string_view key) const
    {
        return Config(pm_find_n(value_, detail::to_c(key)));
    }

    std::string_view text() const { return detail::from_c(pm_as_text_n(value_)); }
    std::string_view text_or(std::string_view otherwise) const
    {
        return *this ? text() : otherwise;
    }

    /* Returns the name of a backend, which the proxy's configuration must have. */
    std::string_view backend() const { return detail::from_c(pm_as_backend_n(value_)); }

    bool boolean() const { return pm_as_bool(value_); }
    bool boolean_or(bool otherwise) const { return pm_as_bool_or(value_, otherwise); }

    std::int64_t integer(std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                         std::int64_t max = std::numeric_limits<std::int64_t>::max()) const
    {
        return pm_as_integer(value_, min, max);
    }

    std::int64_t integer_or(std::int64_t otherwise,
                            std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                            std::int64_t max = std::numeric_limits<std::int64_t>::max()) const
    {
        return pm_as_integer_or(value_, min, max, otherwise);
    }

    double number(double min, double max) const { return pm_as_number(value_, min, max); }

    double number_or(double otherwise, double min, double max) const
    {
        return pm_as_number_or(value_, min, max, otherwise);
    }

    /* A list: for (pointsman::Config rule : config["rules"]) ... */
    std::size_t size() const { return pm_count(value_); }
    Config operator[](std::size_t index) const { return Config(pm_item(value_, index)); }

    class Iterator {
    public:
        Iterator(pm_value *list, std::size_t index) : list_(list), index_(index) {}
        Config operator*() const { return Config(pm_item(list_, index_)); }
        Iterator &operator++()
        {
            index_++;
            return *this;
        }
        bool operator!=(const Iterator &other) const { return index_ != other.index_; }

    private:
        pm_value *list_;
        std::size_t index_;
    };

    Iterator begin() const { return Iterator(value_, 0); }
    Iterator end() const { return Iterator(value_, size()); }

    /* A table whose keys the user chooses. */
    std::size_t entries() const { return pm_entries(value_); }
    Config entry(std::size_t index, std::string_view &key) const
    {
        const char *name = "";
        pm_value *value = pm_entry(value_, index, &name);
        key = name;
        return Config(value);
    }

    /* Refuses the configuration at this key, with the parts of a message. */
    template <class... Parts> void refuse(const Parts &...parts) const
    {
        pm_refuse_n(value_, detail::to_c(pointsman::text(parts...)));
    }

    /* Refuses a value of the wrong type: "expected a text or a list of texts, not 5". */
    void refuse_type(const char *expected) const { pm_refuse_type(value_, expected); }

private:
    pm_value *value_;
};

} // namespace pointsman

#endif

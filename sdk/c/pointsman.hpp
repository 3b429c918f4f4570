/*
 * Write routing plugins for Pointsman in C++17 or later. README.md has a whole plugin.
 *
 * A plugin is a type with two functions, named once by POINTSMAN_PLUGIN(Type):
 *
 *     pointsman::Cacheability configure(pointsman::Config config);   // once, before any request
 *     pointsman::Decision route(pointsman::Request &request);        // may be const
 *
 * Memory: what these functions give out during configure lives as long as the plugin, what they
 * give out during route lives until route returns; nothing of it is ever freed by hand. What they
 * take is copied. So a std::string_view of the configuration may be a member, one of a request
 * may not.
 *
 * There are no exceptions. See pointsman.h for what each function does.
 */
#ifndef POINTSMAN_HPP
#define POINTSMAN_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <optional>
#include <string_view>
#include <type_traits>

#include "pointsman.h"

namespace pointsman {

class Request;

namespace detail {

inline pm_str to_c(std::string_view octets)
{
    /* An empty view may have no address, but it is not none. */
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

/* One part of a text: what a view can be made of, a character, a bool or an integer. */
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

/* The parts one after the other: texts, characters, bools, integers. */
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

/* A host without its port: `a` of `a:80`, `[::1]` of `[::1]:80`. An address that has several
 * colons and no brackets is left as it is. */
inline std::string_view without_port(std::string_view host)
{
    return detail::from_c(pm_without_port(detail::to_c(host)));
}

/* Without the white space of ASCII around it. */
inline std::string_view trim(std::string_view octets)
{
    return detail::from_c(pm_trim(detail::to_c(octets)));
}

/* Whether the octets are the same, whatever the case of ASCII letters. */
inline bool equal_nocase(std::string_view a, std::string_view b)
{
    return pm_equal_nocase(detail::to_c(a), detail::to_c(b));
}

/* The log. Each function takes the parts of one message. */

template <class... Parts> void log(pm_level level, const Parts &...parts)
{
    pm_log_n(level, detail::to_c(text(parts...)));
}

template <class... Parts> void trace(const Parts &...parts)
{
    log(PM_TRACE, parts...);
}

template <class... Parts> void debug(const Parts &...parts)
{
    log(PM_DEBUG, parts...);
}

template <class... Parts> void info(const Parts &...parts)
{
    log(PM_INFO, parts...);
}

template <class... Parts> void warn(const Parts &...parts)
{
    log(PM_WARN, parts...);
}

template <class... Parts> void error(const Parts &...parts)
{
    log(PM_ERROR, parts...);
}

/* What the proxy knows about its backends. */
namespace backends {

using Load = pm_load;

inline std::optional<Load> load(std::string_view name)
{
    Load load = {};
    return pm_backend_load_n(detail::to_c(name), &load) ? std::optional(load) : std::nullopt;
}

inline bool exists(std::string_view name)
{
    return load(name).has_value();
}

} // namespace backends

/* A part of the configuration. Errors need no care: the first is told to the proxy, with its
 * key, once configure has returned; see pointsman.h. */
class Config {
public:
    explicit Config(pm_value *value) : value_(value) {}

    /* Whether it is there, as what `find` gives need not be. */
    explicit operator bool() const { return pm_kind_of(value_) != PM_ABSENT; }

    bool is_text() const { return pm_kind_of(value_) == PM_TEXT; }
    bool is_number() const { return pm_kind_of(value_) == PM_NUMBER; }
    bool is_list() const { return pm_kind_of(value_) == PM_LIST; }
    bool is_table() const { return pm_kind_of(value_) == PM_TABLE; }

    /* The value of a key that must be there. */
    Config operator[](std::string_view key) const
    {
        return Config(pm_get_n(value_, detail::to_c(key)));
    }

    /* The value of a key that may be there. */
    Config find(std::string_view key) const
    {
        return Config(pm_find_n(value_, detail::to_c(key)));
    }

    std::string_view text() const { return detail::from_c(pm_as_text_n(value_)); }
    std::string_view text_or(std::string_view otherwise) const
    {
        return *this ? text() : otherwise;
    }

    /* The name of a backend that the proxy's configuration has. */
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

    /* A table whose keys are the user's own. */
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

    /* The same for a value of the wrong type: "expected a text or a list of texts, not 5". */
    void refuse_type(const char *expected) const { pm_refuse_type(value_, expected); }

private:
    pm_value *value_;
};

/* Whether the proxy may reuse a decision. */
enum class Cacheability {
    /* A decision follows from the configuration and from what was read of the request alone. */
    cacheable = PM_CACHEABLE,
    /* It depends on more, as on earlier requests: each is made afresh. */
    uncacheable = PM_UNCACHEABLE
};

inline constexpr Cacheability cacheable = Cacheability::cacheable;
inline constexpr Cacheability uncacheable = Cacheability::uncacheable;

/* What route answers, made by one of the functions below. */
class Decision {
public:
    explicit Decision(pm_decision decision) : decision_(decision) {}
    pm_decision c() const { return decision_; }

protected:
    pm_decision decision_;
};

/* A response that the proxy sends itself; a decision too. */
class Response : public Decision {
public:
    using Decision::Decision;

    /* Adds a field line. */
    Response &header(std::string_view name, std::string_view value)
    {
        pm_add_header_n(&decision_, detail::to_c(name), detail::to_c(value));
        return *this;
    }
};

/* The backend of this name. */
inline Decision backend(std::string_view name)
{
    return Decision(pm_backend_n(detail::to_c(name)));
}

/* The frontend's `default_backend`. */
inline Decision default_backend()
{
    return Decision(pm_default_backend());
}

/* No backend: a status from 200 to 599, and a body. */
inline Response respond(unsigned status, std::string_view body = "")
{
    return Response(pm_respond(status, detail::to_c(body)));
}

/* Sends the client elsewhere: 301, 302, 303, 307 or 308. */
inline Response redirect(unsigned status, std::string_view location)
{
    return Response(pm_redirect(status, detail::to_c(location)));
}

/* Counts as a fault of the plugin; takes the parts of a message. */
template <class... Parts> Decision fail(const Parts &...parts)
{
    return Decision(pm_fail_n(detail::to_c(text(parts...))));
}

/* Several things of C, each as `To` when it is asked for. */
template <class From, class To, To (*convert)(const From &)> class Range {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = To;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = To;

        Iterator() = default;
        explicit Iterator(const From *at) : at_(at) {}
        To operator*() const { return convert(*at_); }
        Iterator &operator++()
        {
            ++at_;
            return *this;
        }
        Iterator operator++(int)
        {
            Iterator before = *this;
            ++at_;
            return before;
        }
        friend bool operator==(Iterator a, Iterator b) { return a.at_ == b.at_; }
        friend bool operator!=(Iterator a, Iterator b) { return a.at_ != b.at_; }

    private:
        const From *at_ = nullptr;
    };

    Range(const From *items, std::size_t size) : items_(items), size_(size) {}
    Iterator begin() const { return Iterator(items_); }
    Iterator end() const { return Iterator(size_ == 0 ? items_ : items_ + size_); }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }

    /* For an `index` below the size. */
    To operator[](std::size_t index) const
    {
        if (index >= size_)
            pm_panic("an index beyond the end");
        return convert(items_[index]);
    }

private:
    const From *items_;
    std::size_t size_;
};

/* A field line. */
struct Field {
    std::string_view name;
    std::string_view value;
};

namespace detail {

inline std::string_view line(const pm_str &octets)
{
    return from_c(octets);
}

inline Field field(const pm_field &field)
{
    return Field{from_c(field.name), from_c(field.value)};
}

template <class Type> struct Plugin;

} // namespace detail

using Lines = Range<pm_str, std::string_view, detail::line>;
using Fields = Range<pm_field, Field, detail::field>;

/* The peer of the connection: behind another proxy, that proxy. */
struct Client {
    /* An IPv4 or IPv6 address in text form, or the path of a Unix socket: empty for most clients. */
    std::string_view address;
    /* 0 for a Unix socket. */
    std::uint16_t port;
};

/* Facts of the TLS session that a request came over. */
struct Tls {
    /* Server name that the client asked for (SNI), in lower case. */
    std::optional<std::string_view> server_name;
    /* Protocol agreed by ALPN, as in `h2`. */
    std::optional<std::string_view> alpn;
};

/* What became of an edit. */
enum class Edit {
    done = PM_EDITED,
    /* Not a field name, value or request target that HTTP allows. */
    invalid_syntax = PM_INVALID_SYNTAX,
    /* A field that frames or upgrades the message, which only the proxy may set. */
    forbidden = PM_FORBIDDEN
};

/*
 * The request. Only what is asked for crosses into the sandbox, and each thing asked for becomes
 * part of what a cached decision depends on: ask for what the decision needs, and no more.
 */
class Request {
public:
    /* As sent, as in `GET`. */
    std::string_view method() const { return detail::from_c(pm_method(request_)); }

    /* `http` or `https`. */
    std::string_view scheme() const { return detail::from_c(pm_scheme(request_)); }

    /* The path with its query, as in `/a?b=c`; `*` for `OPTIONS *`. */
    std::string_view target() const { return detail::from_c(pm_target(request_)); }

    /* The target up to its first `?`. */
    std::string_view path() const { return detail::from_c(pm_path(request_)); }

    /* What follows the first `?` of the target. */
    std::optional<std::string_view> query() const { return detail::maybe(pm_query(request_)); }

    /* The first parameter of this name in the query, decoded. */
    std::optional<std::string_view> query_param(std::string_view name) const
    {
        return detail::maybe(pm_query_param_n(request_, detail::to_c(name)));
    }

    /* The first line of the field `host` (`:authority` of HTTP/2), with its port. */
    std::optional<std::string_view> host() const { return detail::maybe(pm_host(request_)); }

    /* The host without its port. */
    std::optional<std::string_view> hostname() const
    {
        return detail::maybe(pm_hostname(request_));
    }

    /* The first line of the field `name`, which matches in any case. */
    std::optional<std::string_view> header(std::string_view name) const
    {
        return detail::maybe(pm_header_n(request_, detail::to_c(name)));
    }

    /* The same; none where it is not UTF-8. */
    std::optional<std::string_view> header_text(std::string_view name) const
    {
        return detail::maybe(pm_header_text_n(request_, detail::to_c(name)));
    }

    /* Every line of the field, in the order received. */
    Lines header_lines(std::string_view name) const
    {
        pm_strs lines = pm_header_lines_n(request_, detail::to_c(name));
        return Lines(lines.items, lines.len);
    }

    /* Every field line, names in lower case. */
    Fields headers() const
    {
        pm_fields fields = pm_headers(request_);
        return Fields(fields.items, fields.len);
    }

    /* The value of the first cookie of this name, whose case counts. */
    std::optional<std::string_view> cookie(std::string_view name) const
    {
        return detail::maybe(pm_cookie_n(request_, detail::to_c(name)));
    }

    Client client() const
    {
        pm_peer peer = pm_client(request_);
        return Client{detail::from_c(peer.address), peer.port};
    }

    /* None for a request in the clear. */
    std::optional<Tls> tls() const
    {
        pm_tls_session session;
        if (!pm_tls(request_, &session))
            return std::nullopt;
        return Tls{detail::maybe(session.server_name), detail::maybe(session.alpn)};
    }

    /* How many backends were tried before this call: 0 on the first. */
    std::uint32_t attempt() const { return pm_attempt(request_); }

    /* Replaces every line of the field by one. */
    Edit set_header(std::string_view name, std::string_view value)
    {
        return Edit(pm_set_header_n(request_, detail::to_c(name), detail::to_c(value)));
    }

    /* Adds a line after those that are there. */
    Edit append_header(std::string_view name, std::string_view value)
    {
        return Edit(pm_append_header_n(request_, detail::to_c(name), detail::to_c(value)));
    }

    /* Removes every line of the field. */
    Edit remove_header(std::string_view name)
    {
        return Edit(pm_remove_header_n(request_, detail::to_c(name)));
    }

    /* Replaces the target by another in origin form, as in `/a?b=c`. */
    Edit set_path_with_query(std::string_view target)
    {
        return Edit(pm_set_path_with_query(request_, detail::to_c(target)));
    }

private:
    template <class Type> friend struct detail::Plugin;
    explicit Request(pm_request *request) : request_(request) {}
    Request(const Request &) = delete;
    Request &operator=(const Request &) = delete;

    pm_request *request_;
};

namespace detail {

/* The one plugin of this module. It is made by configure, and never ends in the sandbox. */
template <class Type> struct Plugin {
    alignas(Type) static inline unsigned char storage[sizeof(Type)];
    static inline Type *plugin = nullptr;

    static pm_cacheability configure(pm_value *config)
    {
        /* A test configures more than once. */
        if (plugin != nullptr)
            plugin->~Type();
        plugin = new (storage) Type();
        return static_cast<pm_cacheability>(plugin->configure(Config(config)));
    }

    static pm_decision route(pm_request *c)
    {
        Request request(c);
        return static_cast<Decision>(plugin->route(request)).c();
    }
};

} // namespace detail

} // namespace pointsman

/* Makes `Type` the plugin: once, in one file, outside of any namespace. */
#define POINTSMAN_PLUGIN(Type)                                                                     \
    extern "C" pm_cacheability pm_configure(pm_value *config)                                      \
    {                                                                                              \
        return ::pointsman::detail::Plugin<Type>::configure(config);                               \
    }                                                                                              \
    extern "C" pm_decision pm_route(pm_request *request)                                           \
    {                                                                                              \
        return ::pointsman::detail::Plugin<Type>::route(request);                                  \
    }

#endif

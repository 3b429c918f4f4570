/*
 * Write routing plugins for Pointsman in C++17 or later. README.md has a whole plugin.
 *
 * A plugin is a type with two functions, named once by POINTSMAN_PLUGIN(Type):
 *
 *     pointsman::Cacheability configure(pointsman::Config config);   // once, before any request
 *     pointsman::Decision route(pointsman::Request &request);        // may be const
 *
 * Memory: what these functions return during configure lives as long as the plugin, what they
 * return during route lives until route returns; nothing of it is ever freed by hand. What they
 * take is copied. So a std::string_view of the configuration may be a member, one of a request
 * may not.
 *
 * There are no exceptions. See pointsman.h for what each function does.
 */
#ifndef POINTSMAN_HPP
#define POINTSMAN_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <string_view>

#include "pointsman_config.hpp"
#include "pointsman_questions.hpp"

namespace pointsman {

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

/* In the range of the contract: no timeout is below 0, or above 49 days. */
inline std::uint32_t bounded(std::chrono::milliseconds timeout)
{
    constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
    std::int64_t count = timeout.count();
    return static_cast<std::uint32_t>(count < 0 ? 0 : count > most ? most : count);
}

template <class Type> struct Plugin;

} // namespace detail

/* Octets, if there are any. */
using Text = std::optional<std::string_view>;
using Lines = Range<pm_str, std::string_view, detail::line>;
using Fields = Range<pm_field, Field, detail::field>;

/* What the proxy knows about its backends. A decision for which route asks is not cached; to ask
 * whether a backend is usable, see questions::usable. */
namespace backends {

using State = pm_backend_state;

struct Server {
    std::string_view name;
    /* Up and not draining, whether or not a slot is free. */
    bool usable;
    std::uint32_t weight;
    /* Requests and tunnels in progress. */
    std::uint32_t active;
    /* Requests that it accepts at once; none without a limit. */
    std::optional<std::uint32_t> limit;
    /* Moving average of the time to a response's head; none before the first response. */
    std::optional<std::chrono::microseconds> latency;
};

inline Server server(const pm_server_state &c)
{
    Server server{detail::from_c(c.name), c.usable, c.weight, c.active, std::nullopt, std::nullopt};
    if (c.has_limit)
        server.limit = c.limit;
    if (c.has_latency)
        server.latency = std::chrono::microseconds(c.latency_us);
    return server;
}

using Servers = Range<pm_server_state, Server, server>;

/* Every backend of the configuration. */
inline Lines names()
{
    pm_strs names = pm_backend_names();
    return Lines(names.items, names.len);
}

inline std::optional<State> state(std::string_view name)
{
    State state = {};
    bool exists = pm_get_backend_state_n(detail::to_c(name), &state);
    return exists ? std::optional(state) : std::nullopt;
}

inline std::optional<Servers> servers(std::string_view name)
{
    pm_servers servers = {};
    if (!pm_get_servers_n(detail::to_c(name), &servers))
        return std::nullopt;
    return Servers(servers.items, servers.len);
}

inline bool exists(std::string_view name)
{
    return state(name).has_value();
}

} // namespace backends

/* Whether the proxy may reuse a decision. */
enum class Cacheability {
    /* A decision follows from the configuration, from what was read of the request and from the
     * answers to questions, and from nothing else. */
    cacheable = PM_CACHEABLE,
    /* A decision depends on more, such as earlier requests: each is made afresh. */
    uncacheable = PM_UNCACHEABLE
};

inline constexpr Cacheability cacheable = Cacheability::cacheable;
inline constexpr Cacheability uncacheable = Cacheability::uncacheable;

/* What happens if a chosen server is not usable. */
enum class Otherwise {
    another_server = PM_ANOTHER_SERVER,
    /* The router is asked again, with the next `request.attempt()`. */
    ask_again = PM_ASK_AGAIN
};

/* What route returns, made by one of the functions below. */
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

/* One server of a backend. */
inline Decision server(std::string_view backend, std::string_view server,
                       Otherwise otherwise = Otherwise::another_server)
{
    return Decision(pm_server_n(detail::to_c(backend), detail::to_c(server),
                                static_cast<pm_fallback>(otherwise)));
}

/* Not for this plugin: the next one of the router decides; after the last one, the frontend's
 * `default_backend`. */
inline Decision next()
{
    return Decision(pm_next());
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

/* A fault of the plugin; takes the parts of a message. */
template <class... Parts> Decision fail(const Parts &...parts)
{
    return Decision(pm_fail_n(detail::to_c(text(parts...))));
}

/*
 * The request. Every read becomes part of the key under which the decision is cached: read only
 * what you need, and where a yes, a no or a choice is enough, ask a question.
 */
class Request {
public:
    /* As sent, for example `GET`. */
    std::string_view method() const { return detail::from_c(pm_method(request_)); }
    /* `http` or `https`. */
    std::string_view scheme() const { return detail::from_c(pm_scheme(request_)); }
    /* `1.0`, `1.1`, `2` or `3`. */
    Text version() const { return detail::maybe(pm_version(request_)); }
    /* Host as sent, with its port. */
    std::string_view authority() const { return detail::from_c(pm_authority(request_)); }
    /* The host: lower case, without port and trailing dot. */
    std::string_view host() const { return detail::from_c(pm_host(request_)); }
    /* Origin form, for example `/a?b=c`; `*` for `OPTIONS *`. */
    std::string_view path_with_query() const
    {
        return detail::from_c(pm_path_with_query(request_));
    }
    /* The path alone, as sent. */
    std::string_view path() const { return detail::from_c(pm_path(request_)); }
    /* The text after the first `?` of path_with_query. */
    Text query() const { return detail::maybe(pm_query(request_)); }
    /* First value of a query parameter, decoded. */
    Text query_parameter(std::string_view name) const
    {
        return detail::maybe(pm_query_parameter_n(request_, detail::to_c(name)));
    }
    /* First line of the field `name`, which matches in any case. */
    Text header(std::string_view name) const
    {
        return detail::maybe(pm_header_n(request_, detail::to_c(name)));
    }
    /* The same; none if it is not UTF-8. */
    Text header_text(std::string_view name) const
    {
        return detail::maybe(pm_header_text_n(request_, detail::to_c(name)));
    }
    /* Every line of the field, in the order received. */
    Lines header_lines(std::string_view name) const
    {
        pm_strs lines = pm_header_lines_n(request_, detail::to_c(name));
        return Lines(lines.items, lines.len);
    }
    /* Every field line in the order received, names as sent. */
    Fields headers() const
    {
        pm_fields fields = pm_headers(request_);
        return Fields(fields.items, fields.len);
    }
    /* Value of one cookie. */
    Text cookie(std::string_view name) const
    {
        return detail::maybe(pm_cookie_n(request_, detail::to_c(name)));
    }

    /* Address of the client; empty for a Unix socket. */
    std::string_view client_address() const
    {
        return detail::from_c(pm_client_address(request_));
    }
    /* Port of the peer. It differs for each connection. */
    std::uint16_t client_port() const { return pm_client_port(request_); }
    /* Server name of the TLS session (SNI), in lower case. */
    Text server_name() const { return detail::maybe(pm_server_name(request_)); }
    /* Protocol agreed by ALPN, for example `h2`. */
    Text alpn() const { return detail::maybe(pm_alpn(request_)); }
    /* Of the verified client certificate; none without one. */
    Text client_certificate_subject() const
    {
        return detail::maybe(pm_client_certificate_subject(request_));
    }
    Text client_certificate_issuer() const
    {
        return detail::maybe(pm_client_certificate_issuer(request_));
    }
    /* DNS names and URIs. */
    Lines client_certificate_names() const
    {
        pm_strs names = pm_client_certificate_names(request_);
        return Lines(names.items, names.len);
    }
    /* In hex. */
    Text client_certificate_serial() const
    {
        return detail::maybe(pm_client_certificate_serial(request_));
    }
    /* SHA-256 of the certificate, in hex. */
    Text client_certificate_sha256() const
    {
        return detail::maybe(pm_client_certificate_sha256(request_));
    }
    std::optional<std::chrono::system_clock::time_point> client_certificate_not_after() const
    {
        std::uint64_t seconds = 0;
        if (!pm_client_certificate_not_after(request_, &seconds))
            return std::nullopt;
        return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
    }
    /* Number of choices for this request that failed before this call. */
    std::uint32_t attempt() const { return pm_attempt(request_); }
    /* The part of the body that had arrived when route was called. Such a decision is not cached. */
    Text body_prefix() const { return detail::maybe(pm_body_prefix(request_)); }
    bool body_is_complete() const { return pm_body_is_complete(request_); }

    /* Answers to questions: a value of the matcher, or nullptr; yes or no; a value, if any. */
    template <class T> const T *ask(const Matcher<T> &matcher) const
    {
        std::uint32_t number = pm_ask(request_, matcher.question_);
        return number == 0 || number > matcher.values_.size() ? nullptr
                                                              : &matcher.values_[number - 1];
    }
    bool ask(const Share &share) const { return pm_ask(request_, share.question_) != 0; }
    bool ask(const Usable &usable) const { return pm_ask(request_, usable.question_) != 0; }
    Text ask(const ValueQuestion &question) const
    {
        return detail::maybe(pm_ask_value(request_, question.question_));
    }

    /* Edits: false, and route's error unless it is taken, if HTTP does not allow one. */

    /* Replaces every line of the field by one. */
    bool set_header(std::string_view name, std::string_view value)
    {
        return pm_set_header_n(request_, detail::to_c(name), detail::to_c(value));
    }
    /* The same with the answer to a question; removes the field if there is none. */
    bool set_header_by(std::string_view name, const ValueQuestion &question)
    {
        return pm_set_header_by_n(request_, detail::to_c(name), question.question_);
    }
    /* Adds one line after those that are there. */
    bool append_header(std::string_view name, std::string_view value)
    {
        return pm_append_header_n(request_, detail::to_c(name), detail::to_c(value));
    }
    /* Removes every line of the field. */
    bool remove_header(std::string_view name)
    {
        return pm_remove_header_n(request_, detail::to_c(name));
    }
    /* Replaces the Host that the server sees. */
    bool set_authority(std::string_view authority)
    {
        return pm_set_authority(request_, detail::to_c(authority));
    }
    /* Replaces the target by another in origin form, for example `/a?b=c`. */
    bool set_path_with_query(std::string_view target)
    {
        return pm_set_path_with_query(request_, detail::to_c(target));
    }
    /* Replaces the first `length` bytes of the path; the rest and the query stay. */
    bool replace_path_prefix(std::uint32_t length, std::string_view replacement)
    {
        return pm_replace_path_prefix(request_, length, detail::to_c(replacement));
    }
    /* Edits of the final response, whoever makes it. */
    bool set_response_header(std::string_view name, std::string_view value)
    {
        return pm_set_response_header_n(request_, detail::to_c(name), detail::to_c(value));
    }
    bool append_response_header(std::string_view name, std::string_view value)
    {
        return pm_append_response_header_n(request_, detail::to_c(name), detail::to_c(value));
    }
    bool remove_response_header(std::string_view name)
    {
        return pm_remove_response_header_n(request_, detail::to_c(name));
    }
    /* The reason of the first edit that failed, if one did. From now on it counts as handled. */
    Text take_edit_error() { return detail::maybe(pm_take_edit_error(request_)); }

    /* Options. Of several calls of one option the last counts. */

    /* Requests with the same key go to the same server while it is usable. */
    void set_affinity(std::string_view key) { pm_set_affinity(request_, detail::to_c(key)); }
    void set_affinity_by(const ValueQuestion &question)
    {
        pm_set_affinity_by(request_, question.question_);
    }
    /* Override a timeout of the backend. 0 is valid for the queue only. */
    void set_queue_timeout(std::chrono::milliseconds timeout)
    {
        pm_set_queue_timeout_ms(request_, detail::bounded(timeout));
    }
    void set_connect_timeout(std::chrono::milliseconds timeout)
    {
        pm_set_connect_timeout_ms(request_, detail::bounded(timeout));
    }
    void set_server_timeout(std::chrono::milliseconds timeout)
    {
        pm_set_server_timeout_ms(request_, detail::bounded(timeout));
    }
    void set_tunnel_timeout(std::chrono::milliseconds timeout)
    {
        pm_set_tunnel_timeout_ms(request_, detail::bounded(timeout));
    }
    /* How often the request may be sent in all, 1 to 16, where that is safe. */
    void set_tries(std::uint32_t tries) { pm_set_tries(request_, tries); }
    /* A name and a value for the access record and the trace. */
    void tag(std::string_view name, std::string_view value)
    {
        pm_tag_n(request_, detail::to_c(name), detail::to_c(value));
    }
    void tag_by(std::string_view name, const ValueQuestion &question)
    {
        pm_tag_by_n(request_, detail::to_c(name), question.question_);
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

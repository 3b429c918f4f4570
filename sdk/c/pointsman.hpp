/*
 * Write routing plugins for Pointsman in C++17 or later. README.md contains a complete plugin.
 *
 * A plugin is a type with two functions, named once by POINTSMAN_PLUGIN(Type):
 *
 *     pointsman::Cacheability configure(pointsman::Config config);   // once, before any request
 *     pointsman::Decision route(pointsman::Request &request);        // may be const
 *
 * Memory: nothing is ever freed by hand. The results of the SDK's functions live as long as the
 * plugin if they are called during configure, and until route returns if they are called during
 * route. Arguments are copied. So a member can be a std::string_view of the configuration, but not
 * of a request.
 *
 * There are no exceptions. See pointsman.h for a description of each function.
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

/* A range of C values, which are converted to `To` on access. */
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

    /* Returns the item at `index`, which must be below the size. */
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

/* Limits a timeout to the range of the contract: from 0 to 49 days. */
inline std::uint32_t bounded(std::chrono::milliseconds timeout)
{
    constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
    std::int64_t count = timeout.count();
    return static_cast<std::uint32_t>(count < 0 ? 0 : count > most ? most : count);
}

template <class Type> struct Plugin;

} // namespace detail

/* Optional octets. */
using Text = std::optional<std::string_view>;
using Lines = Range<pm_str, std::string_view, detail::line>;
using Fields = Range<pm_field, Field, detail::field>;

/* The state of the proxy's backends. Calling any of these functions in route makes the decision
 * uncacheable. To find out whether a backend is usable, ask questions::usable instead. */
namespace backends {

using State = pm_backend_state;

struct Server {
    std::string_view name;
    /* Whether the server is up and not draining, with or without a free slot. */
    bool usable;
    std::uint32_t weight;
    /* Number of requests and tunnels in progress. */
    std::uint32_t active;
    /* Maximum number of concurrent requests; none if there is no limit. */
    std::optional<std::uint32_t> limit;
    /* Moving average of the time until a response's head arrives; none before the first
     * response. */
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

/* Returns the names of all backends in the proxy's configuration. */
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
    /* A decision depends only on the configuration, on the parts of the request that were read and
     * on the answers to questions. */
    cacheable = PM_CACHEABLE,
    /* A decision depends on more than that, such as earlier requests. Each request gets a new
     * decision. */
    uncacheable = PM_UNCACHEABLE
};

inline constexpr Cacheability cacheable = Cacheability::cacheable;
inline constexpr Cacheability uncacheable = Cacheability::uncacheable;

/* Fallback if the chosen server is not usable. */
enum class Otherwise {
    another_server = PM_ANOTHER_SERVER,
    /* The router is called again, with `request.attempt()` increased by one. */
    ask_again = PM_ASK_AGAIN
};

/* The result of route, made by one of the functions below. */
class Decision {
public:
    explicit Decision(pm_decision decision) : decision_(decision) {}
    pm_decision c() const { return decision_; }

protected:
    pm_decision decision_;
};

/* A response that the proxy sends without a backend; it is also a decision. */
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

/* Sends the request to the backend `name`. A name that is not in the proxy's configuration is a
 * fault of the plugin. */
inline Decision backend(std::string_view name)
{
    return Decision(pm_backend_n(detail::to_c(name)));
}

/* Sends the request to the frontend's `default_backend`. */
inline Decision default_backend()
{
    return Decision(pm_default_backend());
}

/* Sends the request to one server of a backend. */
inline Decision server(std::string_view backend, std::string_view server,
                       Otherwise otherwise = Otherwise::another_server)
{
    return Decision(pm_server_n(detail::to_c(backend), detail::to_c(server),
                                static_cast<pm_fallback>(otherwise)));
}

/* Leaves the decision to the next plugin of the frontend's router, with the edits and options made
 * so far. After the last plugin, the request goes to the frontend's `default_backend`. */
inline Decision next()
{
    return Decision(pm_next());
}

/* Responds without a backend: the proxy sends a response with this status, 200 to 599, and this
 * body. */
inline Response respond(unsigned status, std::string_view body = "")
{
    return Response(pm_respond(status, detail::to_c(body)));
}

/* Redirects the client to `location` with status 301, 302, 303, 307 or 308 (RFC 9110, section
 * 15.4). */
inline Response redirect(unsigned status, std::string_view location)
{
    return Response(pm_redirect(status, detail::to_c(location)));
}

/* Reports a fault of the plugin; takes the parts of a message. */
template <class... Parts> Decision fail(const Parts &...parts)
{
    return Decision(pm_fail_n(detail::to_c(text(parts...))));
}

/*
 * The request. Every read becomes part of the key under which the decision is cached. Read only
 * what you need. If yes, no or one of a few values is enough, ask a question instead.
 */
class Request {
public:
    /* Returns the method as sent, for example `GET` (RFC 9110, section 9). Empty without HTTP
     * (`mode = "tcp"`). */
    std::string_view method() const { return detail::from_c(pm_method(request_)); }
    /* Returns the scheme: `http` or `https`. If a trusted proxy sends `X-Forwarded-Proto`, its
     * value is used. */
    std::string_view scheme() const { return detail::from_c(pm_scheme(request_)); }
    /* Returns the HTTP version: `1.0`, `1.1`, `2` or `3`. None without HTTP (`mode = "tcp"`). */
    Text version() const { return detail::maybe(pm_version(request_)); }
    /* Returns the authority as sent: the host, with the port if there is one. The scheme's default
     * port is left out if the authority comes from an absolute target or from `:authority`. Empty
     * without HTTP, or if the client sent no authority (HTTP/1.0). */
    std::string_view authority() const { return detail::from_c(pm_authority(request_)); }
    /* Returns the host of `authority`, in lower case, without port or trailing dot. Without HTTP
     * (`mode = "tcp"`), returns the server name of the TLS `ClientHello`. */
    std::string_view host() const { return detail::from_c(pm_host(request_)); }
    /* Returns the target in origin form, for example `/a?b=c`; `*` for `OPTIONS *` (RFC 9112,
     * section 3.2). Nothing is decoded. */
    std::string_view path_with_query() const
    {
        return detail::from_c(pm_path_with_query(request_));
    }
    /* Returns the path as sent, without the query. Nothing is decoded. */
    std::string_view path() const { return detail::from_c(pm_path(request_)); }
    /* Returns the text after the first `?` of the target, for example `b=c`; none if there is no
     * `?`. Nothing is decoded. Reads the whole target; `query_parameter` reads less. */
    Text query() const { return detail::maybe(pm_query(request_)); }
    /* Returns the first value of the query parameter `name`; none if there is no such parameter.
     * `%XX` is decoded once, and `+` is read as a space. */
    Text query_parameter(std::string_view name) const
    {
        return detail::maybe(pm_query_parameter_n(request_, detail::to_c(name)));
    }
    /* Returns the value of the first line of the field `name`; none if there is no such line. The
     * name is case-insensitive. */
    Text header(std::string_view name) const
    {
        return detail::maybe(pm_header_n(request_, detail::to_c(name)));
    }
    /* Like `header`, but returns text; also none if the value is not UTF-8. */
    Text header_text(std::string_view name) const
    {
        return detail::maybe(pm_header_text_n(request_, detail::to_c(name)));
    }
    /* Returns the value of every line of the field `name`, in the order received. */
    Lines header_lines(std::string_view name) const
    {
        pm_strs lines = pm_header_lines_n(request_, detail::to_c(name));
        return Lines(lines.items, lines.len);
    }
    /* Returns every field line in the order received, with names as sent. */
    Fields headers() const
    {
        pm_fields fields = pm_headers(request_);
        return Fields(fields.items, fields.len);
    }
    /* Returns the value of the cookie `name`; none if there is no such cookie. The name is
     * case-sensitive (RFC 6265, section 5.4). */
    Text cookie(std::string_view name) const
    {
        return detail::maybe(pm_cookie_n(request_, detail::to_c(name)));
    }

    /* Returns the client's address: that of the peer, or the one given by the PROXY protocol or by
     * a trusted proxy. It is in the text form of RFC 5952, without zone or port; an IPv4-mapped
     * IPv6 address is given as IPv4. Empty for a client on a Unix socket. */
    std::string_view client_address() const
    {
        return detail::from_c(pm_client_address(request_));
    }
    /* Returns the port of the peer, which differs for each connection. 0 for a client on a Unix
     * socket, or if a trusted proxy gives the client's address. */
    std::uint16_t client_port() const { return pm_client_port(request_); }
    /* Returns the server name of the TLS session (SNI), in lower case. None if the proxy does not
     * terminate TLS, or if the client sent no name. */
    Text server_name() const { return detail::maybe(pm_server_name(request_)); }
    /* Returns the protocol negotiated by ALPN, for example `h2`; none if no protocol was
     * negotiated. */
    Text alpn() const { return detail::maybe(pm_alpn(request_)); }
    /* Returns the subject of the verified client certificate, a distinguished name (RFC 4514), for
     * example `CN=example.com,O=Example`. None without TLS, or if the client presented no
     * certificate. */
    Text client_certificate_subject() const
    {
        return detail::maybe(pm_client_certificate_subject(request_));
    }
    /* Returns the issuer of the verified client certificate, a distinguished name (RFC 4514). None
     * without a certificate. */
    Text client_certificate_issuer() const
    {
        return detail::maybe(pm_client_certificate_issuer(request_));
    }
    /* Returns the DNS names and URIs (SPIFFE IDs, for example) of the verified client certificate,
     * in the order of the certificate. Empty without a certificate. */
    Lines client_certificate_names() const
    {
        pm_strs names = pm_client_certificate_names(request_);
        return Lines(names.items, names.len);
    }
    /* Returns the serial number of the verified client certificate, in hex. None without a
     * certificate. */
    Text client_certificate_serial() const
    {
        return detail::maybe(pm_client_certificate_serial(request_));
    }
    /* Returns the SHA-256 of the verified client certificate, in hex. None without a
     * certificate. */
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
    /* Returns how many decisions for this request have failed before this call; 0 on the first
     * call. */
    std::uint32_t attempt() const { return pm_attempt(request_); }
    /* Returns the part of the body that had arrived when `route` was called; none unless the
     * frontend waits for the body (`routing.body`). A decision that reads it is not cached. */
    Text body_prefix() const { return detail::maybe(pm_body_prefix(request_)); }
    bool body_is_complete() const { return pm_body_is_complete(request_); }

    /* Answers to questions: the value of the matching entry or nullptr, a bool, or an optional
     * value. */
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

    /* Edits. If HTTP does not allow an edit, it returns false and becomes route's error, unless
     * the error is taken. */

    /* Replaces every line of the field `name` with one line that has this value. */
    bool set_header(std::string_view name, std::string_view value)
    {
        return pm_set_header_n(request_, detail::to_c(name), detail::to_c(value));
    }
    /* Like `set_header`, with the answer to `question` as the value. Removes the field if there is
     * no answer, or if HTTP does not allow the answer as a field value. */
    bool set_header_by(std::string_view name, const ValueQuestion &question)
    {
        return pm_set_header_by_n(request_, detail::to_c(name), question.question_);
    }
    /* Adds one line of the field `name`, after any existing lines. */
    bool append_header(std::string_view name, std::string_view value)
    {
        return pm_append_header_n(request_, detail::to_c(name), detail::to_c(value));
    }
    /* Removes every line of the field `name`. */
    bool remove_header(std::string_view name)
    {
        return pm_remove_header_n(request_, detail::to_c(name));
    }
    /* Replaces the Host (HTTP/2: `:authority`) that the server sees. */
    bool set_authority(std::string_view authority)
    {
        return pm_set_authority(request_, detail::to_c(authority));
    }
    /* Replaces the target with another one in origin form, for example `/a?b=c`. */
    bool set_path_with_query(std::string_view target)
    {
        return pm_set_path_with_query(request_, detail::to_c(target));
    }
    /* Replaces the first `length` bytes of the path; the rest of the path and the query stay
     * unchanged. The proxy does this for each request, so one cached decision serves every path
     * below a prefix. The new path begins with `/`; the proxy adds the slash if it is missing. */
    bool replace_path_prefix(std::uint32_t length, std::string_view replacement)
    {
        return pm_replace_path_prefix(request_, length, detail::to_c(replacement));
    }
    /* Replaces every line of the field `name` in the final response with one line that has this
     * value. Response edits apply to every final response, whether a server, a plugin or the proxy
     * itself makes it, but not to interim responses. */
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
    /* Returns the reason of the first edit that failed, if any. The failure then counts as
     * handled. */
    Text take_edit_error() { return detail::maybe(pm_take_edit_error(request_)); }

    /* Options. If an option is set several times, the last call counts. */

    /* Sends requests with the same key to the same server while that server is usable. Only the
     * first 4 KiB of the key count. */
    void set_affinity(std::string_view key) { pm_set_affinity(request_, detail::to_c(key)); }
    void set_affinity_by(const ValueQuestion &question)
    {
        pm_set_affinity_by(request_, question.question_);
    }
    /* Overrides a timeout of the backend for this request. Only the queue timeout can be 0, which
     * means not to wait. */
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
    /* Sets how many times the request can be sent in total, 1 to 16. The request is sent again only
     * if that is safe. */
    void set_tries(std::uint32_t tries) { pm_set_tries(request_, tries); }
    /* Adds a name and a value to the access log record and to the trace, but never to a metric's
     * labels. A request can have at most 16 tags. A value is truncated to 256 bytes. */
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

/* The only plugin of this module. It is made by configure, and is never destroyed in the
 * sandbox. */
template <class Type> struct Plugin {
    alignas(Type) static inline unsigned char storage[sizeof(Type)];
    static inline Type *plugin = nullptr;

    static pm_cacheability configure(pm_value *config)
    {
        /* A test can configure more than once. */
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

/* Makes `Type` the plugin. Use it once, in one file, outside of any namespace. */
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

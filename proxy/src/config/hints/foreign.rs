//! Keywords of HAProxy, nginx, Envoy, Traefik and Caddy, and what to write instead. Contains data
//! only.

/// Keywords of other proxies, in lowercase with `_`, and what to write instead.
pub(super) const FOREIGN: &[(&str, &str)] = &[
    ("nbthread", "write `workers` at the top of the file"),
    ("threads", "write `workers` at the top of the file"),
    ("nbproc", "write `workers` at the top of the file"),
    (
        "global",
        "its settings belong at the top of the file, outside any table",
    ),
    (
        "defaults",
        "there are none to inherit: set `timeout` in each frontend and backend",
    ),
    ("listen", "write a `[frontend.NAME]` and a `[backend.NAME]`"),
    ("frontends", "write `[frontend.NAME]`"),
    ("backends", "write `[backend.NAME]`"),
    ("servers", "write `server.NAME = \"localhost:8080\"`"),
    (
        "daemon",
        "leave it out: the process stays in the foreground, under a service manager",
    ),
    (
        "mode",
        "set `mode` in the frontend: a backend serves both modes",
    ),
    (
        "ssl",
        "write `[tls.NAME]` for clients, or `tls = true` at a server",
    ),
    (
        "crt",
        "write `certificate` and `key` in `[tls.NAME]`, and `tls = \"NAME\"` in a bind",
    ),
    (
        "ssl_certificate",
        "write `certificate` in `[tls.NAME]`, and `tls = \"NAME\"` in a bind",
    ),
    ("ssl_certificate_key", "write `key` in `[tls.NAME]`"),
    (
        "accept_proxy",
        "write `proxy_protocol = { from = \"10.0.0.0/8\" }` in a bind",
    ),
    (
        "send_proxy",
        "write `proxy_protocol = \"v1\"` at the server",
    ),
    (
        "send_proxy_v2",
        "write `proxy_protocol = \"v2\"` at the server",
    ),
    ("sni", "write `tls.server_name` at the server"),
    ("proto", "write `protocol`"),
    (
        "acl",
        "the router has the rules: write `router.plugin = \"host-suffix\"` and \
         `router.config.rules`",
    ),
    (
        "use_backend",
        "the router has the rules: write `router.plugin = \"host-suffix\"` and \
         `router.config.rules = [{ suffix = \"example.org\", backend = \"NAME\" }]`",
    ),
    (
        "rules",
        "the plugin has the rules: write `router.config.rules`",
    ),
    (
        "option",
        "leave it out: each option is on by default or has its own key, such as \
         `check = \"http\"` for `httpchk`",
    ),
    (
        "forwardfor",
        "write `forwarded.x_forwarded`, which is on by default",
    ),
    ("http_request", "headers are edited by the router's plugin"),
    (
        "stats",
        "write `[admin]` with `socket = \"/run/pointsman.sock\"`",
    ),
    ("merge_slashes", "write `http.normalize_path`"),
    ("listen_address", "write `bind`"),
    ("upstream", "write `[backend.NAME]`"),
    ("upstreams", "write `[backend.NAME]`"),
    ("logging", "write `[log]`"),
    ("timeouts", "write `timeout`"),
    ("plugins", "write `router.plugin` in a frontend"),
    ("wasm", "write `router.plugin`"),
    ("trusted", "write `forwarded.trusted_proxies`"),
    // Load balancing.
    ("leastconn", "write `balance = \"least_requests\"`"),
    ("least_conn", "write `balance = \"least_requests\"`"),
    ("least_time", "write `balance = \"peak_ewma\"`"),
    ("ip_hash", "write `balance = { hash = \"client\" }`"),
    ("lb_policy", "write `balance`"),
    ("load_balancer", "write `balance`"),
    ("load_balancing", "write `balance`"),
    (
        "hash_type",
        "leave it out: `balance = { hash = \"client\" }` is consistent",
    ),
    (
        "hash_balance_factor",
        "write `balance = { hash = \"client\", max_load = \"125%\" }`",
    ),
    ("slowstart", "write `slow_start` in the backend"),
    ("slow_start_config", "write `slow_start` in the backend"),
    ("disabled", "write `state = \"maintenance\"` at the server"),
    ("down", "write `state = \"maintenance\"` at the server"),
    // Name resolution.
    (
        "server_template",
        "write `server.NAME = \"example.org:80\"`, which uses every address of the name, or \
         `\"srv:_http._tcp.example.org\"`",
    ),
    ("resolvers", "write `resolve.nameservers` in the backend"),
    ("resolver", "write `resolve.nameservers` in the backend"),
    ("nameserver", "write `resolve.nameservers` in the backend"),
    ("init_addr", "write `resolve.init` in the backend"),
    (
        "dns_refresh_rate",
        "write `resolve.min_interval` in the backend",
    ),
    // Health checks.
    ("option_httpchk", "write `check = \"http\"` in the backend"),
    ("httpchk", "write `check = \"http\"` in the backend"),
    (
        "http_check",
        "write `check = { path = \"/health\", expect = \"2xx\" }` in the backend",
    ),
    ("tcp_check", "write `check = \"tcp\"` in the backend"),
    ("health_check", "write `check` in the backend"),
    ("health_checks", "write `check` in the backend"),
    ("healthcheck", "write `check` in the backend"),
    ("inter", "write `check.interval` in the backend"),
    (
        "fastinter",
        "leave it out: `check.interval` is the same in every state",
    ),
    (
        "downinter",
        "leave it out: `check.interval` is the same in every state",
    ),
    ("max_fails", "write `outlier.consecutive` in the backend"),
    ("fail_timeout", "write `outlier.ejection` in the backend"),
    ("observe", "write `outlier` in the backend"),
    ("error_limit", "write `outlier.consecutive` in the backend"),
    ("outlier_detection", "write `outlier` in the backend"),
    ("passive_health_check", "write `outlier` in the backend"),
    // Sessions.
    (
        "cookie",
        "write `affinity = { cookie = \"NAME\" }` in the backend",
    ),
    (
        "sticky",
        "write `affinity = { cookie = \"NAME\" }` in the backend",
    ),
    (
        "dynamic_cookie_key",
        "write `affinity = { cookie = \"NAME\", secret = \"TEXT\" }`",
    ),
    (
        "stick_table",
        "write `affinity = { learn = \"FIELD\" }` in the backend",
    ),
    (
        "stick",
        "write `affinity = { learn = \"FIELD\" }` in the backend",
    ),
    // Retries and limits.
    ("retries", "write `retry.attempts` in the backend"),
    ("num_retries", "write `retry.attempts` in the backend"),
    ("retry_on", "write `retry.on` in the backend"),
    ("retry_policy", "write `retry` in the backend"),
    ("proxy_next_upstream", "write `retry.on` in the backend"),
    (
        "proxy_next_upstream_tries",
        "write `retry.attempts` in the backend",
    ),
    (
        "redispatch",
        "leave it out: another address is tried first in any case",
    ),
    (
        "option_redispatch",
        "leave it out: another address is tried first in any case",
    ),
    ("maxqueue", "write `max_queue`"),
    ("max_conns", "write `max_requests`"),
    ("circuit_breakers", "write `max_requests` and `max_queue`"),
    ("circuit_breaker", "write `max_requests` and `max_queue`"),
    (
        "minconn",
        "leave it out: `max_requests` is the same at any load",
    ),
    (
        "fullconn",
        "leave it out: `max_requests` is the same at any load",
    ),
];

/// Other proxies' values of `balance`, and what to write instead.
pub(super) const FOREIGN_BALANCE: &[(&str, &str)] = &[
    ("roundrobin", "write `\"round_robin\"`"),
    ("static_rr", "write `\"round_robin\"`"),
    ("wrr", "write `\"round_robin\"`"),
    ("leastconn", "write `\"least_requests\"`"),
    ("least_conn", "write `\"least_requests\"`"),
    ("least_request", "write `\"least_requests\"`"),
    ("p2c", "write `\"least_requests\"`"),
    ("least_time", "write `\"peak_ewma\"`"),
    ("ewma", "write `\"peak_ewma\"`"),
    ("source", "write `{ hash = \"client\" }`"),
    ("ip_hash", "write `{ hash = \"client\" }`"),
    ("client", "write `{ hash = \"client\" }`"),
    ("hash", "write `{ hash = \"client\" }`"),
    ("ring_hash", "write `{ hash = \"client\" }`"),
    ("maglev", "write `{ hash = \"client\" }`"),
    ("hdr", "write `{ hash = \"header:NAME\" }`"),
    ("url_param", "write `{ hash = \"query:NAME\" }`"),
];

/// Other proxies' names of failures, and what to write instead.
pub(super) const FOREIGN_FAILURES: &[(&str, &str)] = &[
    ("conn_failure", "connect"),
    ("connect_failure", "connect"),
    ("empty_response", "reset"),
    ("response_timeout", "timeout"),
    ("reset_before_request", "reset"),
];

/// Other proxies' names of timeouts, and what to write instead.
pub(super) const FOREIGN_TIMEOUTS: &[(&str, &str)] = &[
    ("http_request", "write `request_header`"),
    ("http_keep_alive", "write `keep_alive`"),
    ("clitimeout", "write `client`"),
    ("srvtimeout", "write `server`"),
    ("contimeout", "write `connect`"),
    ("check", "write `check.timeout` in the backend"),
    ("tarpit", "leave it out: there is no tarpit"),
];

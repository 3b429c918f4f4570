//! `[backend.NAME]`: servers, and how requests are distributed to them.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};

use super::{HeadLimits, Protocol, ProxyVersion, ServerTls};

/// `[backend.NAME]`: servers that can serve the same requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Name of the backend: letters, digits and `-_.:`.
    pub name: String,
    /// Servers, in the order of the file. Empty only if [`servers_file`](Self::servers_file) is
    /// set.
    pub servers: Vec<Server>,
    /// A file with more servers, which is reloaded whenever it changes.
    pub servers_file: Option<PathBuf>,
    /// How names are resolved to addresses.
    pub resolve: Resolve,
    /// How a server is chosen for a request. Default [`Balance::LeastRequests`].
    pub balance: Balance,
    /// Time over which a server's share of requests grows to its full share. Applies after it has
    /// recovered, or after it was added to a running backend. Default none.
    pub slow_start: Option<Duration>,
    /// Active health checks. None: a server counts as up until requests to it fail.
    pub check: Option<Check>,
    /// Rules for ejecting an address to which requests fail.
    pub outlier: Outlier,
    /// Rule for keeping requests at one server. Default none.
    pub affinity: Option<Affinity>,
    /// Rules for retrying requests.
    pub retry: Retry,
    /// Maximum number of requests and tunnels in progress at all servers together. None: no limit.
    pub max_requests: Option<NonZeroU32>,
    /// Maximum number of requests that wait for any server of the backend. Default
    /// [`DEFAULT_MAX_QUEUE`].
    pub max_queue: u32,
    /// Timeouts on the server's side.
    pub timeouts: BackendTimeouts,
    /// Limits on the head of a response.
    pub limits: HeadLimits,
    /// Requests that can be sent on connections that have already been used. Default
    /// [`HttpReuse::Safe`].
    pub http_reuse: HttpReuse,
}

impl Backend {
    /// Creates a backend with default options.
    pub fn new(name: &str, servers: Vec<Server>) -> Backend {
        Backend {
            name: name.to_owned(),
            servers,
            servers_file: None,
            resolve: Resolve::default(),
            balance: Balance::default(),
            slow_start: None,
            check: None,
            outlier: Outlier::default(),
            affinity: None,
            retry: Retry::default(),
            max_requests: None,
            max_queue: DEFAULT_MAX_QUEUE,
            timeouts: BackendTimeouts::default(),
            limits: HeadLimits::default(),
            http_reuse: HttpReuse::default(),
        }
    }
}

/// Default of [`Backend::max_queue`] and [`Server::max_queue`]: the requests that one slot serves
/// in a second, at 1 ms each.
pub const DEFAULT_MAX_QUEUE: u32 = 1024;

/// Highest weight of a server, as in `HAProxy`.
pub const MAX_WEIGHT: u16 = 256;

/// `backend.NAME.server.NAME`: a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name of the server: letters, digits and `-_.:`.
    pub name: String,
    /// Address that it listens on.
    pub address: ServerAddress,
    /// Its share of the requests, relative to the other servers' weights. 0 to 256, default 1. A
    /// server with weight 0 gets only requests that are bound to it.
    pub weight: u16,
    /// Whether it serves only while none of the regular servers can. Default false.
    pub backup: bool,
    /// Whether it accepts requests. Default [`ServerState::Ready`].
    pub state: ServerState,
    /// Maximum number of requests and tunnels in progress at each of its addresses. None: no limit.
    pub max_requests: Option<NonZeroU32>,
    /// Maximum number of requests that are bound to this server and wait for it. Default
    /// [`DEFAULT_MAX_QUEUE`].
    pub max_queue: u32,
    /// TLS settings. None: connections to it are not encrypted.
    pub tls: Option<ServerTls>,
    /// HTTP version to use. Default [`Protocol::Negotiated`] with TLS, [`Protocol::Http1`] without.
    pub protocol: Protocol,
    /// The PROXY protocol header that starts each connection. Default none.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Server {
    /// Creates a server with default options.
    pub fn new(name: &str, address: ServerAddress) -> Server {
        Server {
            name: name.to_owned(),
            address,
            weight: 1,
            backup: false,
            state: ServerState::Ready,
            max_requests: None,
            max_queue: DEFAULT_MAX_QUEUE,
            tls: None,
            protocol: Protocol::Http1,
            proxy_protocol: None,
        }
    }
}

/// Whether a server accepts requests, as configured or as set by an operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerState {
    /// It accepts requests.
    #[default]
    Ready,
    /// It accepts only requests that belong to its sessions.
    Drain,
    /// It accepts no requests, and its health is not checked.
    Maintenance,
}

/// Address of a server as configured, not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// A TCP address.
    Tcp {
        /// An IP address without brackets, or a name in lowercase.
        host: String,
        /// Port, never 0.
        port: u16,
    },
    /// Name of SRV records, in lowercase (RFC 2782). The records contain hosts, ports, weights and
    /// priorities.
    Srv(String),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            ServerAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
            ServerAddress::Srv(name) => write!(f, "srv:{name}"),
            ServerAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `backend.NAME.resolve`: how names are resolved to addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// Whether a server's name must have an address before the configuration takes effect. Default
    /// [`Init::Last`].
    pub init: Init,
    /// DNS servers. Empty: those of `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
    /// Minimum interval between lookups of a name; it applies if the TTL is shorter. Default 1 s.
    pub min_interval: Duration,
    /// Maximum interval between lookups of a name; it applies if the TTL is longer. Default 5 min.
    pub max_interval: Duration,
}

impl Default for Resolve {
    fn default() -> Self {
        Self {
            init: Init::Last,
            nameservers: Vec::new(),
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_mins(5),
        }
    }
}

/// Whether a server's name must have an address before the configuration takes effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Init {
    /// Not required. If the name cannot be resolved at a reload, the server keeps its earlier
    /// addresses. If it cannot be resolved at the start of the process, the server has no address
    /// until it can.
    #[default]
    Last,
    /// Not required. Neither a start nor a reload waits for the lookup: the server has no address
    /// until the name is resolved.
    None,
    /// Required. If the name cannot be resolved, the configuration is refused.
    Required,
}

/// `backend.NAME.balance`: how a server is chosen for a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Balance {
    /// The server with the fewest requests in progress, relative to its weight. If there are more
    /// than 16 addresses, only two of them are compared, chosen at random.
    #[default]
    LeastRequests,
    /// Each server in turn, in proportion to the weights.
    RoundRobin,
    /// The server that is expected to respond first, judged by latency and requests in progress. If
    /// there are more than 16 addresses, only two of them are compared, chosen at random.
    PeakEwma,
    /// A random server, in proportion to the weights.
    Random,
    /// The first server with a free slot.
    First,
    /// The server that a hash of a part of the request selects.
    Hash(Hash),
}

/// `backend.NAME.balance = { hash = ... }`: consistent hashing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// Part of the request to hash, called the key. Requests with the same key go to the same
    /// server.
    pub key: HashKey,
    /// Maximum number of requests in progress at a server, in percent of its fair share. Further
    /// requests with the same key go to that key's next server. At least 101. Default none.
    pub max_load: Option<u32>,
}

/// The part of a request that is hashed. Requests without it go to the server with the fewest
/// requests in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address, without its port.
    Client,
    /// A header field, as sent to the server.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A query parameter, compared as written in the URL.
    Query(String),
}

/// `backend.NAME.check`: active health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Protocol of the check.
    pub kind: CheckKind,
    /// Interval from the end of one check to the start of the next. Default 2 s.
    pub interval: Duration,
    /// Maximum duration of a check. Default 1 s.
    pub timeout: Duration,
    /// Number of consecutive successful checks after which a server that is down counts as up.
    /// Default 2.
    pub rise: u32,
    /// Number of consecutive failed checks after which a server that is up counts as down. Default
    /// 3.
    pub fall: u32,
    /// Port to check. Default: the port of the server's address.
    pub port: Option<NonZeroU16>,
}

/// Protocol of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Opens a connection. If the server uses TLS, the handshake must succeed.
    Tcp,
    /// Sends a GET request.
    Http {
        /// Target of the request. Default `/`.
        path: String,
        /// Value of `Host`. Default: the server's address.
        host: Option<String>,
        /// Response statuses that count as success. Default 200 to 399.
        expect: Statuses,
    },
    /// Calls `grpc.health.v1.Health/Check`.
    Grpc {
        /// Service to query. Default: empty, which stands for the server as a whole.
        service: String,
    },
}

/// Response statuses, as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses(pub Vec<std::ops::RangeInclusive<u16>>);

impl Statuses {
    /// Returns whether `status` is in one of the ranges.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// Set of ways in which a request can fail at a server.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of words of the configuration"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    /// The connection cannot be established: `connect`.
    pub connect: bool,
    /// The server reports that it has not processed the request (HTTP/2): `refused-stream`.
    pub refused_stream: bool,
    /// The connection ends before the response starts: `reset`.
    pub reset: bool,
    /// `timeout.server` expires before the response starts: `timeout`.
    pub timeout: bool,
    /// The response has one of these statuses, such as `503` or `5xx`.
    pub statuses: Statuses,
}

/// `backend.NAME.outlier`: rules for ejecting an address to which requests fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlier {
    /// Number of consecutive failures after which an address is ejected. Default 5. 0 disables
    /// ejection.
    pub consecutive: u32,
    /// Failures that count. Default `reset` and `timeout`.
    pub on: Failures,
    /// Duration of the first ejection. Each further ejection in a row lasts longer by the same
    /// amount. Default 10 s.
    pub ejection: Duration,
    /// Maximum duration of an ejection. Default 5 min.
    pub max_ejection: Duration,
    /// Maximum percentage of addresses that are ejected at once. Default 50.
    pub max_ejected: u32,
    /// Panic threshold: if the percentage of usable addresses is lower, all addresses are used.
    /// Default 0.
    pub panic: u32,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            on: Failures {
                reset: true,
                timeout: true,
                ..Failures::default()
            },
            ejection: Duration::from_secs(10),
            max_ejection: Duration::from_mins(5),
            max_ejected: 50,
            panic: 0,
        }
    }
}

/// `backend.NAME.affinity`: rule for keeping requests at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// Keeps requests at the server that is named in a cookie. The proxy sets the cookie.
    Cookie(AffinityCookie),
    /// Keeps requests at the server that has used the same field value in a response.
    Learned(LearnedAffinity),
}

/// `backend.NAME.affinity = { cookie = ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffinityCookie {
    /// Name of the cookie.
    pub name: String,
    /// Secret that protects the cookie's value against forgery. Proxies with the same secret accept
    /// each other's cookies. Default empty.
    pub secret: String,
    /// When the proxy sets the attribute `Secure`. Default [`Secure::Auto`].
    pub secure: Secure,
    /// Whether the cookie has `HttpOnly`. Default true.
    pub http_only: bool,
    /// `SameSite` of the cookie. Default [`SameSite::Lax`].
    pub same_site: SameSite,
    /// `Max-Age` of the cookie. None: the cookie ends with the browser session.
    pub max_age: Option<Duration>,
}

/// When the proxy sets the attribute `Secure`, which restricts a cookie to TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secure {
    /// If the request came over TLS.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `SameSite` of a cookie: the requests with which a browser sends the cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Only requests from this site.
    Strict,
    /// Requests from this site, and links from other sites.
    #[default]
    Lax,
    /// All requests. Such a cookie must be `Secure`.
    None,
}

/// `backend.NAME.affinity = { learn = ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedAffinity {
    /// Header field that is read in responses and in requests.
    pub field: HeaderName,
    /// Time after which an unused value is forgotten. Default 30 min.
    pub ttl: Duration,
    /// Maximum number of remembered values. The oldest are forgotten first. Default 65,536.
    pub max_entries: u32,
}

/// `backend.NAME.retry`: rules for retrying requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Maximum number of attempts after the first. Default 3.
    pub attempts: u32,
    /// Failures after which a request is retried. Default `connect` and `refused-stream`.
    pub on: Failures,
    /// Methods that are retried although repeating them can do harm. Default none.
    pub methods: Vec<Method>,
    /// Pause before a request is sent again to a server at which it has failed. Default 1 s.
    pub pause: Duration,
    /// Maximum percentage of requests that can be retried. Default 20.
    pub budget: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: Failures {
                connect: true,
                refused_stream: true,
                ..Failures::default()
            },
            methods: Vec::new(),
            pause: Duration::from_secs(1),
            budget: 20,
        }
    }
}

/// Requests that can be sent on connections that have already been used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpReuse {
    /// None: each request gets a new connection.
    Never,
    /// All, except the first request of a client connection if that request cannot be retried. The
    /// server could close the idle connection at that moment. The client would then get an error,
    /// which clients do not expect for the first request of a connection.
    #[default]
    Safe,
    /// All.
    Always,
}

/// Timeouts on the server's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendTimeouts {
    /// Time to connect to one address. Default 5 s.
    pub connect: Duration,
    /// Maximum wait for a free slot. Default 5 s. With zero, requests never wait.
    pub queue: Duration,
    /// Maximum time without progress from or to the server. Default 60 s.
    pub server: Duration,
    /// Maximum time without a byte in either direction of a tunnel.
    ///
    /// None: `timeout.client` applies to the client's side, and [`server`](Self::server) to the
    /// server's side.
    pub tunnel: Option<Duration>,
    /// Maximum time from half-close to close, on the server's side. Default 30 s.
    pub server_fin: Duration,
    /// How long an idle connection is kept. Default 30 s.
    ///
    /// The default is below the keep-alive time of common servers (nginx 75 s, Go 120 s), so the
    /// proxy rarely reuses a connection that the server is closing. The keep-alive time of Apache
    /// and Node is only 5 s: the proxy notices when they close the connection.
    pub server_keep_alive: Duration,
}

impl Default for BackendTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            queue: Duration::from_secs(5),
            server: Duration::from_mins(1),
            tunnel: None,
            server_fin: Duration::from_secs(30),
            server_keep_alive: Duration::from_secs(30),
        }
    }
}

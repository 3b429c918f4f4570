//! `[backend.NAME]`: servers, and how requests are spread over them.

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
    /// Letters, digits and `-_.:`.
    pub name: String,
    /// In the order of the file. Empty only if [`servers_file`](Self::servers_file) is set.
    pub servers: Vec<Server>,
    /// A file with more servers, which is read again whenever it changes.
    pub servers_file: Option<PathBuf>,
    /// How names become addresses.
    pub resolve: Resolve,
    /// How a server is chosen for a request. Default [`Balance::LeastRequests`].
    pub balance: Balance,
    /// How long a server that has come back takes to get its full share. Default none.
    pub slow_start: Option<Duration>,
    /// Active checks. None: a server is up until requests to it fail.
    pub check: Option<Check>,
    /// When a server is ejected for the requests that fail there.
    pub outlier: Outlier,
    /// Which requests stay with one server. Default none.
    pub affinity: Option<Affinity>,
    /// Which requests are sent again, and how often.
    pub retry: Retry,
    /// Requests and tunnels that all servers together get at once. None: no limit.
    pub max_requests: Option<NonZeroU32>,
    /// Requests that may wait for any server. Default [`DEFAULT_MAX_QUEUE`].
    pub max_queue: u32,
    /// How long a server may take.
    pub timeouts: BackendTimeouts,
    /// How large the head of a response may be.
    pub limits: HeadLimits,
    /// Which requests may be sent on connections that have carried others. Default
    /// [`HttpReuse::Safe`].
    pub http_reuse: HttpReuse,
}

impl Backend {
    /// With every option at its default.
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

/// Default of [`Backend::max_queue`] and [`Server::max_queue`]: at 1 ms a request, a second's work
/// for one slot.
pub const DEFAULT_MAX_QUEUE: u32 = 1024;

/// Highest weight of a server; `HAProxy`'s, too.
pub const MAX_WEIGHT: u16 = 256;

/// `backend.NAME.server.NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Letters, digits and `-_.:`.
    pub name: String,
    /// Where it listens.
    pub address: ServerAddress,
    /// Its share of the requests, beside those of others. 0 to 256, default 1. 0: only requests
    /// that are bound to it.
    pub weight: u16,
    /// Whether it serves only while no other server can. Default false.
    pub backup: bool,
    /// Whether it takes requests. Default [`ServerState::Ready`].
    pub state: ServerState,
    /// Requests and tunnels that each of its addresses gets at once. None: no limit.
    pub max_requests: Option<NonZeroU32>,
    /// Requests that are bound to it and may wait for it. Default [`DEFAULT_MAX_QUEUE`].
    pub max_queue: u32,
    /// TLS. None: connections to it are not encrypted.
    pub tls: Option<ServerTls>,
    /// Default [`Protocol::Negotiated`] with TLS, [`Protocol::Http1`] without.
    pub protocol: Protocol,
    /// The PROXY protocol header that each connection begins with. Default none.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Server {
    /// With every option at its default.
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

/// Whether a server takes requests, as configured or as an operator says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerState {
    /// It does.
    #[default]
    Ready,
    /// Only those of its sessions.
    Drain,
    /// None; it is not checked either.
    Maintenance,
}

/// Where a server listens, as written: nothing is resolved yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// Over TCP.
    Tcp {
        /// An IP address (without brackets) or a name in lower case.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// The SRV records of a name in lower case (RFC 2782): hosts, ports, weights and priorities.
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

/// `backend.NAME.resolve`: how names become addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// Whether a name must have an address before requests are served. Default [`Init::Last`].
    pub init: Init,
    /// DNS servers. Empty: those of `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
    /// A name is asked for again after its TTL, but no sooner than this. Default 1 s.
    pub min_interval: Duration,
    /// And no later than this. Default 5 min.
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

/// Whether a name must have an address before requests are served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Init {
    /// If it has none, its server keeps the addresses that it had before the reload. At a start it
    /// has none, and gets them once the name can be resolved.
    #[default]
    Last,
    /// Nobody waits for it: its server has no address until the name is resolved.
    None,
    /// Without an address the configuration is refused.
    Required,
}

/// `backend.NAME.balance`: how a server is chosen for a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests in progress for its weight; beyond 16 addresses, of two
    /// that are drawn.
    #[default]
    LeastRequests,
    /// In turn, in proportion to their weights.
    RoundRobin,
    /// Of two that are drawn, the one whose latency and requests in progress promise the earlier
    /// answer.
    PeakEwma,
    /// By chance, in proportion to their weights.
    Random,
    /// The first that has a free slot.
    First,
    /// By a part of the request.
    Hash(Hash),
}

/// `backend.NAME.balance = { hash = ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// Requests with the same key go to the same server.
    pub key: HashKey,
    /// Most requests in progress of a server, in percent of its fair share; those beyond go to the
    /// next server of their key. At least 101. Default none.
    pub max_load: Option<u32>,
}

/// The part of a request that is hashed. Requests without it go to the server with the fewest
/// requests in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address, without its port.
    Client,
    /// A field of the request, as the server gets it.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query, as it is written there.
    Query(String),
}

/// `backend.NAME.check`: active checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The protocol of the check.
    pub kind: CheckKind,
    /// From the end of a check to the begin of the next. Default 2 s.
    pub interval: Duration,
    /// Longest check. Default 1 s.
    pub timeout: Duration,
    /// So many checks in a row have to succeed before a server that is down is up. Default 2.
    pub rise: u32,
    /// So many have to fail before one that is up is down. Default 3.
    pub fall: u32,
    /// Default: that of the server's address.
    pub port: Option<NonZeroU16>,
}

/// The protocol of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Connects; with TLS, the handshake has to succeed.
    Tcp,
    /// Sends a GET.
    Http {
        /// Its target. Default `/`.
        path: String,
        /// Its Host. Default: the server's address.
        host: Option<String>,
        /// Statuses of a server that is up. Default 200 to 399.
        expect: Statuses,
    },
    /// Calls `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked for. Default: none, which means the server as a whole.
        service: String,
    },
}

/// Statuses of responses, as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses(pub Vec<std::ops::RangeInclusive<u16>>);

impl Statuses {
    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// Ways in which a request fails at a server.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of words of the configuration"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    /// No connection: `connect`.
    pub connect: bool,
    /// The server says that it has not acted on the request (HTTP/2): `refused-stream`.
    pub refused_stream: bool,
    /// The connection ends before the response begins: `reset`.
    pub reset: bool,
    /// `timeout.server` passes before the response begins: `timeout`.
    pub timeout: bool,
    /// The response has one of these statuses: `503`, `5xx`.
    pub statuses: Statuses,
}

/// `backend.NAME.outlier`: when an address is ejected for the requests that fail there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlier {
    /// So many failures in a row eject it. Default 5; 0 ejects none.
    pub consecutive: u32,
    /// Which ones count. Default `reset` and `timeout`.
    pub on: Failures,
    /// How long the first ejection lasts; each further one in a row takes as much longer. Default
    /// 10 s.
    pub ejection: Duration,
    /// The longest. Default 5 min.
    pub max_ejection: Duration,
    /// Most addresses that are ejected at once, in percent of all. Default 50.
    pub max_ejected: u32,
    /// If fewer addresses are usable, in percent of all, all are used. Default 0.
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

/// `backend.NAME.affinity`: which requests stay with one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// Those with a cookie that the proxy sets.
    Cookie(AffinityCookie),
    /// Those with a field whose value a response of the server has had.
    Learned(LearnedAffinity),
}

/// `backend.NAME.affinity = { cookie = ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffinityCookie {
    /// Its name.
    pub name: String,
    /// Mixed into its value, so that nobody can make one. Proxies with the same secret take each
    /// other's cookies. Default empty.
    pub secret: String,
    /// Whether it has `Secure`. Default [`Secure::Auto`].
    pub secure: Secure,
    /// Whether it has `HttpOnly`. Default true.
    pub http_only: bool,
    /// Default [`SameSite::Lax`].
    pub same_site: SameSite,
    /// `Max-Age`. None: it ends with the browser.
    pub max_age: Option<Duration>,
}

/// When a cookie is for TLS alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secure {
    /// If the request has come over TLS.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `SameSite` of a cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Requests of this site alone.
    Strict,
    /// And links from other sites.
    #[default]
    Lax,
    /// All; such a cookie has to be `Secure`.
    None,
}

/// `backend.NAME.affinity = { learn = ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedAffinity {
    /// The field of responses and of requests.
    pub field: HeaderName,
    /// A value is forgotten if it has not been seen for this long. Default 30 min.
    pub ttl: Duration,
    /// Values that are known at once; the oldest are forgotten. Default 65,536.
    pub max_entries: u32,
}

/// `backend.NAME.retry`: which requests are sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts after the first. Default 3.
    pub attempts: u32,
    /// After which failures. Default `connect` and `refused-stream`.
    pub on: Failures,
    /// Methods that are sent again although doing so twice may do harm. Default none.
    pub methods: Vec<Method>,
    /// Pause before a server that has failed gets the request again. Default 1 s.
    pub pause: Duration,
    /// Requests that may be sent again, in percent of all. Default 20.
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

/// Which requests may be sent on connections that have carried others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpReuse {
    /// None: each gets a connection of its own.
    Never,
    /// All but the first of a client's connection where it cannot be sent again: if the
    /// server closes the idle connection at that moment, that client gets an error for a
    /// request that it would not expect to fail.
    #[default]
    Safe,
    /// All.
    Always,
}

/// Timeouts on the server's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendTimeouts {
    /// From dialling to connected, for each address. Default 5 s.
    pub connect: Duration,
    /// From no free slot to a slot. Default 5 s; zero never waits.
    pub queue: Duration,
    /// From the last progress from or to the server. Default 60 s.
    pub server: Duration,
    /// From a tunnel's last byte in either direction.
    ///
    /// None: `timeout.client` and [`server`](Self::server) apply, each to its side.
    pub tunnel: Option<Duration>,
    /// From half-closed to closed, on the server's side. Default 30 s.
    pub server_fin: Duration,
    /// How long a connection is kept without use. Default 30 s.
    ///
    /// Below the keep-alive of common servers (nginx 75 s, Go 120 s; Apache's 5 s and Node's
    /// 5 s are met by noticing the close), so that reuse seldom races with a close.
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

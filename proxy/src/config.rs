//! The configuration: the contents of the file, checked, with every default filled in.
//!
//! Owns the types and the parsing. Reads the file and does no other I/O. Other modules resolve
//! names, look up users and load plugins, and report their errors through [`Source`]. A leaf: any
//! module can import it, and it imports no module above it.

mod address;
mod backend;
mod bind;
mod diagnostic;
mod hints;
mod json;
mod json_tree;
mod reader;
mod routing;
mod sections;
mod source;
mod stage;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod units;

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, header};
use ipnet::IpNet;

pub use backend::{
    Affinity, AffinityCookie, Backend, BackendTimeouts, Balance, Check, CheckKind,
    DEFAULT_MAX_QUEUE, Failures, Hash, HashKey, HttpReuse, Init, LearnedAffinity, MAX_WEIGHT,
    Outlier, Resolve, Retry, SameSite, Secure, Server, ServerAddress, ServerState, Statuses,
};
pub use bind::{AcceptProxy, Bind, BindAddress, RedirectToHttps, SocketAccess};
pub use diagnostic::Errors;
pub use routing::{DEFAULT_MAX_ATTEMPTS, MediaRange, Routing, RoutingBody, TooLarge};
pub use source::Source;
pub use stage::{
    DEFAULT_FAULT_WINDOW, DEFAULT_MAX_FAULTS, Isolation, Limits, MAX_STAGES, OnFault, PluginSource,
    Stage, StageId,
};
pub use table::{DEFAULT_TABLE_SIZE, Table, TableFormat, TableValues};
pub use tls::{
    Acme, AcmeChallenge, CertificateFiles, ClientCertificates, Protocol, ProxyVersion, ServerTls,
    Tls, TlsVersion,
};

/// Plugins that are part of the binary, by the names used in `router.plugin`.
pub const BUNDLED_PLUGINS: &[&str] = &[
    "address-list",
    "canary",
    "header-match",
    "headers",
    "host-suffix",
    "json-route",
    "maintenance",
    "path-prefix",
    "redirect",
    "table-route",
];

/// The contents of the configuration file. Created only by [`load`], [`parse`] and [`draft`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Maximum number of client connections open at once, over all frontends.
    ///
    /// None: derived from the limit on file descriptors.
    pub max_connections: Option<NonZeroU32>,
    /// Number of worker threads. None: one for each core.
    pub workers: Option<NonZeroUsize>,
    /// Name of the user to run as after the sockets are bound.
    pub user: Option<String>,
    /// Name of the group to run as after the sockets are bound.
    pub group: Option<String>,
    /// Maximum time from SIGTERM to the end of the last request or tunnel.
    ///
    /// Default 30 s. With zero, requests and tunnels are cut off at once.
    pub drain: Duration,
    /// Destination, format and level of the log.
    pub log: Log,
    /// Addresses at which the running process can be queried and controlled.
    pub admin: Admin,
    /// Directory for compiled plugins. None: chosen by the plugin host.
    pub plugin_cache_dir: Option<PathBuf>,
    /// Limits on compiling plugins.
    pub compile: Compile,
    /// TLS settings for client connections, in the order of the file.
    pub tls: Vec<Tls>,
    /// Frontends, which clients connect to, in the order of the file; at least one.
    pub frontends: Vec<Frontend>,
    /// Backends, which requests go to, in the order of the file.
    pub backends: Vec<Backend>,
    /// Tables that plugins can look up, in the order of the file.
    pub tables: Vec<Table>,
}

impl Config {
    /// Returns the number of workers to start on this machine.
    pub fn worker_count(&self) -> usize {
        self.workers
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get)
    }

    /// Returns the frontend with this name.
    pub fn frontend(&self, name: &str) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| frontend.name == name)
    }

    /// Returns every stage of every router, in the order of the file.
    pub fn stages(&self) -> impl Iterator<Item = (StageId, &Stage)> {
        self.frontends.iter().flat_map(|frontend| {
            let stages = frontend.router.iter();
            stages.map(|stage| (StageId::new(&frontend.name, &stage.name), stage))
        })
    }

    /// Returns the stage `id`.
    pub fn stage(&self, id: &StageId) -> Option<&Stage> {
        let mut stages = self.frontend(&id.frontend)?.router.iter();
        stages.find(|stage| stage.name == id.name)
    }

    /// Returns the `[tls.NAME]` with this name.
    pub fn tls(&self, name: &str) -> Option<&Tls> {
        self.tls.iter().find(|tls| tls.name == name)
    }

    /// Returns the backend that `id` identifies.
    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[id.0]
    }

    /// Returns the ID of the backend with this name.
    pub fn backend_named(&self, name: &str) -> Option<BackendId> {
        let position = self.backends.iter().position(|b| b.name == name)?;
        Some(BackendId(position))
    }

    /// Returns the backends with their IDs, in the order of the file.
    pub fn backend_ids(&self) -> impl Iterator<Item = (BackendId, &Backend)> {
        self.backends
            .iter()
            .enumerate()
            .map(|(index, backend)| (BackendId(index), backend))
    }
}

/// Identifies a backend of the [`Config`] that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(usize);

impl BackendId {
    /// Returns the position in [`Config::backends`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// `[log]`: the settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe level that is written. Default [`LogLevel::Info`].
    pub level: LogLevel,
    /// Format of a line. Default [`LogFormat::Text`].
    pub format: LogFormat,
    /// Whether each request and each tunnel gets an access log record. Default true.
    pub access: bool,
    /// Destination of the log. Default [`LogTarget::Stderr`].
    pub target: LogTarget,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Text,
            access: true,
            target: LogTarget::Stderr,
        }
    }
}

/// `[compile]`: limits on compiling plugins, whose files can be untrusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compile {
    /// Maximum size of a plugin's file, in bytes. Default 64 MiB, which is three times the size of
    /// a plugin in Python.
    pub file_size: u64,
    /// Maximum memory of one compiler process, in bytes. Default 1 GiB.
    pub memory: u64,
    /// Maximum processor time of one compiler process. Default 2 min.
    pub time: Duration,
}

impl Default for Compile {
    fn default() -> Self {
        Self {
            file_size: 64 << 20,
            memory: 1 << 30,
            time: Duration::from_mins(2),
        }
    }
}

/// `[admin]`: addresses at which the running process can be queried and controlled. If neither
/// address is set, there is no admin interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Path of a Unix socket. Only the user that runs the process can connect to it.
    pub socket: Option<PathBuf>,
    /// Loopback address for collecting metrics. Every process on the machine can connect to it.
    pub address: Option<SocketAddr>,
    /// Request header fields whose values are never shown. Default [`DEFAULT_REDACT`].
    pub redact: Vec<HeaderName>,
}

/// Default of [`Admin::redact`]: fields that contain credentials.
pub const DEFAULT_REDACT: [HeaderName; 3] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
];

impl Default for Admin {
    fn default() -> Self {
        Self {
            socket: None,
            address: None,
            redact: DEFAULT_REDACT.to_vec(),
        }
    }
}

/// Severity of a log line, from the most to the least severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed and needs attention.
    Error,
    /// Something is wrong, but the proxy continues.
    Warn,
    /// Events that an operator wants to see in normal operation.
    Info,
    /// Routine events, such as the end of a connection, and timings.
    Debug,
    /// Everything.
    Trace,
}

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for human readers.
    Text,
    /// One JSON object per line (RFC 8259).
    Json,
}

/// Destination of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// A file, to which lines are appended.
    File(PathBuf),
}

/// `[frontend.NAME]`: addresses for clients to connect to, and how their requests are routed.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontend {
    /// Name of the frontend: letters, digits and `-_.:`.
    pub name: String,
    /// Protocol of its connections. Default [`Mode::Http`].
    pub mode: Mode,
    /// Addresses that the frontend listens on; at least one.
    pub bind: Vec<Bind>,
    /// Backend for requests for which the router names no backend.
    ///
    /// Always set if there is no router.
    pub default_backend: Option<BackendId>,
    /// Timeouts on the client's side.
    pub timeouts: FrontendTimeouts,
    /// Information about the client that the proxy sends to servers.
    pub forwarded: Forwarded,
    /// Settings for reading requests.
    pub http: FrontendHttp,
    /// `Strict-Transport-Security` field of responses over TLS (RFC 6797). Default none.
    pub hsts: Option<Hsts>,
    /// Maximum number of connections per socket that wait in the kernel to be accepted.
    ///
    /// Default [`DEFAULT_BACKLOG`]; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// Limits on the size of a request.
    pub limits: FrontendLimits,
    /// Plugins, in the order in which they are called: at most [`MAX_STAGES`]. If there are none,
    /// all requests go to `default_backend`.
    pub router: Vec<Stage>,
    /// Settings of the router as a whole.
    pub routing: Routing,
}

/// Protocol of a frontend's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// HTTP requests.
    #[default]
    Http,
    /// Bytes in any protocol. Each connection becomes one tunnel to a server.
    Tcp,
}

/// `[frontend.NAME.hsts]`: makes browsers use only `https` for some time (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// Time for which browsers remember the rule. Default 365 days.
    pub max_age: Duration,
    /// Whether the rule applies to subdomains, too. Default false.
    pub include_subdomains: bool,
    /// Whether browsers can put the name on their preload lists. Default false.
    pub preload: bool,
}

/// Limits on one header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Maximum number of field lines. Default 256.
    pub max_headers: usize,
    /// Maximum size in bytes, including the first line. Default 64 KiB.
    pub max_header_size: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_headers: 256,
            max_header_size: 64 * 1024,
        }
    }
}

/// Limits on what a client can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendLimits {
    /// Limits on a request's head.
    pub head: HeadLimits,
    /// Maximum size of a request's body, in bytes. Default none.
    pub max_body: Option<u64>,
    /// Maximum number of body bytes that are read and dropped if the response ends before the
    /// request's body. Without this reading, the client could miss the response. Default 64 MiB.
    pub max_discard: u64,
}

impl Default for FrontendLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            max_body: None,
            max_discard: 64 * 1024 * 1024,
        }
    }
}

/// Timeouts on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendTimeouts {
    /// Maximum time from accepting the connection to the first byte of HTTP. Covers the PROXY
    /// protocol and TLS. Default 10 s.
    pub handshake: Duration,
    /// Maximum time from the first byte of a head to its end. Default 10 s.
    pub request_header: Duration,
    /// Maximum time from the end of a response to the first byte of the next request. Default 60 s.
    pub keep_alive: Duration,
    /// Maximum time without progress from or to the client. Default 60 s.
    pub client: Duration,
    /// Maximum time from half-close to close, on the client's side. Default 30 s.
    pub client_fin: Duration,
}

impl Default for FrontendTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_header: Duration::from_secs(10),
            keep_alive: Duration::from_mins(1),
            client: Duration::from_mins(1),
            client_fin: Duration::from_secs(30),
        }
    }
}

/// `[frontend.NAME.forwarded]`: information about the client that the proxy sends to servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Whether this proxy sets `X-Forwarded-For`, `-Proto` and `-Host`. Default true.
    pub x_forwarded: bool,
    /// Whether `Via` is sent (RFC 9110, section 7.6.3). Default true.
    pub via: bool,
    /// Peers that are trusted to state the origin of requests. Default none.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Forwarded {
    fn default() -> Self {
        Self {
            x_forwarded: true,
            via: true,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// Peers that are trusted to state the origin of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Networks of trusted addresses. IPv4-mapped networks are stored as IPv4.
    pub networks: Vec<IpNet>,
    /// Whether peers on a Unix socket are trusted: `unix`.
    pub unix: bool,
}

impl TrustedProxies {
    /// Returns whether `address`, in canonical form, is trusted.
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// `[frontend.NAME.http]`: settings for reading requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendHttp {
    /// Whether paths are normalized before plugins and servers see them. Default false.
    pub normalize_path: bool,
    /// Maximum number of requests that an HTTP/2 client can have in flight on one connection (RFC
    /// 9113, section 5.1.2).
    ///
    /// Default 100: the minimum that RFC 9113 recommends, and also HAProxy's default.
    pub max_concurrent_streams: u32,
}

impl Default for FrontendHttp {
    fn default() -> Self {
        Self {
            normalize_path: false,
            max_concurrent_streams: 100,
        }
    }
}

/// Default of [`Config::drain`]: the time after which most supervisors kill a process.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// Default of [`Frontend::backlog`]. A busy worker accepts that many connections in well under a
/// second.
pub const DEFAULT_BACKLOG: u32 = 1024;

/// Name of the configuration file in error messages.
const CONFIGURATION: &str = "the configuration";

/// The valid part of a configuration file, for callers that check it for further mistakes.
#[derive(Debug)]
pub struct Draft {
    /// The part of the file that could be read. Invalid values are replaced by defaults or left
    /// out.
    pub config: Config,
    /// Text of the file.
    pub source: Source,
    /// All mistakes in the file.
    pub mistakes: Option<Errors>,
}

/// Reads the configuration file at `path`.
///
/// # Errors
/// All mistakes in the file, or the reason why it cannot be read.
pub fn load(path: &Path) -> Result<(Config, Source), Errors> {
    let text = source::read(path, CONFIGURATION)?;
    parse(path, text)
}

/// Reads the valid part of the configuration file at `path`.
///
/// # Errors
/// If the file cannot be read, or is not TOML.
pub fn draft(path: &Path) -> Result<Draft, Errors> {
    let source = Source::new(path, source::read(path, CONFIGURATION)?);
    let (config, mistakes) = sections::read(&source)?;
    Ok(Draft {
        config,
        source,
        mistakes,
    })
}

/// Returns the `admin.socket` of the file at `path`, even if the rest of the file is invalid. The
/// running process may use an earlier text of the file, and must stay reachable.
///
/// # Errors
/// If the file cannot be read.
pub fn admin_socket(path: &Path) -> Result<Option<PathBuf>, Errors> {
    let source = Source::new(path, source::read(path, CONFIGURATION)?);
    let socket = source.text_at(&["admin", "socket"]);
    Ok(socket.map(|socket| source.directory().join(socket)))
}

/// Parses a configuration from `text`. `path` is used in errors and to resolve relative paths in
/// the text; no file is read.
///
/// # Errors
/// All mistakes in the text.
pub fn parse(path: &Path, text: String) -> Result<(Config, Source), Errors> {
    let source = Source::new(path, text);
    match sections::read(&source)? {
        (config, None) => Ok((config, source)),
        (_, Some(mistakes)) => Err(mistakes),
    }
}

/// Reads the servers file at `path`.
///
/// # Errors
/// All mistakes in the file, or the reason why it cannot be read.
pub fn load_servers(path: &Path) -> Result<Vec<Server>, Errors> {
    servers_file(path, source::read(path, "the servers file")?)
}

/// Parses a servers file: JSON if the name of `path` ends in `.json`, else TOML. `path` is used in
/// errors and to resolve relative paths in the text; no file is read.
///
/// # Errors
/// All mistakes in the text.
fn servers_file(path: &Path, text: String) -> Result<Vec<Server>, Errors> {
    let source = Source::new(path, text);
    let is_json = path
        .extension()
        .is_some_and(|extension| extension == "json");
    let (tree, syntax) = if is_json {
        json_tree::parse(source.text())
    } else {
        source.tree()
    };
    sections::read_servers(&source, tree.get_ref(), &syntax)
}

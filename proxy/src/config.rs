//! The configuration: what the file says, checked, with every default filled in.
//!
//! Owns the types and the way from text to them. It reads the file and does no other I/O:
//! names are resolved, users looked up and plugins loaded by those who need them, who
//! report through [`Source`]. A leaf: everything may import it, it imports nothing above.

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

/// Plugins that are part of the binary, by the name that `router.plugin` gives them.
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

/// Everything that the configuration file says. Made by [`load`] or [`parse`] alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Connections that clients may have open at once, over all frontends.
    ///
    /// None: derived from the limit of file descriptors.
    pub max_connections: Option<NonZeroU32>,
    /// Worker threads. None: one for each core.
    pub workers: Option<NonZeroUsize>,
    /// Name of the user to run as, once the sockets are bound.
    pub user: Option<String>,
    /// Name of the group to run as, once the sockets are bound.
    pub group: Option<String>,
    /// Longest wait from SIGTERM to the end of the last request or tunnel.
    ///
    /// Default 30 s; zero ends them at once.
    pub drain: Duration,
    /// Where the log goes, and how much of it.
    pub log: Log,
    /// Where the running process is queried and controlled.
    pub admin: Admin,
    /// Directory of compiled plugins. None: the plugin host chooses.
    pub plugin_cache_dir: Option<PathBuf>,
    /// Limits on compiling plugins.
    pub compile: Compile,
    /// TLS with clients, in the order of the file.
    pub tls: Vec<Tls>,
    /// Where clients connect, in the order of the file; at least one.
    pub frontends: Vec<Frontend>,
    /// Where requests go, in the order of the file.
    pub backends: Vec<Backend>,
    /// What plugins may look up, in the order of the file.
    pub tables: Vec<Table>,
}

impl Config {
    /// How many workers there are on this machine.
    pub fn worker_count(&self) -> usize {
        self.workers
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get)
    }

    /// The frontend of this name.
    pub fn frontend(&self, name: &str) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| frontend.name == name)
    }

    /// Every stage of every router, in the order of the file.
    pub fn stages(&self) -> impl Iterator<Item = (StageId, &Stage)> {
        self.frontends.iter().flat_map(|frontend| {
            let stages = frontend.router.iter();
            stages.map(|stage| (StageId::new(&frontend.name, &stage.name), stage))
        })
    }

    /// This stage.
    pub fn stage(&self, id: &StageId) -> Option<&Stage> {
        let mut stages = self.frontend(&id.frontend)?.router.iter();
        stages.find(|stage| stage.name == id.name)
    }

    /// The `[tls.NAME]` of this name.
    pub fn tls(&self, name: &str) -> Option<&Tls> {
        self.tls.iter().find(|tls| tls.name == name)
    }

    /// The backend that `id` stands for.
    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[id.0]
    }

    /// The backend of this name.
    pub fn backend_named(&self, name: &str) -> Option<BackendId> {
        let position = self.backends.iter().position(|b| b.name == name)?;
        Some(BackendId(position))
    }

    /// The backends with what stands for them, in the order of the file.
    pub fn backend_ids(&self) -> impl Iterator<Item = (BackendId, &Backend)> {
        self.backends
            .iter()
            .enumerate()
            .map(|(index, backend)| (BackendId(index), backend))
    }
}

/// Stands for a backend of the [`Config`] that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(usize);

impl BackendId {
    /// Position in [`Config::backends`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Lines less important than this are not written. Default [`LogLevel::Info`].
    pub level: LogLevel,
    /// Default [`LogFormat::Text`].
    pub format: LogFormat,
    /// Whether each request and each tunnel gets a line of its own. Default true.
    pub access: bool,
    /// Default [`LogTarget::Stderr`].
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

/// `[compile]`: limits on compiling a plugin, whose file may come from anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compile {
    /// Longest file of a plugin. Default 64 MiB: three times a plugin in Python.
    pub file_size: u64,
    /// Most memory of a compiler. Default 1 GiB.
    pub memory: u64,
    /// Most processor time of a compiler. Default 2 min.
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

/// `[admin]`: where the running process is queried and controlled. Neither set: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Path of a Unix socket, which only the user that runs the process may use.
    pub socket: Option<PathBuf>,
    /// An address of loopback, for who collects metrics: everybody on the machine may use it.
    pub address: Option<SocketAddr>,
    /// Fields of requests whose values are never shown. Default [`DEFAULT_REDACT`].
    pub redact: Vec<HeaderName>,
}

/// Default of [`Admin::redact`]: what gives its bearer rights.
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

/// Importance of a line in the log, from the most to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed that someone has to look at.
    Error,
    /// Something is wrong, and the proxy goes on.
    Warn,
    /// What an operator wants to know in normal times.
    Info,
    /// Routine ends of connections, timings.
    Debug,
    /// Everything.
    Trace,
}

/// Form of a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line (RFC 8259).
    Json,
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// A file, to which lines are appended.
    File(PathBuf),
}

/// `[frontend.NAME]`: where clients connect, and how their requests are routed.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontend {
    /// Letters, digits and `-_.:`.
    pub name: String,
    /// The protocol of its connections. Default [`Mode::Http`].
    pub mode: Mode,
    /// At least one.
    pub bind: Vec<Bind>,
    /// Where a request goes for which the router names no backend.
    ///
    /// Always set where `router` is empty.
    pub default_backend: Option<BackendId>,
    /// How long a client may take.
    pub timeouts: FrontendTimeouts,
    /// What servers are told about the client.
    pub forwarded: Forwarded,
    /// How requests are read.
    pub http: FrontendHttp,
    /// `Strict-Transport-Security` of responses over TLS (RFC 6797). Default none.
    pub hsts: Option<Hsts>,
    /// Connections that the kernel holds until they are accepted, for each socket.
    ///
    /// Default [`DEFAULT_BACKLOG`]; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// How large a request may be.
    pub limits: FrontendLimits,
    /// Its plugins, in the order in which they are asked: at most [`MAX_STAGES`]. Empty: everything
    /// goes to `default_backend`.
    pub router: Vec<Stage>,
    /// What concerns the whole router.
    pub routing: Routing,
}

/// The protocol of a frontend's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Requests.
    #[default]
    Http,
    /// Bytes: each connection is one tunnel to a server.
    Tcp,
}

/// `[frontend.NAME.hsts]`: how long browsers are to use `https` alone (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// Default 365 days.
    pub max_age: Duration,
    /// Whether subdomains are meant, too. Default false.
    pub include_subdomains: bool,
    /// Whether the name may be put on the lists that browsers come with. Default false.
    pub preload: bool,
}

/// Bounds of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most field lines. Default 256.
    pub max_headers: usize,
    /// Most bytes, the first line included. Default 64 KiB.
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

/// Bounds of what a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendLimits {
    /// Of a request's head.
    pub head: HeadLimits,
    /// Most bytes of a request's body. Default none.
    pub max_body: Option<u64>,
    /// Most bytes that are read and dropped after an answer that came before the end of the
    /// request's body, so that the answer arrives. Default 64 MiB.
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
    /// From accepted to the first byte of HTTP: PROXY protocol and TLS. Default 10 s.
    pub handshake: Duration,
    /// From the first byte of a head to its end. Default 10 s.
    pub request_header: Duration,
    /// From the end of a response to the next request's first byte. Default 60 s.
    pub keep_alive: Duration,
    /// From the last progress from or to the client. Default 60 s.
    pub client: Duration,
    /// From half-closed to closed, on the client's side. Default 30 s.
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

/// `[frontend.NAME.forwarded]`: what servers are told about the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Whether this proxy sets `X-Forwarded-For`, `-Proto` and `-Host`. Default true.
    pub x_forwarded: bool,
    /// Whether `Via` is sent (RFC 9110, section 7.6.3). Default true.
    pub via: bool,
    /// Peers that are believed about the origin of requests. Default none.
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

/// Peers that are believed about the origin of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// By address. IPv4-mapped networks are IPv4.
    pub networks: Vec<IpNet>,
    /// Whether whoever connects over a Unix socket is one: `unix`.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether `address`, in canonical form, is one's.
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// `[frontend.NAME.http]`: how requests are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendHttp {
    /// Whether paths are normalized before plugins and servers see them. Default false.
    pub normalize_path: bool,
    /// Requests that an HTTP/2 client may have under way at once (RFC 9113, section 5.1.2).
    ///
    /// Default 100, the least that RFC 9113 recommends; HAProxy's default, too.
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

/// Default of [`Config::drain`]: what most supervisors wait before they kill.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// Default of [`Frontend::backlog`]: a burst of connections that a busy worker takes in
/// well under a second.
pub const DEFAULT_BACKLOG: u32 = 1024;

/// The file's name in errors.
const CONFIGURATION: &str = "the configuration";

/// A configuration file as far as it makes sense, for those who look for more mistakes.
#[derive(Debug)]
pub struct Draft {
    /// The part that could be read. Other values are the defaults, or left out.
    pub config: Config,
    /// Its text.
    pub source: Source,
    /// All that is wrong with the file.
    pub mistakes: Option<Errors>,
}

/// Reads the configuration file at `path`.
///
/// # Errors
/// All that is wrong with the file, or that it cannot be read.
pub fn load(path: &Path) -> Result<(Config, Source), Errors> {
    let text = source::read(path, CONFIGURATION)?;
    parse(path, text)
}

/// Reads as much of the configuration file at `path` as makes sense.
///
/// # Errors
/// It cannot be read, or is not TOML.
pub fn draft(path: &Path) -> Result<Draft, Errors> {
    let source = Source::new(path, source::read(path, CONFIGURATION)?);
    let (config, mistakes) = sections::read(&source)?;
    Ok(Draft {
        config,
        source,
        mistakes,
    })
}

/// The `admin.socket` of the file at `path`, whatever else is wrong with the file: a process
/// that runs with an earlier text of it must still be reached.
///
/// # Errors
/// The file cannot be read.
pub fn admin_socket(path: &Path) -> Result<Option<PathBuf>, Errors> {
    let source = Source::new(path, source::read(path, CONFIGURATION)?);
    let socket = source.text_at(&["admin", "socket"]);
    Ok(socket.map(|socket| source.directory().join(socket)))
}

/// Reads a configuration from its text. `path` is named in errors, and relative paths in
/// the text start at its directory; nothing is read from it.
///
/// # Errors
/// All that is wrong with the text.
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
/// All that is wrong with it, or that it cannot be read.
pub fn load_servers(path: &Path) -> Result<Vec<Server>, Errors> {
    servers_file(path, source::read(path, "the servers file")?)
}

/// Reads the text of a servers file: JSON where the name of `path` ends in `.json`, else TOML. `path`
/// is named in errors, and relative paths in the text start at its directory; nothing is read
/// from it.
///
/// # Errors
/// All that is wrong with the text.
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

//! Where a frontend listens, and what each of its sockets expects of a new connection.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use ipnet::IpNet;

/// An element of `bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Address that it listens on; unique within a configuration.
    pub address: BindAddress,
    /// Name of the `[tls.NAME]` that encrypts its connections. None: they are not encrypted.
    pub tls: Option<String>,
    /// Peers whose connections start with a PROXY protocol header. None: no peers.
    pub proxy_protocol: Option<AcceptProxy>,
    /// Whether clients can use HTTP/2 without TLS, by prior knowledge. Default false.
    pub h2c: bool,
    /// Redirect of every request to the same URL over `https`. Default none.
    pub redirect: Option<RedirectToHttps>,
    /// Permissions and owner of a Unix socket.
    pub access: SocketAccess,
}

impl Bind {
    /// Creates a bind with default options.
    pub fn new(address: BindAddress) -> Bind {
        Bind {
            address,
            tls: None,
            proxy_protocol: None,
            h2c: false,
            redirect: None,
            access: SocketAccess::default(),
        }
    }
}

/// A listening address as configured, not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// An IP address and a port. Port 0 selects any free port.
    ///
    /// An IPv6 address, including `[::]`, accepts IPv6 only (`IPV6_V6ONLY`). `*` is 0.0.0.0.
    Tcp(SocketAddr),
    /// A name in lowercase and a port. It stands for every address of the name.
    Name {
        /// Name: letters, digits and `-_.`.
        host: String,
        /// Port. 0 selects any free port.
        port: u16,
    },
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Tcp(address) => address.fmt(f),
            BindAddress::Name { host, port } => write!(f, "{host}:{port}"),
            BindAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `proxy_protocol` of a bind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcceptProxy {
    /// Peers that send a header. If one of them sends none, its connection is closed. Other peers
    /// send none.
    pub from: Vec<IpNet>,
    /// Whether peers on a Unix socket send a header.
    pub from_unix: bool,
}

/// `redirect_to_https` of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectToHttps {
    /// Port of the new URL. None: the default port of `https`.
    pub port: Option<NonZeroU16>,
}

/// `mode`, `user` and `group` of a bind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketAccess {
    /// Permission bits of the socket file. None: set by the umask.
    pub mode: Option<u32>,
    /// Owner of the socket file. None: the user that binds it.
    pub user: Option<String>,
    /// Group of the socket file. None: the group that binds it.
    pub group: Option<String>,
}

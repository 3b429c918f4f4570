//! Addresses that a frontend listens on, and the settings for connections to each of them.

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
    /// Peers whose connections start with a PROXY protocol header. None: no peer sends one.
    pub proxy_protocol: Option<AcceptProxy>,
    /// Whether clients can use HTTP/2 without TLS, by prior knowledge. Default false.
    pub h2c: bool,
    /// Settings for redirecting every request to the same URL with `https`. Default none.
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
    /// A socket for an IPv6 address, including `[::]`, accepts IPv6 only (`IPV6_V6ONLY`). `*` is
    /// 0.0.0.0.
    Tcp(SocketAddr),
    /// A name in lowercase and a port. It stands for all addresses of the name.
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
    /// Peers that must send a header. If one of them sends none, its connection is closed. Other
    /// peers are expected to send none.
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
    /// Permission bits of the socket file. None: determined by the umask.
    pub mode: Option<u32>,
    /// Owner of the socket file. None: the user that binds the socket.
    pub user: Option<String>,
    /// Group of the socket file. None: the group that binds the socket.
    pub group: Option<String>,
}

//! Where a frontend listens, and what each of its sockets expects of a new connection.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use ipnet::IpNet;

/// An element of `bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Where it listens; no two of a configuration are equal.
    pub address: BindAddress,
    /// Name of the `[tls.NAME]` by which its connections are encrypted. None: they are not.
    pub tls: Option<String>,
    /// Which peers begin with a PROXY protocol header. None: nobody does.
    pub proxy_protocol: Option<AcceptProxy>,
    /// Whether clients may speak HTTP/2 without TLS, by prior knowledge. Default false.
    pub h2c: bool,
    /// Answers every request with a redirect to the same URL over `https`. Default none.
    pub redirect: Option<RedirectToHttps>,
    /// Permissions and owner of a Unix socket.
    pub access: SocketAccess,
}

impl Bind {
    /// With every option at its default.
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

/// A listening address as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// An IP address and a port; 0 takes any free port.
    ///
    /// An IPv6 address takes IPv6 alone (`IPV6_V6ONLY`), also `[::]`; `*` is 0.0.0.0.
    Tcp(SocketAddr),
    /// A name, in lower case, and a port: every address that the name has.
    Name {
        /// Letters, digits and `-_.`.
        host: String,
        /// 0 takes any free port.
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
    /// Peers that send a header; a connection of one without it is closed. Others send none.
    pub from: Vec<IpNet>,
    /// Whether peers on a Unix socket do.
    pub from_unix: bool,
}

/// `redirect_to_https` of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectToHttps {
    /// The port of the new URL. None: that of `https`.
    pub port: Option<NonZeroU16>,
}

/// `mode`, `user` and `group` of a bind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketAccess {
    /// Permission bits of the socket's file. None: by the umask.
    pub mode: Option<u32>,
    /// Its owner. None: the user that binds it.
    pub user: Option<String>,
    /// Its group. None: the group that binds it.
    pub group: Option<String>,
}

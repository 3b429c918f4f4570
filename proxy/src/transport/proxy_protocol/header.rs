//! What a header says, in either version.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use thiserror::Error;

/// The outcome of reading as many bytes as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A header so far, but not all of it.
    Partial,
    /// All of a header.
    Complete {
        /// Its length. Bytes behind it are the connection's own.
        consumed: usize,
        /// What it says.
        header: Header<'a>,
    },
}

/// A header of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// The connection's own addresses count: the sender speaks for itself (version 2: `LOCAL`),
    /// or cannot name a client (version 1: `UNKNOWN`; version 2: unspecified, or datagrams).
    Local,
    /// The sender speaks for a client.
    Proxied {
        /// The client.
        source: Address<'a>,
        /// Where the client connected to.
        destination: Address<'a>,
        /// Of version 2 alone.
        extensions: Extensions<'a>,
    },
}

/// One end of the connection that a header describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// TCP. An IPv4 address is never written as an IPv6 one here, though it may have come so.
    Tcp(SocketAddr),
    /// The path of a Unix socket: empty for one without a name, with a zero in front if it is
    /// abstract.
    Unix(&'a [u8]),
}

/// More about the client's connection, each where the sender knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// The application protocol that was negotiated, such as `h2`.
    pub alpn: Option<&'a [u8]>,
    /// The host name that the client asked for, by TLS or otherwise. Not checked to be one.
    pub authority: Option<&'a str>,
    /// Identifies the connection across proxies.
    pub unique_id: Option<&'a [u8]>,
    /// Present if the client connected by TLS.
    pub tls: Option<Tls<'a>>,
}

/// A client's TLS session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// As text, such as `TLSv1.3`.
    pub version: Option<&'a str>,
    /// The certificate that the client authenticated with.
    pub certificate: Option<ClientCertificate<'a>>,
}

/// A client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCertificate<'a> {
    /// When it was presented.
    pub presented: Presented,
    /// Whether the sender has verified it.
    pub is_verified: bool,
    /// Common Name of its subject.
    pub common_name: Option<&'a str>,
}

/// When a client presented its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Over the current connection, by a full handshake.
    OnConnection,
    /// Over an earlier connection of the session, which was resumed.
    InSession,
}

/// Why the start of a connection is no PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyProtocolError {
    /// Neither version's signature.
    #[error("no PROXY protocol header")]
    NoSignature,
    /// No CRLF in the first 107 bytes of version 1.
    #[error("PROXY line too long")]
    LineTooLong,
    /// A CR or LF alone in version 1.
    #[error("PROXY line does not end in CRLF")]
    LineEnd,
    /// Too few or too many fields in version 1, or a space too many.
    #[error("PROXY line has the wrong fields")]
    Fields,
    /// Other than `TCP4`, `TCP6` and `UNKNOWN` in version 1; unassigned in version 2.
    #[error("unknown address family or protocol in the PROXY header")]
    Family,
    /// Not an address of the announced family.
    #[error("invalid address in the PROXY header")]
    Address,
    /// Not a decimal number up to 65535 without leading zeros.
    #[error("invalid port in the PROXY header")]
    Port,
    /// The second signature with another version.
    #[error("unknown version of the PROXY protocol")]
    Version,
    /// Neither `LOCAL` nor `PROXY` in version 2.
    #[error("unknown command in the PROXY header")]
    Command,
    /// More than [`MAX_V2_LENGTH`](super::MAX_V2_LENGTH) bytes in version 2.
    #[error("PROXY header too large")]
    TooLarge,
    /// The length of version 2 leaves no room for the addresses.
    #[error("PROXY header too short for its addresses")]
    TooShort,
    /// A TLV that does not end within the header, or whose value has the wrong form.
    #[error("invalid TLV of type {0:#04x} in the PROXY header")]
    Tlv(u8),
    /// A second TLV of a type that has one value: readers would differ.
    #[error("several TLVs of type {0:#04x} in the PROXY header")]
    DuplicateTlv(u8),
    /// The CRC32C that came with the header is another.
    #[error("wrong checksum of the PROXY header")]
    Checksum,
}

/// Both addresses in one family, as both versions need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressPair<'a> {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
    Unix(&'a [u8], &'a [u8]),
    /// TCP at one end alone: no family has both.
    Unspecified,
}

impl<'a> AddressPair<'a> {
    /// IPv4 where both are, IPv6 otherwise, with an IPv4 address mapped (RFC 4291,
    /// section 2.5.5.2).
    pub(super) fn new(source: Address<'a>, destination: Address<'a>) -> AddressPair<'a> {
        let (source, destination) = match (source, destination) {
            (Address::Tcp(source), Address::Tcp(destination)) => (source, destination),
            (Address::Unix(source), Address::Unix(destination)) => {
                return AddressPair::Unix(source, destination);
            }
            _ => return AddressPair::Unspecified,
        };
        match (canonical(source), canonical(destination)) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                AddressPair::V4(source, destination)
            }
            (source, destination) => AddressPair::V6(mapped(source), mapped(destination)),
        }
    }
}

impl Address<'_> {
    /// With an IPv4 address as such, also if it came mapped.
    pub(super) fn tcp(ip: impl Into<IpAddr>, port: u16) -> Address<'static> {
        Address::Tcp(canonical(SocketAddr::new(ip.into(), port)))
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn mapped(address: SocketAddr) -> SocketAddrV6 {
    let ip: Ipv6Addr = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, address.port(), 0, 0)
}

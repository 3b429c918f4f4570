//! The contents of a header, in either version.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use thiserror::Error;

/// Result of reading the bytes that are available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The start of a header, but not all of it.
    Partial,
    /// A whole header.
    Complete {
        /// Length of the header. Bytes after it belong to the connection itself.
        consumed: usize,
        /// Contents of the header.
        header: Header<'a>,
    },
}

/// A header of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// The connection's own addresses apply. Either the sender connects on its own behalf (version
    /// 2: `LOCAL`), or it cannot name a client (version 1: `UNKNOWN`; version 2: unspecified, or
    /// datagrams).
    Local,
    /// The sender connects on behalf of a client.
    Proxied {
        /// The client.
        source: Address<'a>,
        /// The address that the client connected to.
        destination: Address<'a>,
        /// Extensions, which only version 2 has.
        extensions: Extensions<'a>,
    },
}

/// One end of the connection that a header describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// A TCP address. An IPv4 address is always stored as IPv4 here, even if it arrived as
    /// IPv4-mapped IPv6.
    Tcp(SocketAddr),
    /// The path of a Unix socket: empty if it is unnamed, with a leading zero byte if it is
    /// abstract.
    Unix(&'a [u8]),
}

/// Further details of the client's connection, each present only if the sender has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// The negotiated application protocol, such as `h2`.
    pub alpn: Option<&'a [u8]>,
    /// The host name that the client requested, by TLS or otherwise. Not checked to be a valid host
    /// name.
    pub authority: Option<&'a str>,
    /// Identifier of the connection across proxies.
    pub unique_id: Option<&'a [u8]>,
    /// TLS session, if the client connected by TLS.
    pub tls: Option<Tls<'a>>,
}

/// A client's TLS session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// Version as a string, such as `TLSv1.3`.
    pub version: Option<&'a str>,
    /// The certificate that the client authenticated with.
    pub certificate: Option<ClientCertificate<'a>>,
}

/// A client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCertificate<'a> {
    /// The connection on which the certificate was presented.
    pub presented: Presented,
    /// Whether the sender has verified the certificate.
    pub is_verified: bool,
    /// Common Name of the certificate's subject.
    pub common_name: Option<&'a str>,
}

/// The connection on which a client presented its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// The current connection, in a full handshake.
    OnConnection,
    /// An earlier connection, whose session was resumed.
    InSession,
}

/// Reason why the start of a connection is not a PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyProtocolError {
    /// The bytes match neither version's signature.
    #[error("no PROXY protocol header")]
    NoSignature,
    /// A version 1 header has no CRLF in its first 107 bytes.
    #[error("PROXY line too long")]
    LineTooLong,
    /// A version 1 header has a bare CR or LF.
    #[error("PROXY line does not end in CRLF")]
    LineEnd,
    /// A version 1 header has too few or too many fields, or an extra space.
    #[error("PROXY line has the wrong fields")]
    Fields,
    /// The family is not `TCP4`, `TCP6` or `UNKNOWN` in version 1, or is unassigned in version 2.
    #[error("unknown address family or protocol in the PROXY header")]
    Family,
    /// An address does not belong to the announced family.
    #[error("invalid address in the PROXY header")]
    Address,
    /// A port is not a decimal number up to 65535 without leading zeros.
    #[error("invalid port in the PROXY header")]
    Port,
    /// The signature is that of version 2, but the version number is not 2.
    #[error("unknown version of the PROXY protocol")]
    Version,
    /// The command in a version 2 header is neither `LOCAL` nor `PROXY`.
    #[error("unknown command in the PROXY header")]
    Command,
    /// A version 2 header has more than [`MAX_V2_LENGTH`](super::MAX_V2_LENGTH) bytes after its
    /// fixed part.
    #[error("PROXY header too large")]
    TooLarge,
    /// The length in a version 2 header is too small for the addresses.
    #[error("PROXY header too short for its addresses")]
    TooShort,
    /// A TLV does not end within the header, or its value is malformed.
    #[error("invalid TLV of type {0:#04x} in the PROXY header")]
    Tlv(u8),
    /// A TLV type that allows one value occurs twice. Different receivers could use different
    /// values.
    #[error("several TLVs of type {0:#04x} in the PROXY header")]
    DuplicateTlv(u8),
    /// The CRC32C in the header is wrong.
    #[error("wrong checksum of the PROXY header")]
    Checksum,
}

/// Both addresses, in the same family, as both versions require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressPair<'a> {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
    Unix(&'a [u8], &'a [u8]),
    /// One end is TCP and the other a Unix socket, and no family has both kinds.
    Unspecified,
}

impl<'a> AddressPair<'a> {
    /// Pairs the addresses. Two IPv4 addresses stay IPv4; otherwise both become IPv6, with an IPv4
    /// address mapped (RFC 4291, section 2.5.5.2).
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
    /// Creates a TCP address. An IPv4-mapped address becomes IPv4.
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

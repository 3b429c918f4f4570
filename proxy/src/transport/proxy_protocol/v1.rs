//! Version 1: a line of text (the specification, section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::str::FromStr;

use super::header::{Address, AddressPair, Extensions, Header, Parsed, ProxyProtocolError};

/// Maximum length of a line, including CRLF: that of an `UNKNOWN` line with the longest addresses.
pub const MAX_V1_LENGTH: usize = 107;

/// The start of every line.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Parses a header of version 1. The available bytes must match [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyProtocolError> {
    let within = &bytes[..bytes.len().min(MAX_V1_LENGTH)];
    let end = within
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'))
        .unwrap_or(within.len());
    let (line, rest) = within.split_at(end);
    match rest {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] if within.len() < MAX_V1_LENGTH => return Ok(Parsed::Partial),
        [] | [b'\r'] => return Err(ProxyProtocolError::LineTooLong),
        _ => return Err(ProxyProtocolError::LineEnd),
    }
    let fields = line.strip_prefix(SIGNATURE);
    let header = header(fields.ok_or(ProxyProtocolError::NoSignature)?)?;
    Ok(Parsed::Complete {
        consumed: end + 2,
        header,
    })
}

fn header(fields: &[u8]) -> Result<Header<'static>, ProxyProtocolError> {
    // The rest of the line must be ignored.
    if fields == b"UNKNOWN" || fields.starts_with(b"UNKNOWN ") {
        return Ok(Header::Local);
    }
    let fields = std::str::from_utf8(fields).map_err(|_| ProxyProtocolError::Fields)?;
    let mut fields = fields.split(' ');
    let mut next = || fields.next().ok_or(ProxyProtocolError::Fields);
    let parse_ip = match next()? {
        "TCP4" => parse_ip::<Ipv4Addr>,
        "TCP6" => parse_ip::<Ipv6Addr>,
        _ => return Err(ProxyProtocolError::Family),
    };
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    if fields.next().is_some() {
        return Err(ProxyProtocolError::Fields);
    }
    Ok(Header::Proxied {
        source: Address::tcp(parse_ip(source)?, parse_port(source_port)?),
        destination: Address::tcp(parse_ip(destination)?, parse_port(destination_port)?),
        extensions: Extensions::default(),
    })
}

/// Parses an address. The parsers of the standard library follow the specification's grammar: no
/// leading zeros in IPv4, no zone in IPv6.
fn parse_ip<T: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, ProxyProtocolError> {
    let ip = text.parse::<T>();
    ip.map(Into::into).map_err(|_| ProxyProtocolError::Address)
}

fn parse_port(text: &str) -> Result<u16, ProxyProtocolError> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    if !is_decimal || has_leading_zero {
        return Err(ProxyProtocolError::Port);
    }
    text.parse().map_err(|_| ProxyProtocolError::Port)
}

/// Appends a header of version 1, at most [`MAX_V1_LENGTH`] bytes.
///
/// [`Header::Local`], and addresses that are not both TCP, are written as `UNKNOWN`, which some
/// receivers reject. For its own health checks, a proxy should therefore send the addresses of its
/// connection. Version 1 has no extensions, so they are left out. If the addresses belong to
/// different families, the IPv4 one is written as IPv6.
pub fn push_v1(header: &Header<'_>, out: &mut Vec<u8>) {
    let pair = match *header {
        Header::Local => AddressPair::Unspecified,
        Header::Proxied {
            source,
            destination,
            ..
        } => AddressPair::new(source, destination),
    };
    let line = match pair {
        AddressPair::V4(source, destination) => format!(
            "PROXY TCP4 {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        ),
        AddressPair::V6(source, destination) => format!(
            "PROXY TCP6 {} {} {} {}\r\n",
            hexadecimal(source),
            hexadecimal(destination),
            source.port(),
            destination.port()
        ),
        AddressPair::Unix(..) | AddressPair::Unspecified => "PROXY UNKNOWN\r\n".to_owned(),
    };
    out.extend_from_slice(line.as_bytes());
}

/// Formats an address with hexadecimal digits only, because the specification allows no dots in
/// IPv6 addresses.
fn hexadecimal(address: SocketAddrV6) -> String {
    let ip = address.ip();
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("::ffff:{high:x}:{low:x}"),
        _ => ip.to_string(),
    }
}

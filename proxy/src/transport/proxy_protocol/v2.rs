//! Version 2: binary (the specification, section 2.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::header::{Address, AddressPair, Extensions, Header, Parsed, ProxyProtocolError};
use super::{crc32c, tlv};
use crate::transport::reader::Reader;

/// Maximum number of bytes after the fixed part: addresses and TLVs. The protocol allows 64 KiB,
/// but senders use a few hundred bytes. Each new connection can make the proxy buffer this many
/// bytes.
pub const MAX_V2_LENGTH: usize = 4096;

/// Length of the fixed part: signature, command, family and the length of the rest.
pub const V2_FIXED_LENGTH: usize = 16;

/// The start of every header.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

const VERSION: u8 = 0x20;
const LOCAL: u8 = 0x0;
const PROXY: u8 = 0x1;

const STREAM: u8 = 0x1;
const DATAGRAM: u8 = 0x2;
const UNSPECIFIED: u8 = 0x0;
const INET: u8 = 0x1;
const INET6: u8 = 0x2;
const UNIX: u8 = 0x3;

/// Length of a Unix socket's path field in bytes.
const UNIX_PATH: usize = 108;

/// Whether a header contains its own CRC32C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// No checksum.
    Omit,
    /// A checksum. Receivers that support checksums verify it; others skip it.
    Include,
}

/// Parses a header of version 2. The available bytes must match [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyProtocolError> {
    // Each byte is checked as soon as it arrives, so the proxy never waits in vain for the rest of
    // an invalid header.
    let Some(&version_and_command) = bytes.get(SIGNATURE.len()) else {
        return Ok(Parsed::Partial);
    };
    let command = version_and_command & 0x0f;
    if version_and_command & 0xf0 != VERSION {
        return Err(ProxyProtocolError::Version);
    }
    if command > PROXY {
        return Err(ProxyProtocolError::Command);
    }
    let Some(&family_and_protocol) = bytes.get(SIGNATURE.len() + 1) else {
        return Ok(Parsed::Partial);
    };
    let (family, protocol) = (family_and_protocol >> 4, family_and_protocol & 0x0f);
    // A LOCAL header's family must be ignored.
    if command == PROXY && (family > UNIX || protocol > DATAGRAM) {
        return Err(ProxyProtocolError::Family);
    }
    let Some(&[high, low]) = bytes.get(SIGNATURE.len() + 2..V2_FIXED_LENGTH) else {
        return Ok(Parsed::Partial);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_LENGTH {
        return Err(ProxyProtocolError::TooLarge);
    }
    let consumed = V2_FIXED_LENGTH + length;
    let Some(header) = bytes.get(..consumed) else {
        return Ok(Parsed::Partial);
    };
    let header = if command == LOCAL || family == UNSPECIFIED {
        Header::Local
    } else {
        proxied(header, family, protocol)?
    };
    Ok(Parsed::Complete { consumed, header })
}

/// Reads the addresses and TLVs of a complete header.
fn proxied(header: &[u8], family: u8, protocol: u8) -> Result<Header<'_>, ProxyProtocolError> {
    let mut reader = Reader::new(&header[V2_FIXED_LENGTH..]);
    let addresses = match family {
        INET => tcp_addresses::<4, Ipv4Addr>(&mut reader),
        INET6 => tcp_addresses::<16, Ipv6Addr>(&mut reader),
        _ => unix_addresses(&mut reader),
    };
    let (source, destination) = addresses.ok_or(ProxyProtocolError::TooShort)?;
    let extensions = tlv::parse(header, header.len() - reader.rest().len())?;
    // Datagrams cannot have arrived over a stream. The specification treats such headers, and
    // headers without a protocol, like those of unspecified families.
    if protocol != STREAM {
        return Ok(Header::Local);
    }
    Ok(Header::Proxied {
        source,
        destination,
        extensions,
    })
}

fn tcp_addresses<'a, const N: usize, T>(
    reader: &mut Reader<'a>,
) -> Option<(Address<'a>, Address<'a>)>
where
    T: From<[u8; N]> + Into<std::net::IpAddr>,
{
    let (source, destination) = (T::from(reader.array()?), T::from(reader.array()?));
    let (source_port, destination_port) = (reader.u16()?, reader.u16()?);
    Some((
        Address::tcp(source, source_port),
        Address::tcp(destination, destination_port),
    ))
}

fn unix_addresses<'a>(reader: &mut Reader<'a>) -> Option<(Address<'a>, Address<'a>)> {
    let (source, destination) = (reader.take(UNIX_PATH)?, reader.take(UNIX_PATH)?);
    Some((
        Address::Unix(unpadded(source)),
        Address::Unix(unpadded(destination)),
    ))
}

/// Removes the padding of a path. A path ends before its first zero; an abstract name, which starts
/// with a zero, ends before the zeros that fill the field.
fn unpadded(path: &[u8]) -> &[u8] {
    let end = if path.first() == Some(&0) {
        path.iter()
            .rposition(|&byte| byte != 0)
            .map(|last| last + 1)
    } else {
        path.iter().position(|&byte| byte == 0).or(Some(path.len()))
    };
    &path[..end.unwrap_or(0)]
}

/// Appends a header of version 2, with at most [`MAX_V2_LENGTH`] bytes after its fixed part.
///
/// [`Header::Local`] is for connections that the proxy makes on its own behalf, such as health
/// checks. If the addresses belong to different IP families, the IPv4 one is written as IPv6. If
/// only one end is a Unix socket, the family is unspecified, and receivers use the connection's own
/// addresses. Extensions that exceed their limit or do not fit are left out.
pub fn push_v2(header: &Header<'_>, checksum: Checksum, out: &mut Vec<u8>) {
    let start = out.len();
    let end = start + V2_FIXED_LENGTH + MAX_V2_LENGTH;
    out.extend_from_slice(SIGNATURE);
    let extensions = match header {
        Header::Local => {
            out.extend_from_slice(&[VERSION | LOCAL, UNSPECIFIED, 0, 0]);
            &Extensions::default()
        }
        Header::Proxied {
            source,
            destination,
            extensions,
        } => {
            out.push(VERSION | PROXY);
            push_addresses(AddressPair::new(*source, *destination), out);
            extensions
        }
    };
    let sum = match checksum {
        Checksum::Omit => None,
        Checksum::Include => Some(tlv::push_empty_checksum(out)),
    };
    tlv::push(extensions, end, out);
    let length = out.len() - start - V2_FIXED_LENGTH;
    // `end` is below 64 KiB, and so is the length.
    let [.., high, low] = length.to_be_bytes();
    let length_at = start + SIGNATURE.len() + 2;
    out[length_at..length_at + 2].copy_from_slice(&[high, low]);
    if let Some(sum) = sum {
        let value = crc32c::checksum(out[start..].iter().copied());
        out[sum..sum + 4].copy_from_slice(&value.to_be_bytes());
    }
}

/// Appends family and protocol, a length of 0, and the addresses.
fn push_addresses(pair: AddressPair<'_>, out: &mut Vec<u8>) {
    let family = match pair {
        AddressPair::V4(..) => INET << 4 | STREAM,
        AddressPair::V6(..) => INET6 << 4 | STREAM,
        AddressPair::Unix(..) => UNIX << 4 | STREAM,
        AddressPair::Unspecified => UNSPECIFIED,
    };
    out.extend_from_slice(&[family, 0, 0]);
    match pair {
        AddressPair::V4(source, destination) => {
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
            push_ports(source.port(), destination.port(), out);
        }
        AddressPair::V6(source, destination) => {
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
            push_ports(source.port(), destination.port(), out);
        }
        AddressPair::Unix(source, destination) => {
            for path in [source, destination] {
                let field = out.len() + UNIX_PATH;
                // No socket has a longer path. If one did, it would be written as unnamed.
                if path.len() <= UNIX_PATH {
                    out.extend_from_slice(path);
                }
                out.resize(field, 0);
            }
        }
        AddressPair::Unspecified => {}
    }
}

fn push_ports(source: u16, destination: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&source.to_be_bytes());
    out.extend_from_slice(&destination.to_be_bytes());
}

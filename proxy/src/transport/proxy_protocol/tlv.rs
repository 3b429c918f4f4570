//! The extensions of version 2, as type, length and value (the specification, section 2.2).

use super::crc32c;
use super::header::{ClientCertificate, Extensions, Presented, ProxyProtocolError, Tls};
use crate::transport::reader::Reader;

/// Maximum length of a host name in bytes. HAProxy has the same limit.
pub const MAX_AUTHORITY: usize = 255;

/// Maximum length of a unique ID in bytes (the specification, section 2.2.5).
pub const MAX_UNIQUE_ID: usize = 128;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;

/// Flags of the client in the SSL TLV.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

/// Length of a TLV without its value.
const TLV_PREFIX: usize = 3;

/// Reads the TLVs of a complete header, from `start` on, and verifies its checksum.
pub(super) fn parse(header: &[u8], start: usize) -> Result<Extensions<'_>, ProxyProtocolError> {
    let mut extensions = Extensions::default();
    let mut has_ssl = false;
    let mut has_checksum = false;
    let mut reader = Reader::new(&header[start..]);
    while let Some(kind) = reader.u8() {
        let value = reader.prefixed_u16().ok_or(ProxyProtocolError::Tlv(kind))?;
        match kind {
            ALPN => set(&mut extensions.alpn, kind, value)?,
            AUTHORITY => set(&mut extensions.authority, kind, text(kind, value)?)?,
            UNIQUE_ID => set(&mut extensions.unique_id, kind, value)?,
            SSL | CRC32C => {
                let has = if kind == SSL {
                    &mut has_ssl
                } else {
                    &mut has_checksum
                };
                if std::mem::replace(has, true) {
                    return Err(ProxyProtocolError::DuplicateTlv(kind));
                }
                if kind == SSL {
                    extensions.tls = tls(value)?;
                } else {
                    verify(header, header.len() - reader.rest().len(), value)?;
                }
            }
            // The specification allows a receiver to skip TLVs that it does not use.
            _ => {}
        }
        if value.len() > max_length(kind) {
            return Err(ProxyProtocolError::Tlv(kind));
        }
    }
    Ok(extensions)
}

/// Returns the maximum length of a value of this type.
fn max_length(kind: u8) -> usize {
    match kind {
        AUTHORITY => MAX_AUTHORITY,
        UNIQUE_ID => MAX_UNIQUE_ID,
        _ => usize::from(u16::MAX),
    }
}

fn set<T>(place: &mut Option<T>, kind: u8, value: T) -> Result<(), ProxyProtocolError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ProxyProtocolError::DuplicateTlv(kind)),
    }
}

fn text(kind: u8, value: &[u8]) -> Result<&str, ProxyProtocolError> {
    std::str::from_utf8(value).map_err(|_| ProxyProtocolError::Tlv(kind))
}

/// Verifies the checksum, which is computed over the header with zeros in place of the checksum.
fn verify(header: &[u8], end: usize, value: &[u8]) -> Result<(), ProxyProtocolError> {
    let expected: [u8; 4] = value
        .try_into()
        .map_err(|_| ProxyProtocolError::Tlv(CRC32C))?;
    let zeroed = header.iter().enumerate().map(|(index, &byte)| {
        let is_sum = (end - expected.len()..end).contains(&index);
        if is_sum { 0 } else { byte }
    });
    if crc32c::checksum(zeroed) == u32::from_be_bytes(expected) {
        Ok(())
    } else {
        Err(ProxyProtocolError::Checksum)
    }
}

/// Parses the SSL TLV. Returns `None` if the client did not connect by TLS, which the flag shows:
/// the rest then has no meaning.
fn tls(value: &[u8]) -> Result<Option<Tls<'_>>, ProxyProtocolError> {
    let mut reader = Reader::new(value);
    let head = (reader.u8(), reader.array::<4>());
    let (Some(client), Some(verify)) = head else {
        return Err(ProxyProtocolError::Tlv(SSL));
    };
    let (mut version, mut common_name) = (None, None);
    while let Some(kind) = reader.u8() {
        let value = reader.prefixed_u16().ok_or(ProxyProtocolError::Tlv(kind))?;
        match kind {
            SSL_VERSION => set(&mut version, kind, text(kind, value)?)?,
            SSL_CN => set(&mut common_name, kind, text(kind, value)?)?,
            _ => {}
        }
    }
    let presented = if client & CLIENT_CERT_CONN != 0 {
        Some(Presented::OnConnection)
    } else if client & CLIENT_CERT_SESS != 0 {
        Some(Presented::InSession)
    } else {
        None
    };
    let certificate = presented.map(|presented| ClientCertificate {
        presented,
        is_verified: verify == [0; 4],
        common_name,
    });
    let is_tls = client & CLIENT_SSL != 0;
    Ok(is_tls.then_some(Tls {
        version,
        certificate,
    }))
}

/// Appends the TLVs that fit below `end`.
pub(super) fn push(extensions: &Extensions<'_>, end: usize, out: &mut Vec<u8>) {
    let mut push = |kind, value: Option<&[u8]>| {
        if let Some(value) = value {
            push_tlv(kind, end, out, |out| out.extend_from_slice(value));
        }
    };
    push(ALPN, extensions.alpn);
    push(AUTHORITY, extensions.authority.map(str::as_bytes));
    push(UNIQUE_ID, extensions.unique_id);
    if let Some(tls) = &extensions.tls {
        push_tlv(SSL, end, out, |out| push_tls(tls, end, out));
    }
}

fn push_tls(tls: &Tls<'_>, end: usize, out: &mut Vec<u8>) {
    let certificate = tls.certificate.as_ref();
    let flags = match certificate.map(|certificate| certificate.presented) {
        None => 0,
        Some(Presented::OnConnection) => CLIENT_CERT_CONN | CLIENT_CERT_SESS,
        Some(Presented::InSession) => CLIENT_CERT_SESS,
    };
    out.push(CLIENT_SSL | flags);
    // Zero means that a certificate was presented and verified.
    let is_verified = certificate.is_some_and(|certificate| certificate.is_verified);
    out.extend_from_slice(&u32::from(!is_verified).to_be_bytes());
    let common_name = certificate.and_then(|certificate| certificate.common_name);
    for (kind, value) in [(SSL_VERSION, tls.version), (SSL_CN, common_name)] {
        if let Some(value) = value {
            push_tlv(kind, end, out, |out| {
                out.extend_from_slice(value.as_bytes());
            });
        }
    }
}

/// Appends a TLV, or leaves it out if there is no space.
fn push_tlv(kind: u8, end: usize, out: &mut Vec<u8>, push_value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0]);
    push_value(out);
    let length = out.len() - start - TLV_PREFIX;
    match u16::try_from(length) {
        Ok(prefix) if length <= max_length(kind) && out.len() <= end => {
            out[start + 1..start + TLV_PREFIX].copy_from_slice(&prefix.to_be_bytes());
        }
        _ => out.truncate(start),
    }
}

/// Appends an empty checksum TLV, and returns the offset of its value.
pub(super) fn push_empty_checksum(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[CRC32C, 0, 4, 0, 0, 0, 0]);
    out.len() - 4
}

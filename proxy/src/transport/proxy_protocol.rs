//! The PROXY protocol, versions 1 and 2: a header before the first byte of a connection, by
//! which a proxy passes on its client's address.
//!
//! Reads and writes bytes; does no I/O, and looks at no clock. The rules are those of HAProxy's
//! `doc/proxy-protocol.txt`, here "the specification". It forbids guessing whether there is a
//! header: whoever calls [`parse`] knows by the configuration that the peer must send one.

mod crc32c;
mod header;
mod tlv;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use self::header::{
    Address, ClientCertificate, Extensions, Header, Parsed, Presented, ProxyProtocolError, Tls,
};
pub use self::tlv::{MAX_AUTHORITY, MAX_UNIQUE_ID};
pub use self::v1::{MAX_V1_LENGTH, push_v1};
pub use self::v2::{Checksum, MAX_V2_LENGTH, V2_FIXED_LENGTH, push_v2};

/// Longest header of either version: bytes to look at before one is complete or refused.
pub const MAX_HEADER_LENGTH: usize = V2_FIXED_LENGTH + MAX_V2_LENGTH;

/// Reads the header at the start of a connection.
///
/// Called again with all bytes so far while it answers [`Parsed::Partial`], which it never does
/// for [`MAX_HEADER_LENGTH`] bytes. Nothing is copied.
///
/// # Errors
/// The connection must be closed without an answer. Bytes that begin no header are refused at
/// the first that differs, so that a client without a header need not wait for a timeout.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyProtocolError> {
    if starts_alike(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else if starts_alike(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else {
        Err(ProxyProtocolError::NoSignature)
    }
}

/// Whether the bytes, as far as they go, are the signature.
fn starts_alike(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

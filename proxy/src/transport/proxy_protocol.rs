//! The PROXY protocol, versions 1 and 2: a header before the first byte of a connection, by which a
//! proxy passes on its client's address.
//!
//! This module reads and writes bytes; it does no I/O and uses no clock. The rules are those of
//! HAProxy's `doc/proxy-protocol.txt`, called "the specification" here. The specification forbids
//! guessing whether there is a header, so only call [`parse`] if the configuration says that the
//! peer sends one.

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

/// Maximum length of a header of either version. This many bytes are always enough to accept or
/// reject a header.
pub const MAX_HEADER_LENGTH: usize = V2_FIXED_LENGTH + MAX_V2_LENGTH;

/// Reads the header at the start of a connection.
///
/// After [`Parsed::Partial`], the caller must call this function again with all bytes so far. The
/// result is never `Partial` for [`MAX_HEADER_LENGTH`] bytes. Copies nothing.
///
/// # Errors
/// The connection must be closed without a response. Bytes that do not start a header are rejected
/// at the first wrong byte, so a client that sends no header does not wait for a timeout.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyProtocolError> {
    if starts_alike(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else if starts_alike(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else {
        Err(ProxyProtocolError::NoSignature)
    }
}

/// Returns whether the available bytes match the signature.
fn starts_alike(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

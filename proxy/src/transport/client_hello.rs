//! The first message of a TLS client, read without terminating TLS. It contains the requested host
//! name and the offered protocols, by which a connection can be routed without decryption.
//!
//! The parser reads peeked bytes and does no I/O. It ignores the rest of the message: the server
//! that receives the connection decides whether that is valid.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::transport::reader::Reader;

/// Maximum number of bytes up to the end of the message: the size of one full record. Browsers send
/// less than 2 KiB, or less than 4 KiB with post-quantum keys and a resumed session.
pub const MAX_CLIENT_HELLO: usize = RECORD_HEADER + MAX_FRAGMENT;

/// Length of a record header: type, version, length (RFC 8446, section 5.1).
const RECORD_HEADER: usize = 5;

/// Maximum length of a plaintext record fragment (RFC 8446, section 5.1).
const MAX_FRAGMENT: usize = 1 << 14;

/// Length of a handshake message header: type, length (RFC 8446, section 4).
const HANDSHAKE_HEADER: usize = 4;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_HOST: u8 = 0;

/// Result of reading the bytes that are available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The start of a `ClientHello`, but not all of it.
    Partial,
    /// A whole `ClientHello`.
    Complete(ClientHello),
}

/// Properties of a client's first message. The message is neither encrypted nor authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The requested host name, in lower case and without a final dot. Also `None` if the client
    /// sent an IP address, which RFC 6066, section 3, does not permit and servers ignore.
    pub server_name: Option<String>,
    /// The protocols that the client offers.
    pub alpn: AlpnProtocols,
}

/// Protocols in the client's order of preference, such as `h2`. Empty if the client sent no list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlpnProtocols {
    /// The list in the form that the message has: each protocol follows its length. This needs only
    /// one allocation.
    list: Vec<u8>,
}

impl AlpnProtocols {
    /// Returns each protocol's name. A name is never empty, but need not be valid text.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader::new(&self.list);
        std::iter::from_fn(move || reader.prefixed_u8())
    }

    /// Returns whether there are no protocols.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns whether the client offers `protocol`.
    pub fn contains(&self, protocol: &[u8]) -> bool {
        self.iter().any(|offered| offered == protocol)
    }
}

/// Reason why the bytes are not a usable `ClientHello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientHelloError {
    /// The bytes are not the start of a TLS handshake.
    #[error("not a TLS handshake")]
    NotTls,
    /// The message needs more than [`MAX_CLIENT_HELLO`] bytes.
    #[error("ClientHello too large")]
    TooLarge,
    /// The bytes start a `ClientHello`, but a length or a list in it is wrong.
    #[error("malformed ClientHello")]
    Malformed,
    /// The server name is not exactly one DNS name (RFC 6066, section 3).
    #[error("invalid server name in the ClientHello")]
    ServerName,
}

/// Reads the `ClientHello` at the start of a connection, in one record or several.
///
/// After [`Parsed::Partial`], the caller must call this function again with all bytes so far. The
/// result is never `Partial` for [`MAX_CLIENT_HELLO`] bytes. Copies the message only if it is
/// complete and arrived in several records.
///
/// # Errors
/// Fails as soon as the bytes show the error. Bytes that do not start a handshake give
/// [`ClientHelloError::NotTls`] at the first wrong byte.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ClientHelloError> {
    let within = &bytes[..bytes.len().min(MAX_CLIENT_HELLO)];
    match message(within)? {
        Some(message) => parse_message(&message).map(Parsed::Complete),
        None if within.len() == MAX_CLIENT_HELLO => Err(ClientHelloError::TooLarge),
        None => Ok(Parsed::Partial),
    }
}

/// Returns the message after its header, joined from its records, or `None` if more bytes are
/// needed.
fn message(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, ClientHelloError> {
    let mut header = [0; HANDSHAKE_HEADER];
    let mut available = 0;
    let mut pieces = 0;
    for fragment in fragments(bytes) {
        let fragment = fragment?;
        let missing = header.iter_mut().skip(available);
        missing
            .zip(fragment)
            .for_each(|(place, byte)| *place = *byte);
        available += fragment.len();
        pieces += 1;
        let [kind, high, middle, low] = header;
        if available > 0 && kind != MESSAGE_CLIENT_HELLO {
            return Err(ClientHelloError::NotTls);
        }
        if available < HANDSHAKE_HEADER {
            continue;
        }
        let length = u32::from_be_bytes([0, high, middle, low]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_FRAGMENT - HANDSHAKE_HEADER {
            return Err(ClientHelloError::TooLarge);
        }
        let end = HANDSHAKE_HEADER + length;
        if available < end {
            continue;
        }
        if pieces == 1 {
            return Ok(Some(Cow::Borrowed(&fragment[HANDSHAKE_HEADER..end])));
        }
        let joined = fragments(bytes).flatten().flatten().copied();
        let joined = joined.skip(HANDSHAKE_HEADER).take(length).collect();
        return Ok(Some(Cow::Owned(joined)));
    }
    Ok(None)
}

/// Returns the available content of the records. The iterator ends at the first error.
fn fragments(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], ClientHelloError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (fragment, after) = match next_fragment(rest) {
            Ok(next) => next?,
            Err(error) => {
                rest = &[];
                return Some(Err(error));
            }
        };
        rest = after;
        Some(Ok(fragment))
    })
}

/// The available content of a record, and the bytes after the record.
type Fragment<'a> = (&'a [u8], &'a [u8]);

/// Splits off the first record's content. Returns `None` while its header is incomplete.
fn next_fragment(bytes: &[u8]) -> Result<Option<Fragment<'_>>, ClientHelloError> {
    // The minor version has no meaning (RFC 8446, section 5.1).
    let is_handshake = match bytes {
        [] => true,
        [kind] => *kind == RECORD_HANDSHAKE,
        [kind, major, ..] => (*kind, *major) == (RECORD_HANDSHAKE, 3),
    };
    if !is_handshake {
        return Err(ClientHelloError::NotTls);
    }
    let Some((&[_, _, _, high, low], content)) = bytes.split_first_chunk::<RECORD_HEADER>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // Handshake messages must not have empty fragments (RFC 8446, section 5.1).
    if !(1..=MAX_FRAGMENT).contains(&length) {
        return Err(ClientHelloError::NotTls);
    }
    Ok(Some(content.split_at(length.min(content.len()))))
}

/// Parses a `ClientHello` (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2, which allows leaving
/// out extensions).
fn parse_message(message: &[u8]) -> Result<ClientHello, ClientHelloError> {
    let mut reader = Reader::new(message);
    let mut skip = || {
        let _version_and_random = reader.array::<34>()?;
        let _session_id = reader.prefixed_u8()?;
        let _cipher_suites = reader.prefixed_u16()?;
        reader.prefixed_u8()
    };
    let _compression_methods = skip().ok_or(ClientHelloError::Malformed)?;
    if reader.is_empty() {
        return Ok(ClientHello::default());
    }
    let extensions = reader.prefixed_u16().ok_or(ClientHelloError::Malformed)?;
    if !reader.is_empty() {
        return Err(ClientHelloError::Malformed);
    }
    let (mut server_names, mut protocols) = (None, None);
    let mut extensions = Reader::new(extensions);
    while !extensions.is_empty() {
        let extension = (extensions.u16(), extensions.prefixed_u16());
        let (Some(kind), Some(data)) = extension else {
            return Err(ClientHelloError::Malformed);
        };
        let before = match kind {
            EXTENSION_SERVER_NAME => server_names.replace(data),
            EXTENSION_ALPN => protocols.replace(data),
            _ => None,
        };
        // RFC 8446, section 4.2: at most one extension of each type. With two, the server might use
        // the other one.
        if before.is_some() {
            return Err(ClientHelloError::Malformed);
        }
    }
    Ok(ClientHello {
        server_name: server_names.map_or(Ok(None), server_name)?,
        alpn: protocols.map_or(Ok(AlpnProtocols::default()), alpn)?,
    })
}

/// Parses a list with at most one name of each type (RFC 6066, section 3).
fn server_name(extension: &[u8]) -> Result<Option<String>, ClientHelloError> {
    let mut list = list(extension)?;
    let mut host = None;
    while let Some(kind) = list.u8() {
        // No other name type is defined, and such a name need not start with a length.
        if kind != NAME_HOST {
            break;
        }
        let name = list.prefixed_u16().ok_or(ClientHelloError::Malformed)?;
        if host.replace(name).is_some() {
            return Err(ClientHelloError::ServerName);
        }
    }
    let host = host.ok_or(ClientHelloError::ServerName)?;
    match ServerName::try_from(host) {
        Ok(ServerName::DnsName(name)) => {
            let name = name.as_ref();
            let name = name.strip_suffix('.').unwrap_or(name);
            Ok(Some(name.to_ascii_lowercase()))
        }
        Ok(_) => Ok(None),
        Err(_) => Err(ClientHelloError::ServerName),
    }
}

/// Parses a list of names that are not empty (RFC 7301, section 3.1).
fn alpn(extension: &[u8]) -> Result<AlpnProtocols, ClientHelloError> {
    let list = list(extension)?;
    let mut names = list;
    while !names.is_empty() {
        match names.prefixed_u8() {
            Some([_, ..]) => {}
            _ => return Err(ClientHelloError::Malformed),
        }
    }
    Ok(AlpnProtocols {
        list: list.rest().to_vec(),
    })
}

/// Returns the list in an extension. The list must fill the extension and must not be empty.
fn list(extension: &[u8]) -> Result<Reader<'_>, ClientHelloError> {
    let mut reader = Reader::new(extension);
    match reader.prefixed_u16() {
        Some(list @ [_, ..]) if reader.is_empty() => Ok(Reader::new(list)),
        _ => Err(ClientHelloError::Malformed),
    }
}

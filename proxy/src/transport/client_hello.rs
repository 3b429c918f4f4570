//! The first message of a TLS client, read without ending its TLS: the host name and the
//! protocols that it asks for, by which a connection can be routed unopened.
//!
//! Reads bytes that were peeked at; does no I/O. Looks at nothing else in the message: the
//! server that gets the connection decides whether the rest of it is right.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::transport::reader::Reader;

/// Most bytes until the message is complete: those of one full record. Browsers send under
/// 2 KiB, with post-quantum keys and a resumed session under 4 KiB.
pub const MAX_CLIENT_HELLO: usize = RECORD_HEADER + MAX_FRAGMENT;

/// Of a record: type, version, length (RFC 8446, section 5.1).
const RECORD_HEADER: usize = 5;

/// Longest fragment of a record in plaintext (the same).
const MAX_FRAGMENT: usize = 1 << 14;

/// Of a handshake message: type, length (RFC 8446, section 4).
const HANDSHAKE_HEADER: usize = 4;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_HOST: u8 = 0;

/// The outcome of reading as many bytes as there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A `ClientHello` so far, but not all of it.
    Partial,
    /// All of it.
    Complete(ClientHello),
}

/// What a client says before anything is encrypted. Nothing of it is authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host name that it asks for, in lower case and without a final dot. None as well if
    /// it sent an IP address, which RFC 6066, section 3, does not permit and servers ignore.
    pub server_name: Option<String>,
    /// The protocols that it offers.
    pub alpn: AlpnProtocols,
}

/// Protocols in the client's order of preference, such as `h2`; none if it sent no list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlpnProtocols {
    /// As in the message, where each has its length in front: one allocation, however many.
    list: Vec<u8>,
}

impl AlpnProtocols {
    /// Each protocol's name: never empty, not always text.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader::new(&self.list);
        std::iter::from_fn(move || reader.prefixed_u8())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the client offers `protocol`.
    pub fn contains(&self, protocol: &[u8]) -> bool {
        self.iter().any(|offered| offered == protocol)
    }
}

/// Why no `ClientHello` can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientHelloError {
    /// The bytes do not begin a TLS handshake.
    #[error("not a TLS handshake")]
    NotTls,
    /// More than [`MAX_CLIENT_HELLO`] bytes.
    #[error("ClientHello too large")]
    TooLarge,
    /// It begins as a `ClientHello`, and a length or a list in it is wrong.
    #[error("malformed ClientHello")]
    Malformed,
    /// Not one DNS name (RFC 6066, section 3).
    #[error("invalid server name in the ClientHello")]
    ServerName,
}

/// Reads the `ClientHello` at the start of a connection, in one record or several.
///
/// Called again with all bytes so far while it answers [`Parsed::Partial`], which it never does
/// for [`MAX_CLIENT_HELLO`] bytes. Copies the message only if it is complete and came in pieces.
///
/// # Errors
/// As soon as the bytes show it. Those that do not begin a handshake are
/// [`ClientHelloError::NotTls`] at the first that differs.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ClientHelloError> {
    let within = &bytes[..bytes.len().min(MAX_CLIENT_HELLO)];
    match message(within)? {
        Some(message) => parse_message(&message).map(Parsed::Complete),
        None if within.len() == MAX_CLIENT_HELLO => Err(ClientHelloError::TooLarge),
        None => Ok(Parsed::Partial),
    }
}

/// The message behind its header, joined from its records; None if more is needed.
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

/// The content of the records, as far as it is there; ends at the first error.
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

/// The content of a record, perhaps a part of it, and the bytes behind it.
type Fragment<'a> = (&'a [u8], &'a [u8]);

/// The first record's; None while its header is incomplete.
fn next_fragment(bytes: &[u8]) -> Result<Option<Fragment<'_>>, ClientHelloError> {
    // The minor version says nothing (RFC 8446, section 5.1).
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
    // Empty fragments of handshake messages are forbidden (the same).
    if !(1..=MAX_FRAGMENT).contains(&length) {
        return Err(ClientHelloError::NotTls);
    }
    Ok(Some(content.split_at(length.min(content.len()))))
}

/// RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2, where extensions may be missing.
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
        // RFC 8446, section 4.2: not more than one of a type. Two readers would differ.
        if before.is_some() {
            return Err(ClientHelloError::Malformed);
        }
    }
    Ok(ClientHello {
        server_name: server_names.map_or(Ok(None), server_name)?,
        alpn: protocols.map_or(Ok(AlpnProtocols::default()), alpn)?,
    })
}

/// RFC 6066, section 3: a list with one name of each type.
fn server_name(extension: &[u8]) -> Result<Option<String>, ClientHelloError> {
    let mut list = list(extension)?;
    let mut host = None;
    while let Some(kind) = list.u8() {
        // Names of other types, of which there are none, need not have a length.
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

/// RFC 7301, section 3.1: a list of names that are not empty.
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

/// The list that fills an extension and is not empty.
fn list(extension: &[u8]) -> Result<Reader<'_>, ClientHelloError> {
    let mut reader = Reader::new(extension);
    match reader.prefixed_u16() {
        Some(list @ [_, ..]) if reader.is_empty() => Ok(Reader::new(list)),
        _ => Err(ClientHelloError::Malformed),
    }
}

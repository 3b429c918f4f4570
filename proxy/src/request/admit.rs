//! Whether a request may go on: its framing, its target, its handshake.

use std::sync::Arc;

use http::{Version, request};
use hyper::body::{Body, Incoming};

use super::error::ProxyError;
use crate::http::head::{Client, Head, Scheme};
use crate::http::headers::{self, Noted};
use crate::http::target;
use crate::http::upgrade::{self, Upgrade};

/// A request that two servers cannot read in two ways.
#[derive(Debug)]
pub struct Admitted {
    /// Its head, in origin form.
    pub head: Head,
    /// The protocol version it came in.
    pub version: Version,
    /// How its body is framed.
    pub framing: Framing,
    /// What it asks the connection to become.
    pub upgrade: Option<Upgrade>,
    /// Fields that it has, those of `head`.
    pub noted: Noted,
}

/// The framing of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// `Content-Length` tells.
    Sized,
    /// Chunked.
    Chunked,
}

/// Checks a request that hyper has parsed.
///
/// hyper has refused what is not HTTP, lengths that contradict each other and codings that
/// do not end in `chunked`; where a message had both a length and a coding it has dropped
/// the length and will close the connection (RFC 9112, section 6.1).
///
/// # Errors
/// [`ProxyError`] of the kinds that refuse.
pub fn admit(
    mut parts: request::Parts,
    body: &Incoming,
    client: &Arc<Client>,
) -> Result<Admitted, ProxyError> {
    let path_and_query =
        target::resolve(&parts.method, &parts.uri, parts.version, &mut parts.headers)
            .map_err(ProxyError::Target)?;
    let noted = Noted::of(&parts.headers);
    let framing = framing(&parts, noted, body)?;
    let upgrade = match framing {
        Framing::Empty if parts.version == Version::HTTP_11 && noted.has(Noted::UPGRADE) => {
            upgrade::requested(&parts.method, &parts.headers).map_err(ProxyError::Handshake)?
        }
        // A server may always ignore an upgrade, and with a body in the way so do we.
        _ => None,
    };
    Ok(Admitted {
        head: Head {
            method: parts.method,
            scheme: Scheme::Http,
            path_and_query,
            headers: parts.headers,
            client: Arc::clone(client),
        },
        version: parts.version,
        framing,
        upgrade,
        noted,
    })
}

fn framing(parts: &request::Parts, noted: Noted, body: &Incoming) -> Result<Framing, ProxyError> {
    if noted.has(Noted::TRANSFER_ENCODING) {
        if !headers::is_chunked_alone(&parts.headers) {
            return Err(ProxyError::TransferCoding);
        }
        return Ok(Framing::Chunked);
    }
    Ok(if body.is_end_stream() {
        Framing::Empty
    } else {
        Framing::Sized
    })
}

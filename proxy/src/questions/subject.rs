//! The data of a request on which answers depend.

use crate::http::head::{Client, TlsFacts};
use crate::http::message::RequestHead;

/// The request that questions are answered about: as admitted, without edits.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The request head.
    pub head: &'a RequestHead,
    /// The client that sent the request.
    pub client: &'a Client,
    /// Facts about the TLS session in which the request arrived; None without TLS.
    pub tls: Option<&'a TlsFacts>,
    /// The part of the request body that has arrived; None unless the frontend waits for bodies.
    pub body: Option<Body<'a>>,
}

/// The start of a request's body.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Octets without transfer codings; the frontend bounds their number.
    pub bytes: &'a [u8],
    /// Whether the body is complete.
    pub is_complete: bool,
}

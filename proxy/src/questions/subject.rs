//! The data from which questions are answered.

use crate::http::head::{Client, TlsFacts};
use crate::http::message::RequestHead;

/// The request from which questions are answered, as admitted, without edits.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// Its sender.
    pub client: &'a Client,
    /// Facts about the TLS session that it arrived in.
    pub tls: Option<&'a TlsFacts>,
    /// The part of its body that has arrived; None unless the frontend waits for bodies.
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

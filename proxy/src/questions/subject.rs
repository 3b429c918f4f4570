//! What questions are answered from.

use crate::http::head::{Client, TlsFacts};
use crate::http::message::RequestHead;

/// What questions are answered from: the request as admitted, without edits.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// Its sender.
    pub client: &'a Client,
    /// Of the TLS session that it came in.
    pub tls: Option<&'a TlsFacts>,
    /// The part of its body that is there; None unless the frontend waits for bodies.
    pub body: Option<Body<'a>>,
}

/// The beginning of a request's body.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Without transfer codings; bounded by the frontend.
    pub bytes: &'a [u8],
    /// Whether nothing follows.
    pub is_complete: bool,
}

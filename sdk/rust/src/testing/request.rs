//! Requests in memory, and the effects of a plugin on them.

use crate::Request;
use crate::head::{Body, ClientCertificate, Edit, Head, Options, ResponseEdit};

/// Builds a request in memory, by default from 127.0.0.1, without TLS and without fields.
#[must_use = "`build` makes the request"]
pub struct RequestBuilder(Head);

impl RequestBuilder {
    /// Starts a request with this method and target, as in `GET` and `/a?b=c`.
    pub fn new(method: &str, target: &str) -> Self {
        Self(Head::new(method, target))
    }

    /// Starts a `GET` request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Starts a connection to a frontend with `mode = "tcp"`: it has no method, target or version.
    /// Its host is the server name.
    pub fn tcp() -> Self {
        let mut request = Self::new("", "");
        request.0.version = None;
        request
    }

    /// Adds a field line. The request's host is the value of the field `host`.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = (name.to_owned(), value.as_ref().to_vec());
        self.0.headers.push(line);
        self
    }

    /// Sets the HTTP version: `1.0`, `1.1`, `2` or `3`.
    pub fn version(mut self, version: &str) -> Self {
        self.0.version = Some(version.to_owned());
        self
    }

    /// Sets the scheme, as a trusted proxy's `X-Forwarded-Proto` does.
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.0.scheme);
        self
    }

    /// Sets the client's address and port. An empty address means a Unix socket.
    pub fn client(mut self, address: &str, port: u16) -> Self {
        address.clone_into(&mut self.0.client_address);
        self.0.client_port = port;
        self
    }

    /// Makes this a request over TLS, with the scheme `https`.
    pub fn tls(self) -> Self {
        self.scheme("https")
    }

    /// Makes this a request over TLS with this server name.
    pub fn server_name(mut self, name: &str) -> Self {
        self.0.server_name = Some(name.to_owned());
        self.tls()
    }

    /// Makes this a request over TLS with this ALPN protocol, for example `h2`.
    pub fn alpn(mut self, protocol: &str) -> Self {
        self.0.alpn = Some(protocol.to_owned());
        self.tls()
    }

    /// Makes this a request over TLS by a client with this verified certificate.
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.0.client_certificate = Some(certificate);
        self.tls()
    }

    /// Sets how many earlier decisions for this request have failed.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.0.attempt = attempt;
        self
    }

    /// Sets the body, which has arrived completely.
    pub fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.body = Some(Body {
            bytes: bytes.as_ref().to_vec(),
            is_complete: true,
        });
        self
    }

    /// Sets the part of a body that has arrived; the rest is still missing.
    pub fn body_prefix(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.body = Some(Body {
            bytes: bytes.as_ref().to_vec(),
            is_complete: false,
        });
        self
    }

    /// Puts the request into the shares with this salt, if the request has the part that the shares
    /// are about.
    ///
    /// By default, a request is only in shares of 1,000,000 per million.
    pub fn in_share(mut self, salt: &str) -> Self {
        self.0.shares.push(salt.to_owned());
        self
    }

    /// Builds the request.
    pub fn build(self) -> Request {
        Request::new(self.0)
    }
}

/// Returns the edits made to a request, in their order. An edit by a question contains the
/// question's answer.
pub fn edits(request: &Request) -> Vec<Edit> {
    request.head().edits()
}

/// Returns the edits made to the response, in their order.
pub fn response_edits(request: &Request) -> Vec<ResponseEdit> {
    request.head().response_edits()
}

/// Returns the options that were set.
pub fn options(request: &Request) -> Options {
    request.head().options()
}

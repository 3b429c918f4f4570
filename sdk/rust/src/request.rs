//! The request whose route is being decided, as plugins see it.
//!
//! Owns the typed reads, edits and options over a head that lies in the proxy, or in memory
//! under test. Reads and questions that cost a text cross the sandbox once.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::Duration;

use crate::Error;
use crate::head::Head;
use crate::questions::sealed;
use crate::questions::{Answer, Question, ValueQuestion};

/// A request head, read lazily: only what is asked for crosses into the sandbox.
///
/// Every read becomes part of the key under which the decision is cached. Read only what you
/// need; where a yes, a no or one of a few answers is enough, [`ask`](Self::ask) a question.
///
/// Field values are octets, which need not be UTF-8 (RFC 9110, section 5.5). Reads show the
/// request without edits. Edits and options take effect only if the decision is a backend, a
/// server, the default backend or [`Decision::Next`](crate::Decision::Next).
pub struct Request {
    head: Head,
    method: OnceCell<String>,
    host: OnceCell<String>,
    target: OnceCell<String>,
    path: OnceCell<String>,
}

impl Request {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            head,
            method: OnceCell::new(),
            host: OnceCell::new(),
            target: OnceCell::new(),
            path: OnceCell::new(),
        }
    }

    /// Asks a question that was defined in `configure`: see [`questions`](crate::questions).
    ///
    /// A [`Matcher`](crate::questions::Matcher) answers with the matching entry's value, a share
    /// or usability with a `bool`, a look-up or a value with octets.
    pub fn ask<'a, Q: Question>(&self, question: &'a Q) -> Answer<'a, Q> {
        sealed::Question::ask(question, &self.head)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

/// Reads.
impl Request {
    /// The method as sent, for example `GET` (RFC 9110, section 9).
    pub fn method(&self) -> &str {
        self.method.get_or_init(|| self.head.method())
    }

    /// `http` or `https`; a trusted proxy's `X-Forwarded-Proto` counts.
    pub fn scheme(&self) -> String {
        self.head.scheme()
    }

    /// `1.0`, `1.1`, `2` or `3`; none in a frontend with `mode = "tcp"`.
    pub fn version(&self) -> Option<String> {
        self.head.version()
    }

    /// Host as sent, with a port if it has one; empty if the client sent none (HTTP/1.0).
    pub fn authority(&self) -> Vec<u8> {
        self.head.authority()
    }

    /// The host of [`authority`](Self::authority): lower case, without port and trailing dot. In
    /// a frontend with `mode = "tcp"`, the server name of the TLS `ClientHello`.
    pub fn host(&self) -> &str {
        self.host.get_or_init(|| self.head.host())
    }

    /// The target in origin form, for example `/a?b=c`; `*` for `OPTIONS *` (RFC 9112,
    /// section 3.2).
    pub fn path_with_query(&self) -> &str {
        self.target.get_or_init(|| self.head.path_with_query())
    }

    /// The path alone, for example `/a`. Nothing is decoded.
    pub fn path(&self) -> &str {
        self.path.get_or_init(|| self.head.path())
    }

    /// What follows the first `?` of the target, for example `b=c`. Nothing is decoded.
    ///
    /// Reads the whole target: [`query_parameter`](Self::query_parameter) reads less.
    pub fn query(&self) -> Option<&str> {
        self.path_with_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// The first value of the query parameter `name`; `%XX` decoded once, `+` read as a blank.
    pub fn query_parameter(&self, name: &str) -> Option<Vec<u8>> {
        self.head.query_parameter(name)
    }

    /// The value of the first line of the field `name`, which matches in any case.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.header_lines(name).into_iter().next()
    }

    /// The value of the first line of the field `name` as text; none if there is no
    /// such line, or its value is not UTF-8.
    pub fn header_str(&self, name: &str) -> Option<String> {
        self.header(name)
            .and_then(|value| String::from_utf8(value).ok())
    }

    /// The value of every line of the field `name`, in the order received.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.head.header(name)
    }

    /// Every field line in the order received, names as sent.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.head.headers()
    }

    /// The value of the cookie `name`, whose case counts (RFC 6265, section 5.4).
    pub fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        self.head.cookie(name)
    }

    /// Address of the client: the peer, or the address given by PROXY protocol or by a trusted
    /// proxy. Text form of RFC 5952; IPv4-mapped IPv6 as IPv4; no zone and no port. Empty for a
    /// client on a Unix socket.
    pub fn client_address(&self) -> String {
        self.head.client_address()
    }

    /// [`client_address`](Self::client_address) as an address; none for a Unix socket.
    pub fn client_ip(&self) -> Option<IpAddr> {
        let address: IpAddr = self.client_address().parse().ok()?;
        Some(address.to_canonical())
    }

    /// Port of the peer, which differs for each connection; 0 for a Unix socket.
    pub fn client_port(&self) -> u16 {
        self.head.client_port()
    }

    /// Server name of the TLS session (SNI), in lower case; none without TLS at the proxy.
    pub fn server_name(&self) -> Option<String> {
        self.head.server_name()
    }

    /// Protocol agreed by ALPN, for example `h2`.
    pub fn alpn(&self) -> Option<String> {
        self.head.alpn()
    }

    /// Subject of the verified client certificate, a distinguished name (RFC 4514), for example
    /// `CN=example.com,O=Example`. None without TLS, or if the client presented no certificate.
    pub fn client_certificate_subject(&self) -> Option<String> {
        self.head.client_certificate_subject()
    }

    /// Issuer of the client certificate, a distinguished name. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_issuer(&self) -> Option<String> {
        self.head.client_certificate_issuer()
    }

    /// DNS names and URIs (SPIFFE, for example) of the client certificate, in its order. Empty
    /// without a certificate.
    pub fn client_certificate_names(&self) -> Vec<String> {
        self.head.client_certificate_names()
    }

    /// Serial number of the client certificate, in hex. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_serial(&self) -> Option<String> {
        self.head.client_certificate_serial()
    }

    /// SHA-256 of the client certificate, in hex. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_sha256(&self) -> Option<String> {
        self.head.client_certificate_sha256()
    }

    /// Until when the client certificate is valid, in seconds since 1970. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_not_after(&self) -> Option<u64> {
        self.head.client_certificate_not_after()
    }

    /// Number of choices for this request that failed before this call; 0 at first.
    pub fn attempt(&self) -> u32 {
        self.head.attempt()
    }

    /// The part of the body that had arrived; none unless the frontend waits for it
    /// (`routing.body`). A decision that reads it is not cached.
    pub fn body_prefix(&self) -> Option<Vec<u8>> {
        self.head.body_prefix()
    }

    /// Whether [`body_prefix`](Self::body_prefix) is the whole body.
    pub fn body_is_complete(&self) -> bool {
        self.head.body_is_complete()
    }
}

/// Edits of what the server receives, in the order made.
impl Request {
    /// Replaces every line of the field `name` by one with this value.
    ///
    /// # Errors
    /// HTTP does not allow the name or the value, or only the proxy may set the field
    /// ([`syntax::is_reserved`](crate::syntax::is_reserved)); `host` has
    /// [`set_authority`](Self::set_authority).
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.set_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Replaces every line of the field `name` by one with the answer to `question`; removes the
    /// field if there is no answer.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn set_header_by(&self, name: &str, question: &impl ValueQuestion) -> Result<(), Error> {
        let edited = self.head.set_header_by(name, question.number());
        edited.map_err(Error::new)
    }

    /// Adds one line after those that are there.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.append_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Removes every line of the field `name`.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn remove_header(&self, name: &str) -> Result<(), Error> {
        self.head.remove_header(name).map_err(Error::new)
    }

    /// Replaces the Host (HTTP/2: `:authority`) that the server sees.
    ///
    /// # Errors
    /// It is no host with an optional port (RFC 9110, section 7.2).
    pub fn set_authority(&self, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.head.set_authority(value.as_ref()).map_err(Error::new)
    }

    /// Replaces the target by another in origin form.
    ///
    /// # Errors
    /// HTTP does not allow the target, or it is too long. A client can send such targets: if the
    /// new one is made of the old one, answer with a response rather than by `?`.
    pub fn set_path_with_query(&self, value: &str) -> Result<(), Error> {
        self.head.set_path_with_query(value).map_err(Error::new)
    }

    /// Replaces the first `length` bytes of the path; the rest and the query stay.
    ///
    /// Done per request, so one cached decision serves every path below a prefix.
    ///
    /// # Errors
    /// HTTP does not allow the replacement in a path.
    pub fn replace_path_prefix(&self, length: usize, replacement: &str) -> Result<(), Error> {
        let length = u32::try_from(length)?;
        let edited = self.head.replace_path_prefix(length, replacement);
        edited.map_err(Error::new)
    }
}

/// Edits of the final response's head, whoever makes the response.
impl Request {
    /// Replaces every line of the response's field `name` by one with this value.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn set_response_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.set_response_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Adds one line to the response.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn append_response_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.append_response_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Removes every line of the response's field `name`.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn remove_response_header(&self, name: &str) -> Result<(), Error> {
        self.head.remove_response_header(name).map_err(Error::new)
    }
}

/// Options. Of several calls of one option the last counts.
impl Request {
    /// Sends requests with the same key to the same server while it is usable.
    pub fn set_affinity(&self, key: impl AsRef<[u8]>) {
        self.head.set_affinity(key.as_ref());
    }

    /// Sends requests with the same answer to `question` to the same server while it is usable.
    pub fn set_affinity_by(&self, question: &impl ValueQuestion) {
        self.head.set_affinity_by(question.number());
    }

    /// Longest wait for a free slot of the backend, in this request. Zero: none.
    pub fn set_queue_timeout(&self, timeout: Duration) {
        self.head.set_queue_timeout(milliseconds(timeout));
    }

    /// Longest time to connect to a server, in this request; above zero.
    pub fn set_connect_timeout(&self, timeout: Duration) {
        self.head.set_connect_timeout(milliseconds(timeout));
    }

    /// Longest silence of the server, in this request; above zero.
    pub fn set_server_timeout(&self, timeout: Duration) {
        self.head.set_server_timeout(milliseconds(timeout));
    }

    /// Longest silence of a tunnel that begins with this request; above zero.
    pub fn set_tunnel_timeout(&self, timeout: Duration) {
        self.head.set_tunnel_timeout(milliseconds(timeout));
    }

    /// How often the request may be sent in all, 1 to 16, where that is safe.
    pub fn set_tries(&self, tries: u32) {
        self.head.set_tries(tries);
    }

    /// A name and a value for the access record and the trace: at most 16 of 256 bytes.
    pub fn tag(&self, name: &str, value: &str) {
        self.head.tag(name, value);
    }

    /// The same with the answer to `question` as the value.
    pub fn tag_by(&self, name: &str, question: &impl ValueQuestion) {
        self.head.tag_by(name, question.number());
    }
}

/// Whole milliseconds, rounded up: 0 means something else than a little.
fn milliseconds(timeout: Duration) -> u32 {
    let rounded = timeout.as_nanos().div_ceil(1_000_000);
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

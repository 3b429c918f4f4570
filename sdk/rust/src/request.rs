//! The request whose route is being decided, as plugins see it.
//!
//! Owns the typed reads, edits and options. The head itself is in the proxy or, under test, in
//! memory. The method, host, target and path cross the sandbox boundary only once.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::Duration;

use crate::Error;
use crate::head::Head;
use crate::questions::sealed;
use crate::questions::{Answer, Question, ValueQuestion};

/// A request head, read lazily: only the parts that the plugin reads cross into the sandbox.
///
/// Every read becomes part of the key under which the decision is cached. Read only what you need.
/// If yes, no or one of a few values is enough, [`ask`](Self::ask) a question instead.
///
/// Field values are octets, which need not be UTF-8 (RFC 9110, section 5.5). Reads show the request
/// without edits. Edits and options take effect only if the decision is a backend, a server, the
/// default backend or [`Decision::Next`](crate::Decision::Next). Response edits and tags also apply
/// to a response that this or a later plugin makes.
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
    /// A [`Matcher`](crate::questions::Matcher) answers with the value of the matching entry, a
    /// share or a usability question with a `bool`, and a lookup or a value question with octets.
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
    /// Returns the method as sent, for example `GET` (RFC 9110, section 9). Empty without HTTP
    /// (`mode = "tcp"`).
    pub fn method(&self) -> &str {
        self.method.get_or_init(|| self.head.method())
    }

    /// Returns the scheme: `http` or `https`. If a trusted proxy sends `X-Forwarded-Proto`, its
    /// value is used.
    pub fn scheme(&self) -> String {
        self.head.scheme()
    }

    /// Returns the HTTP version: `1.0`, `1.1`, `2` or `3`. None without HTTP (`mode = "tcp"`).
    pub fn version(&self) -> Option<String> {
        self.head.version()
    }

    /// Returns the authority as sent: the host, with the port if there is one. The scheme's default
    /// port is left out if the authority comes from an absolute target or from `:authority`. Empty
    /// without HTTP, or if the client sent no authority (HTTP/1.0).
    pub fn authority(&self) -> Vec<u8> {
        self.head.authority()
    }

    /// Returns the host of [`authority`](Self::authority), in lower case, without port or trailing
    /// dot. Without HTTP (`mode = "tcp"`), returns the server name of the TLS `ClientHello`.
    pub fn host(&self) -> &str {
        self.host.get_or_init(|| self.head.host())
    }

    /// Returns the target in origin form, for example `/a?b=c`; `*` for `OPTIONS *` (RFC 9112,
    /// section 3.2). Nothing is decoded.
    pub fn path_with_query(&self) -> &str {
        self.target.get_or_init(|| self.head.path_with_query())
    }

    /// Returns the path as sent, without the query. Nothing is decoded.
    pub fn path(&self) -> &str {
        self.path.get_or_init(|| self.head.path())
    }

    /// Returns the text after the first `?` of the target, for example `b=c`; none if there is no
    /// `?`. Nothing is decoded.
    ///
    /// Reads the whole target; [`query_parameter`](Self::query_parameter) reads less.
    pub fn query(&self) -> Option<&str> {
        self.path_with_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// Returns the first value of the query parameter `name`; none if there is no such parameter.
    /// `%XX` is decoded once, and `+` is read as a space.
    pub fn query_parameter(&self, name: &str) -> Option<Vec<u8>> {
        self.head.query_parameter(name)
    }

    /// Returns the value of the first line of the field `name`; none if there is no such line. The
    /// name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.header_lines(name).into_iter().next()
    }

    /// Like [`header`](Self::header), but returns text; also none if the value is not UTF-8.
    pub fn header_str(&self, name: &str) -> Option<String> {
        self.header(name)
            .and_then(|value| String::from_utf8(value).ok())
    }

    /// Returns the value of every line of the field `name`, in the order received.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.head.header(name)
    }

    /// Returns every field line in the order received, with names as sent.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.head.headers()
    }

    /// Returns the value of the cookie `name`; none if there is no such cookie. The name is
    /// case-sensitive (RFC 6265, section 5.4).
    pub fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        self.head.cookie(name)
    }

    /// Returns the client's address: that of the peer, or the one given by the PROXY protocol or by
    /// a trusted proxy. It is in the text form of RFC 5952, without zone or port; an IPv4-mapped
    /// IPv6 address is given as IPv4. Empty for a client on a Unix socket.
    pub fn client_address(&self) -> String {
        self.head.client_address()
    }

    /// Returns [`client_address`](Self::client_address) as an IP address; none for a Unix socket.
    pub fn client_ip(&self) -> Option<IpAddr> {
        let address: IpAddr = self.client_address().parse().ok()?;
        Some(address.to_canonical())
    }

    /// Returns the port of the peer, which differs for each connection. 0 for a client on a Unix
    /// socket, or if a trusted proxy gives the client's address.
    pub fn client_port(&self) -> u16 {
        self.head.client_port()
    }

    /// Returns the server name of the TLS session (SNI), in lower case. None if the proxy does not
    /// terminate TLS, or if the client sent no name.
    pub fn server_name(&self) -> Option<String> {
        self.head.server_name()
    }

    /// Returns the protocol negotiated by ALPN, for example `h2`; none if no protocol was
    /// negotiated.
    pub fn alpn(&self) -> Option<String> {
        self.head.alpn()
    }

    /// Returns the subject of the verified client certificate, a distinguished name (RFC 4514), for
    /// example `CN=example.com,O=Example`. None without TLS, or if the client presented no
    /// certificate.
    pub fn client_certificate_subject(&self) -> Option<String> {
        self.head.client_certificate_subject()
    }

    /// Returns the issuer of the verified client certificate, a distinguished name (RFC 4514). None
    /// without a certificate.
    pub fn client_certificate_issuer(&self) -> Option<String> {
        self.head.client_certificate_issuer()
    }

    /// Returns the DNS names and URIs (SPIFFE IDs, for example) of the verified client certificate,
    /// in the order of the certificate. Empty without a certificate.
    pub fn client_certificate_names(&self) -> Vec<String> {
        self.head.client_certificate_names()
    }

    /// Returns the serial number of the verified client certificate, in hex. None without a
    /// certificate.
    pub fn client_certificate_serial(&self) -> Option<String> {
        self.head.client_certificate_serial()
    }

    /// Returns the SHA-256 of the verified client certificate, in hex. None without a certificate.
    pub fn client_certificate_sha256(&self) -> Option<String> {
        self.head.client_certificate_sha256()
    }

    /// Returns the time at which the verified client certificate expires, in seconds since 1970.
    /// None without a certificate.
    pub fn client_certificate_not_after(&self) -> Option<u64> {
        self.head.client_certificate_not_after()
    }

    /// Returns how many decisions for this request have failed before this call; 0 on the first
    /// call.
    pub fn attempt(&self) -> u32 {
        self.head.attempt()
    }

    /// Returns the part of the body that had arrived when `route` was called; none unless the
    /// frontend waits for the body (`routing.body`). A decision that reads it is not cached.
    pub fn body_prefix(&self) -> Option<Vec<u8>> {
        self.head.body_prefix()
    }

    /// Reports whether [`body_prefix`](Self::body_prefix) is the whole body.
    pub fn body_is_complete(&self) -> bool {
        self.head.body_is_complete()
    }
}

/// Edits of the request that the server receives, in the order made.
impl Request {
    /// Replaces every line of the field `name` with one line that has this value.
    ///
    /// # Errors
    /// HTTP does not allow the name or the value, only the proxy may set the field
    /// ([`syntax::is_reserved`](crate::syntax::is_reserved)), or the edits of the request exceed 64
    /// KiB in total. For `host`, use [`set_authority`](Self::set_authority).
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.set_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Like [`set_header`](Self::set_header), with the answer to `question` as the value. Removes
    /// the field if there is no answer, or if HTTP does not allow the answer as a field value.
    ///
    /// # Errors
    /// Same as [`set_header`](Self::set_header).
    pub fn set_header_by(&self, name: &str, question: &impl ValueQuestion) -> Result<(), Error> {
        let edited = self.head.set_header_by(name, question.number());
        edited.map_err(Error::new)
    }

    /// Adds one line of the field `name`, after any existing lines.
    ///
    /// # Errors
    /// Same as [`set_header`](Self::set_header).
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.append_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Removes every line of the field `name`.
    ///
    /// # Errors
    /// Same as [`set_header`](Self::set_header).
    pub fn remove_header(&self, name: &str) -> Result<(), Error> {
        self.head.remove_header(name).map_err(Error::new)
    }

    /// Replaces the Host (HTTP/2: `:authority`) that the server sees.
    ///
    /// # Errors
    /// The value is not a host with an optional port (RFC 9110, section 7.2).
    pub fn set_authority(&self, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.head.set_authority(value.as_ref()).map_err(Error::new)
    }

    /// Replaces the target with another one in origin form, for example `/a?b=c`.
    ///
    /// # Errors
    /// HTTP does not allow the target, or it is too long. A client can cause this error if the new
    /// target is built from the old one: in that case, return a response instead of propagating the
    /// error with `?`.
    pub fn set_path_with_query(&self, value: &str) -> Result<(), Error> {
        self.head.set_path_with_query(value).map_err(Error::new)
    }

    /// Replaces the first `length` bytes of the path; the rest of the path and the query stay
    /// unchanged.
    ///
    /// The proxy does this for each request, so one cached decision serves every path below a
    /// prefix. The new path begins with `/`; the proxy adds the slash if it is missing.
    ///
    /// # Errors
    /// HTTP does not allow the replacement in a path.
    pub fn replace_path_prefix(&self, length: usize, replacement: &str) -> Result<(), Error> {
        let length = u32::try_from(length)?;
        let edited = self.head.replace_path_prefix(length, replacement);
        edited.map_err(Error::new)
    }
}

/// Edits of the head of the final response, whether a server, a plugin or the proxy itself makes
/// it.
impl Request {
    /// Replaces every line of the field `name` in the final response with one line that has this
    /// value.
    ///
    /// # Errors
    /// Same as [`set_header`](Self::set_header).
    pub fn set_response_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.set_response_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Adds one line of the field `name` to the final response.
    ///
    /// # Errors
    /// Same as [`set_header`](Self::set_header).
    pub fn append_response_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let edited = self.head.append_response_header(name, value.as_ref());
        edited.map_err(Error::new)
    }

    /// Removes every line of the field `name` from the final response.
    ///
    /// # Errors
    /// Same as [`set_header`](Self::set_header).
    pub fn remove_response_header(&self, name: &str) -> Result<(), Error> {
        self.head.remove_response_header(name).map_err(Error::new)
    }
}

/// Options. If an option is set several times, the last call counts.
impl Request {
    /// Sends requests with the same key to the same server while that server is usable. Only the
    /// first 4 KiB of the key count.
    pub fn set_affinity(&self, key: impl AsRef<[u8]>) {
        self.head.set_affinity(key.as_ref());
    }

    /// Like [`set_affinity`](Self::set_affinity), with the answer to `question` as the key.
    pub fn set_affinity_by(&self, question: &impl ValueQuestion) {
        self.head.set_affinity_by(question.number());
    }

    /// Sets the longest wait for a free slot, in place of the backend's `timeout.queue`. 0 means
    /// not to wait.
    pub fn set_queue_timeout(&self, timeout: Duration) {
        self.head.set_queue_timeout(milliseconds(timeout));
    }

    /// Sets the longest time to connect to a server, in place of the backend's `timeout.connect`.
    /// Must be above 0.
    pub fn set_connect_timeout(&self, timeout: Duration) {
        self.head.set_connect_timeout(milliseconds(timeout));
    }

    /// Sets how long the server can be silent, in place of the backend's `timeout.server`. Must be
    /// above 0.
    pub fn set_server_timeout(&self, timeout: Duration) {
        self.head.set_server_timeout(milliseconds(timeout));
    }

    /// Sets how long a tunnel that starts with this request can be silent, in place of the
    /// backend's `timeout.tunnel`. Must be above 0.
    pub fn set_tunnel_timeout(&self, timeout: Duration) {
        self.head.set_tunnel_timeout(milliseconds(timeout));
    }

    /// Sets how many times the request can be sent in total, 1 to 16. The request is sent again
    /// only if that is safe.
    pub fn set_tries(&self, tries: u32) {
        self.head.set_tries(tries);
    }

    /// Adds a name and a value to the access log record and to the trace, but never to a metric's
    /// labels. A request can have at most 16 tags. A value is truncated to 256 bytes.
    pub fn tag(&self, name: &str, value: &str) {
        self.head.tag(name, value);
    }

    /// Like [`tag`](Self::tag), with the answer to `question` as the value.
    pub fn tag_by(&self, name: &str, question: &impl ValueQuestion) {
        self.head.tag_by(name, question.number());
    }
}

/// Converts to whole milliseconds, rounded up, since a timeout of 0 has a special meaning.
fn milliseconds(timeout: Duration) -> u32 {
    let rounded = timeout.as_nanos().div_ceil(1_000_000);
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

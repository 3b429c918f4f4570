//! Arguments and results of a plugin, in the host's own types.
//!
//! Plain values: no wasmtime type, no I/O. Made by `convert` and `host`, read by the
//! router, its decision cache and `pointsman route`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::http::edit::Edit;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::{RequestHead, ResponseHead, Version};

/// Most reads of one call that are recorded; with more, the decision is not cacheable.
///
/// A routing policy reads a handful of fields. The bound keeps a hostile guest from
/// filling memory, and the decision cache's paths short.
pub const MAX_READS: usize = 256;

/// Most bytes of the names of fields in the reads that are recorded.
const MAX_NAME_BYTES: usize = 64 * 1024;

/// A backend's identity: its name. It stays the same when a reload changes the backend's
/// servers or settings, or its position in the file.
pub type BackendName = Arc<str>;

/// A request, as far as a plugin can read it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its head, of which the plugin sees the forwarded lines. Moved into the sandbox while a
    /// plugin runs; afterwards as it was.
    pub head: &'a mut RequestHead,
    /// Its sender.
    pub client: &'a Arc<Client>,
    /// Of the connection that it came over; None without TLS.
    pub tls: Option<&'a Arc<TlsFacts>>,
    /// How many backends were tried before: 0 at first.
    pub attempt: u32,
    /// Its number in the log; None for one that nobody sent.
    pub id: Option<u64>,
}

/// The proxy's backends, as far as a plugin may know of them.
pub trait Backends: Send + Sync + fmt::Debug {
    /// The identity of the backend with this name; None if the configuration has none.
    fn find(&self, name: &str) -> Option<BackendName>;
    /// Its present load; None as for [`find`](Self::find).
    fn state(&self, name: &str) -> Option<BackendState>;
    /// How many servers it has, usable or not; None as for [`find`](Self::find).
    fn servers(&self, name: &str) -> Option<u32>;
}

/// Load of one backend at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendState {
    /// Servers that are up and accept requests.
    pub usable_servers: u32,
    /// Requests and tunnels in progress, over all servers.
    pub active: u32,
    /// Requests that wait for a free slot.
    pub queued: u32,
}

/// Whether decisions of an instance may be reused, as its `configure` answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cacheability {
    /// A decision follows from the reads recorded in [`Reads`] alone.
    Cacheable,
    /// Each decision must be made afresh.
    Uncacheable,
}

/// A plugin's decision about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where the request goes.
    pub route: Route,
    /// Changes to the head that the backend receives; none with [`Route::Respond`].
    pub edits: Edits,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A backend, as [`Backends::find`] named it.
    Backend(BackendName),
    /// The frontend's `default_backend`.
    Default,
    /// No backend: the plugin's own answer.
    Respond(Response),
}

/// A plugin's own answer: valid as HTTP, and without any field that frames a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// In the order given. No connection, framing or upgrade fields.
    pub fields: Vec<FieldLine>,
    /// Empty for 204, 205 and 304.
    pub body: Bytes,
}

/// A field line of a plugin's own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLine {
    /// In lower case, as every version of HTTP has it.
    pub name: Box<[u8]>,
    /// Without blanks at its ends.
    pub value: Box<[u8]>,
}

impl Response {
    /// The value of each line of the field `name`, in any case, in order.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lines = self.fields.iter();
        lines
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(|line| &*line.value)
    }

    /// Makes `head` that of this answer, with the reason phrase that the caller has for the
    /// status.
    pub fn write_head(&self, reason: &[u8], head: &mut ResponseHead) {
        head.start(self.status, reason, Version::Http11);
        for FieldLine { name, value } in &self.fields {
            head.fields_mut().push(name, value);
        }
    }
}

/// Changes to a request's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Of all fields but Host, in the order made.
    pub fields: Vec<Edit>,
    /// Replaces Host. One host with an optional port, not empty.
    pub host: Option<Box<[u8]>>,
    /// Replaces the target. Origin form, ASCII without blanks and `#`.
    pub target: Option<Box<[u8]>>,
}

impl Edits {
    /// Whether the head stays as it is.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.host.is_none() && self.target.is_none()
    }

    /// Each of them for people: Host first, the target last.
    pub fn describe(&self) -> Vec<String> {
        let host = self.host.as_deref().map(<[u8]>::escape_ascii);
        let target = self.target.as_deref().map(<[u8]>::escape_ascii);
        let host = host.map(|host| format!("set host: {host}"));
        let target = target.map(|target| format!("path-with-query {target}"));
        let fields = self.fields.iter().map(Edit::to_string);
        host.into_iter().chain(fields).chain(target).collect()
    }
}

/// The reads of a plugin during one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// Each read once, in the order of first use. Which one comes next may depend on
    /// the values of those before it, and on nothing else of the request.
    pub reads: Vec<Read>,
    /// False once the guest asked for a backend's state, a clock or random numbers, or
    /// made more than [`MAX_READS`] different reads, or of fields whose names are longer than 64 KiB
    /// together: `reads` does not explain the decision then.
    pub cacheable: bool,
}

/// One read of a request head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Read {
    /// `method`
    Method,
    /// `scheme`
    Scheme,
    /// `version`
    Version,
    /// `path-with-query`
    PathWithQuery,
    /// `header`: every value of this field, whose name is in lower case.
    Header(Box<str>),
    /// `headers`: every field line.
    Headers,
    /// `client`
    Client,
    /// `tls`
    Tls,
    /// `client-certificate-subject`
    CertificateSubject,
    /// `client-certificate-issuer`
    CertificateIssuer,
    /// `client-certificate-names`
    CertificateNames,
    /// `client-certificate-serial`
    CertificateSerial,
    /// `client-certificate-sha256`
    CertificateSha256,
    /// `client-certificate-not-after`
    CertificateNotAfter,
    /// `attempt`
    Attempt,
}

impl Read {
    fn name_bytes(&self) -> usize {
        match self {
            Read::Header(name) => name.len(),
            _ => 0,
        }
    }
}

impl fmt::Display for Read {
    /// As the contract calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Read::Method => f.write_str("method"),
            Read::Scheme => f.write_str("scheme"),
            Read::Version => f.write_str("version"),
            Read::PathWithQuery => f.write_str("path-with-query"),
            Read::Header(name) => write!(f, "header {name}"),
            Read::Headers => f.write_str("headers"),
            Read::Client => f.write_str("client"),
            Read::Tls => f.write_str("tls"),
            Read::CertificateSubject => f.write_str("client-certificate-subject"),
            Read::CertificateIssuer => f.write_str("client-certificate-issuer"),
            Read::CertificateNames => f.write_str("client-certificate-names"),
            Read::CertificateSerial => f.write_str("client-certificate-serial"),
            Read::CertificateSha256 => f.write_str("client-certificate-sha256"),
            Read::CertificateNotAfter => f.write_str("client-certificate-not-after"),
            Read::Attempt => f.write_str("attempt"),
        }
    }
}

impl Default for Reads {
    fn default() -> Self {
        Reads {
            reads: Vec::new(),
            cacheable: true,
        }
    }
}

impl Reads {
    /// Forgets every read; keeps the allocation.
    pub fn clear(&mut self) {
        self.reads.clear();
        self.cacheable = true;
    }

    pub(super) fn record(&mut self, read: Read) {
        if self.reads.contains(&read) {
            return;
        }
        let names = self.reads.iter().chain([&read]).map(Read::name_bytes);
        if self.reads.len() == MAX_READS || names.sum::<usize>() > MAX_NAME_BYTES {
            self.cacheable = false;
            return;
        }
        self.reads.push(read);
    }

    pub(super) fn forbid_caching(&mut self) {
        self.cacheable = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_for_people() {
        let edits = Edits {
            fields: vec![
                Edit::remove(b"x-a").unwrap(),
                Edit::set(b"x-b", b"c").unwrap(),
            ],
            host: Some((*b"a:1").into()),
            target: Some((*b"/d").into()),
        };
        let expected = [
            "set host: a:1",
            "remove x-a",
            "set x-b: c",
            "path-with-query /d",
        ];
        assert_eq!(edits.describe(), expected);
        assert!(!edits.is_empty() && Edits::default().is_empty());
    }

    #[test]
    fn a_response_as_a_head() {
        let line = |value: &[u8]| FieldLine {
            name: (*b"set-cookie").into(),
            value: value.into(),
        };
        let response = Response {
            status: 429,
            fields: vec![line(b"a"), line(b"b")],
            body: Bytes::new(),
        };
        assert_eq!(
            response.values(b"Set-Cookie").collect::<Vec<_>>(),
            [b"a", b"b"]
        );
        let mut head = ResponseHead::default();
        response.write_head(b"Too Many Requests", &mut head);
        assert_eq!(
            (head.status(), head.reason()),
            (429, &b"Too Many Requests"[..])
        );
        assert_eq!(head.fields().values(b"set-cookie").count(), 2);
    }

    #[test]
    fn a_read_is_recorded_once_and_in_order() {
        let mut reads = Reads::default();
        reads.record(Read::Method);
        reads.record(Read::Header("host".into()));
        reads.record(Read::Method);
        assert_eq!(reads.reads, [Read::Method, Read::Header("host".into())]);
        assert!(reads.cacheable);
    }

    #[test]
    fn too_many_reads_end_caching_and_recording() {
        let mut reads = Reads::default();
        for index in 0..=MAX_READS {
            assert!(reads.cacheable);
            reads.record(Read::Header(format!("x-{index}").into()));
        }
        assert!(!reads.cacheable);
        assert_eq!(reads.reads.len(), MAX_READS);
        reads.clear();
        reads.record(Read::Header("a".repeat(MAX_NAME_BYTES).into()));
        assert!(reads.cacheable);
        reads.record(Read::Header("b".into()));
        assert!(!reads.cacheable);
        assert_eq!(reads.reads.len(), 1);
        reads.clear();
        assert_eq!(reads, Reads::default());
    }
}

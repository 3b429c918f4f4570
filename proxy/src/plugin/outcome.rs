//! What goes in and out of a plugin, in the host's own types.
//!
//! Plain values: no wasmtime type, no I/O. Made by `convert` and `host`, read by the
//! router, its decision cache and `pointsman route`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Most reads of one call that are recorded; with more, the decision is not cacheable.
///
/// A routing policy reads a handful of fields. The bound keeps a hostile guest from
/// filling memory, and the decision cache's paths short.
pub const MAX_READS: usize = 256;

/// A backend's identity: its name. It stays the same when a reload changes the backend's
/// servers or settings, or its position in the file.
pub type BackendName = Arc<str>;

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

/// What a plugin decided about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the request goes.
    pub decision: Decision,
    /// Changes to the head that the backend receives, in the order made; empty with
    /// [`Decision::Respond`].
    pub edits: Vec<Edit>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
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
    pub status: StatusCode,
    /// No connection, framing or upgrade fields.
    pub headers: HeaderMap,
    /// Empty for 204, 205 and 304.
    pub body: Bytes,
}

/// One change to a request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Replace every line of the field by one.
    Set(HeaderName, HeaderValue),
    /// Add one line after those that are there.
    Append(HeaderName, HeaderValue),
    /// Remove every line of the field.
    Remove(HeaderName),
    /// Replace the target, origin form.
    Target(PathAndQuery),
}

impl fmt::Display for Edit {
    /// For people; values that are no text are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Set(name, value) => {
                write!(f, "set {name}: {}", value.as_bytes().escape_ascii())
            }
            Edit::Append(name, value) => {
                write!(f, "append {name}: {}", value.as_bytes().escape_ascii())
            }
            Edit::Remove(name) => write!(f, "remove {name}"),
            Edit::Target(target) => write!(f, "path-with-query {target}"),
        }
    }
}

/// What a plugin read of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// Each read once, in the order of first use. Which one comes next may depend on
    /// the values of those before it, and on nothing else of the request.
    pub reads: Vec<Read>,
    /// False once the guest asked for a backend's state, a clock or random numbers, or
    /// made more than [`MAX_READS`] different reads: `reads` does not explain the
    /// decision then.
    pub cacheable: bool,
}

/// One read of a request head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Read {
    /// `method`
    Method,
    /// `scheme`
    Scheme,
    /// `path-with-query`
    PathWithQuery,
    /// `header`: every value of this field.
    Header(HeaderName),
    /// `headers`: every field line.
    Headers,
    /// `client`
    Client,
    /// `tls`
    Tls,
    /// `attempt`
    Attempt,
}

impl fmt::Display for Read {
    /// As the contract calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Read::Method => f.write_str("method"),
            Read::Scheme => f.write_str("scheme"),
            Read::PathWithQuery => f.write_str("path-with-query"),
            Read::Header(name) => write!(f, "header {name}"),
            Read::Headers => f.write_str("headers"),
            Read::Client => f.write_str("client"),
            Read::Tls => f.write_str("tls"),
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
        if self.reads.len() == MAX_READS {
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
    fn a_read_is_recorded_once_and_in_order() {
        let mut reads = Reads::default();
        reads.record(Read::Method);
        reads.record(Read::Header(http::header::HOST));
        reads.record(Read::Method);
        assert_eq!(
            reads.reads,
            [Read::Method, Read::Header(http::header::HOST)]
        );
        assert!(reads.cacheable);
    }

    #[test]
    fn too_many_reads_end_caching_and_recording() {
        let mut reads = Reads::default();
        for index in 0..=MAX_READS {
            assert!(reads.cacheable);
            let name = HeaderName::from_bytes(format!("x-{index}").as_bytes()).unwrap();
            reads.record(Read::Header(name));
        }
        assert!(!reads.cacheable);
        assert_eq!(reads.reads.len(), MAX_READS);
        reads.clear();
        assert_eq!(reads, Reads::default());
    }
}

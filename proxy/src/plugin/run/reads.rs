//! Values that a plugin reads from a request: the cache key of its decision.

use std::fmt;

/// Maximum number of recorded reads of one call; with more, the decision is not cacheable.
///
/// A routing policy reads a handful of fields. The limit keeps a hostile guest from filling memory,
/// and keeps the decision cache's paths short.
pub const MAX_READS: usize = 256;

/// Maximum number of bytes of the names of fields, cookies and parameters in the recorded reads.
const MAX_NAME_BYTES: usize = 64 * 1024;

/// Whether decisions of an instance can be reused, as returned by its `configure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cacheability {
    /// A decision depends only on the reads recorded in [`Reads`].
    Cacheable,
    /// Every request needs a new decision.
    Uncacheable,
}

/// The reads of a plugin during one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// Distinct reads, in the order of first use. Which read comes next depends only on the values
    /// read before it, and on nothing else in the request.
    pub reads: Vec<Read>,
    /// Whether the values in `reads` fully determine the decision. False once the guest has read a
    /// backend's state, the body, a clock or random numbers. Also false after more than
    /// [`MAX_READS`] different reads, or if their names exceed 64 KiB in total.
    pub cacheable: bool,
}

/// One read of a request head, as the contract names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Read {
    /// `method`
    Method,
    /// `scheme`
    Scheme,
    /// `version`
    Version,
    /// `authority`
    Authority,
    /// `host`
    Host,
    /// `path-with-query`
    PathWithQuery,
    /// `path`
    Path,
    /// `query-parameter`
    QueryParameter(Box<str>),
    /// `header`: every value of the field with this name, which is in lower case.
    Header(Box<str>),
    /// `headers`: every field line.
    Headers,
    /// `cookie`
    Cookie(Box<str>),
    /// `client-address`
    ClientAddress,
    /// `client-port`
    ClientPort,
    /// `server-name`
    ServerName,
    /// `alpn`
    Alpn,
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
    /// The answer to the question with this number: `ask`, `ask-value`.
    Question(u32),
}

impl Read {
    /// Returns the name that the guest passed with the read; empty for most reads.
    pub fn name(&self) -> &str {
        match self {
            Read::Header(name) | Read::Cookie(name) | Read::QueryParameter(name) => name,
            _ => "",
        }
    }

    fn function(&self) -> &'static str {
        match self {
            Read::Method => "method",
            Read::Scheme => "scheme",
            Read::Version => "version",
            Read::Authority => "authority",
            Read::Host => "host",
            Read::PathWithQuery => "path-with-query",
            Read::Path => "path",
            Read::QueryParameter(_) => "query-parameter",
            Read::Header(_) => "header",
            Read::Headers => "headers",
            Read::Cookie(_) => "cookie",
            Read::ClientAddress => "client-address",
            Read::ClientPort => "client-port",
            Read::ServerName => "server-name",
            Read::Alpn => "alpn",
            Read::CertificateSubject => "client-certificate-subject",
            Read::CertificateIssuer => "client-certificate-issuer",
            Read::CertificateNames => "client-certificate-names",
            Read::CertificateSerial => "client-certificate-serial",
            Read::CertificateSha256 => "client-certificate-sha256",
            Read::CertificateNotAfter => "client-certificate-not-after",
            Read::Attempt => "attempt",
            Read::Question(_) => "question",
        }
    }
}

impl fmt::Display for Read {
    /// Formats the read as the contract names it, followed by its name or number if it has one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function())?;
        match self {
            Read::Question(number) => write!(f, " {number}"),
            _ if self.name().is_empty() => Ok(()),
            _ => write!(f, " {}", self.name()),
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
    /// Removes every read; keeps the allocation.
    pub fn clear(&mut self) {
        self.reads.clear();
        self.cacheable = true;
    }

    pub(super) fn record(&mut self, read: Read) {
        if self.reads.contains(&read) {
            return;
        }
        let names = self.reads.iter().chain([&read]);
        let name_bytes: usize = names.map(|read| read.name().len()).sum();
        if self.reads.len() == MAX_READS || name_bytes > MAX_NAME_BYTES {
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
        reads.record(Read::Cookie("a".repeat(MAX_NAME_BYTES).into()));
        assert!(reads.cacheable);
        reads.record(Read::Header("b".into()));
        assert!(!reads.cacheable);
        assert_eq!(reads.reads.len(), 1);
        reads.clear();
        assert_eq!(reads, Reads::default());
    }

    #[test]
    fn reads_are_described_for_people() {
        let check = |read: Read, expected: &str| assert_eq!(read.to_string(), expected);
        check(Read::PathWithQuery, "path-with-query");
        check(Read::Cookie("a".into()), "cookie a");
        check(Read::Question(3), "question 3");
    }
}

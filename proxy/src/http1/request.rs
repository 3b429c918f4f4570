//! Parses request heads, and admits those that no two servers read in two ways.

use httparse::Error;
use thiserror::Error;

use super::body::BodyLength;
use super::framing::{self, FramingError, LengthLists};
pub use super::options::pass_te;
use super::options::{self, ConnectionOptions};
use super::target::{self, TargetError};
use super::upgrade::{self, Upgrade, UpgradeError};
use super::{Limits, Persistence, Progress, Scan, TooManyOptions, lines};
use crate::http::field::FieldKind;
use crate::http::fields::Forwarding;
use crate::http::message::{RequestHead, Version};

/// Why a request is refused. Answered 400 (RFC 9112) unless said otherwise, and the
/// connection is closed: the start of its next request is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not a request line, or not one of HTTP/1.
    #[error("invalid request line")]
    RequestLine,
    /// A version of HTTP other than 1.0 and 1.1.
    #[error("unsupported version of HTTP")]
    UnsupportedVersion,
    /// The connection preface of HTTP/2 (RFC 9113, section 3.4) on an HTTP/1 connection.
    /// Such a client understands no answer in HTTP/1.
    #[error("HTTP/2 preface on an HTTP/1 connection")]
    Http2Preface,
    /// The request line alone is larger than a head may be: answered 414 (RFC 9110, section
    /// 15.5.15).
    #[error("request line too long")]
    TargetTooLong,
    /// Larger than [`Limits::max_header_size`]: answered 431 (RFC 6585, section 5).
    #[error("head too large")]
    HeadTooLarge,
    /// More lines than [`Limits::max_headers`]: answered 431.
    #[error("too many fields")]
    TooManyFields,
    /// Not a field name, or something other than a colon behind it.
    #[error("invalid field name")]
    FieldName,
    /// A control character in a value.
    #[error("invalid field value")]
    FieldValue,
    /// A bare CR, or something else that ends no line.
    #[error("invalid line end")]
    LineEnd,
    /// See [`TooManyOptions`].
    #[error(transparent)]
    Options(#[from] TooManyOptions),
    /// See [`TargetError`]; [`TargetError::Connect`] is answered 405.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// See [`FramingError`]; [`FramingError::UnknownCoding`] is answered 501.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// See [`UpgradeError::Request`].
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
}

/// Whether the client waits for `100 Continue` before it sends its body (RFC 9110, section
/// 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It waits.
    Continue,
    /// It does not. An expectation that is not known here is the server's to meet or refuse.
    None,
}

/// Framing and connection properties of a request; the rest is in its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Bytes of the buffer that the head takes, empty lines before it included. 0 in HTTP/2.
    pub consumed: usize,
    /// How the body is framed; never [`BodyLength::UntilClose`].
    pub body: BodyLength,
    /// Whether the client can send a further request.
    pub persistence: Persistence,
    /// Whether the body has to be asked for.
    pub expectation: Expectation,
    /// The upgrade to pass on.
    pub upgrade: Option<Upgrade>,
}

/// Parses and admits the head at the start of `buffer`. The head's forwarded lines are then
/// those for the next hop: hop-by-hop fields and those that `Connection` names are kept
/// back, but for `TE: trailers` and an upgrade that is passed on.
///
/// After [`Progress::Complete`] `head` holds the request. After an error it holds as much as
/// was understood, for the log: all of a complete head, or nothing. Allocates nothing if
/// `head` has been used before and the message has no more than 64 lines.
///
/// # Errors
/// [`RequestError`].
#[inline]
pub fn parse(
    buffer: &[u8],
    limits: &Limits,
    scan: &mut Scan,
    head: &mut RequestHead,
) -> Result<Progress<Parsed>, RequestError> {
    if !scan.is_due(buffer, limits.max_header_size) {
        return Ok(Progress::Partial { skip: 0 });
    }
    // Bytes behind the limit do not matter: a head that needs them is too large.
    let window = &buffer[..buffer.len().min(limits.max_header_size)];
    match lines::request(window, limits, head) {
        Ok(Some(consumed)) => {
            *scan = Scan::default();
            admit(consumed, head).map(Progress::Complete)
        }
        Ok(None) => {
            let skip = lines::empty_lines(window);
            if window.len() - skip < limits.max_header_size {
                return Ok(scan.partial(buffer, skip));
            }
            *scan = Scan::default();
            head.clear();
            Err(too_large(window))
        }
        Err(error) => {
            *scan = Scan::default();
            head.clear();
            Err(refusal(error, window))
        }
    }
}

#[inline]
fn admit(consumed: usize, head: &mut RequestHead) -> Result<Parsed, RequestError> {
    target::resolve(head)?;
    let version = head.version();
    let fields = head.fields_mut();
    let options = options::apply(fields)?;
    options::pass_te(fields);
    let declared = framing::declared(fields, version, LengthLists::Refused)?;
    let body = declared.length;
    let expectation = expectation(head, body);
    let upgrade = if options.upgrade && version == Version::Http11 {
        let body = if body.is_empty() {
            upgrade::RequestBody::Empty
        } else {
            upgrade::RequestBody::Present
        };
        upgrade::request(head, body)?
    } else {
        None
    };
    let persistence = if declared.is_contradictory {
        Persistence::Close
    } else {
        persistence(options, version)
    };
    Ok(Parsed {
        consumed,
        body,
        persistence,
        expectation,
        upgrade,
    })
}

/// RFC 9112, section 9.3.
fn persistence(options: ConnectionOptions, version: Version) -> Persistence {
    let by_version = version != Version::Http10 || options.keep_alive;
    if by_version && !options.close {
        Persistence::KeepAlive
    } else {
        Persistence::Close
    }
}

/// Whether the client waits for `100 Continue` before it sends `body`.
#[inline]
pub fn expectation(head: &mut RequestHead, body: BodyLength) -> Expectation {
    if head.fields().has(FieldKind::Expect) {
        read_expectation(head, body)
    } else {
        Expectation::None
    }
}

#[cold]
fn read_expectation(head: &mut RequestHead, body: BodyLength) -> Expectation {
    if head.version() == Version::Http10 {
        // Not a field of HTTP/1.0: ignored, and not passed on (RFC 9110, section 10.1.1).
        head.fields_mut()
            .set_forwarding(FieldKind::Expect, Forwarding::Drop);
        return Expectation::None;
    }
    let mut values = head.fields().values_of(FieldKind::Expect);
    let is_continue = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    if !body.is_empty() && values.next().is_some_and(is_continue) {
        Expectation::Continue
    } else {
        Expectation::None
    }
}

#[cold]
fn too_large(window: &[u8]) -> RequestError {
    let line = &window[lines::empty_lines(window)..];
    if line.contains(&b'\n') {
        RequestError::HeadTooLarge
    } else {
        RequestError::TargetTooLong
    }
}

#[cold]
fn refusal(error: Error, window: &[u8]) -> RequestError {
    match error {
        Error::Version => unsupported(window),
        Error::Token | Error::Status => RequestError::RequestLine,
        Error::HeaderName => RequestError::FieldName,
        Error::HeaderValue => RequestError::FieldValue,
        Error::NewLine => RequestError::LineEnd,
        Error::TooManyHeaders => RequestError::TooManyFields,
    }
}

/// Tells other versions of HTTP from other protocols and garbage.
fn unsupported(window: &[u8]) -> RequestError {
    let line = &window[lines::empty_lines(window)..];
    if line.starts_with(b"PRI * HTTP/2") {
        return RequestError::Http2Preface;
    }
    // httparse has accepted a method and a target, each with its space.
    let version = line.splitn(3, |&byte| byte == b' ').nth(2);
    match version.and_then(|version| version.strip_prefix(b"HTTP/")) {
        Some([major, ..]) if major.is_ascii_digit() => RequestError::UnsupportedVersion,
        _ => RequestError::RequestLine,
    }
}

#[cfg(test)]
mod tests;

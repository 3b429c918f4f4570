//! Parses request heads and rejects those that two servers could read in different ways.

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

/// Reason for rejecting a request. Rejected with 400 (RFC 9112) unless noted otherwise. The
/// connection is closed, because the start of the next request is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The line is not a request line, or not one of HTTP/1.
    #[error("invalid request line")]
    RequestLine,
    /// The version of HTTP is neither 1.0 nor 1.1.
    #[error("unsupported version of HTTP")]
    UnsupportedVersion,
    /// An HTTP/1 connection starts with the connection preface of HTTP/2 (RFC 9113, section 3.4).
    /// Such a client understands no HTTP/1 response.
    #[error("HTTP/2 preface on an HTTP/1 connection")]
    Http2Preface,
    /// The request line alone exceeds the size limit of a head. Rejected with 414 (RFC 9110,
    /// section 15.5.15).
    #[error("request line too long")]
    TargetTooLong,
    /// The head is larger than [`Limits::max_header_size`]. Rejected with 431 (RFC 6585, section
    /// 5).
    #[error("head too large")]
    HeadTooLarge,
    /// The head has more lines than [`Limits::max_headers`]. Rejected with 431.
    #[error("too many fields")]
    TooManyFields,
    /// A field name is invalid, or no colon follows it.
    #[error("invalid field name")]
    FieldName,
    /// A value contains a control character.
    #[error("invalid field value")]
    FieldValue,
    /// There is a bare CR, or something else that does not end a line.
    #[error("invalid line end")]
    LineEnd,
    /// See [`TooManyOptions`].
    #[error(transparent)]
    Options(#[from] TooManyOptions),
    /// See [`TargetError`]; [`TargetError::Connect`] is rejected with 405.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// See [`FramingError`]; [`FramingError::UnknownCoding`] is rejected with 501.
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
    /// The client waits.
    Continue,
    /// The client does not wait. The server has to meet or reject an expectation that this proxy
    /// does not recognize.
    None,
}

/// Framing and connection properties of a request. The head contains the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Number of buffer bytes that the head takes, including empty lines before it. 0 in HTTP/2.
    pub consumed: usize,
    /// How the body is framed; never [`BodyLength::UntilClose`].
    pub body: BodyLength,
    /// Whether the client can send another request.
    pub persistence: Persistence,
    /// Whether the client must receive `100 Continue` before it sends the body.
    pub expectation: Expectation,
    /// The upgrade to forward.
    pub upgrade: Option<Upgrade>,
}

/// Parses and checks the head at the start of `buffer`.
///
/// Also marks which lines of the head are forwarded to the next hop. Hop-by-hop fields and those
/// that `Connection` names are not, except `TE: trailers` and an upgrade that is passed on.
///
/// After [`Progress::Complete`], `head` contains the request. After an error, it contains as much
/// as was understood, for the log: all of a complete head, or nothing. Allocates nothing if `head`
/// has been used before and the message has no more than 64 lines.
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
    // Bytes beyond the limit do not matter: a head that needs them is too large.
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

/// Returns the persistence by RFC 9112, section 9.3.
fn persistence(options: ConnectionOptions, version: Version) -> Persistence {
    let by_version = version != Version::Http10 || options.keep_alive;
    if by_version && !options.close {
        Persistence::KeepAlive
    } else {
        Persistence::Close
    }
}

/// Returns whether the client waits for `100 Continue` before it sends `body`.
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
        // HTTP/1.0 does not define this field, so it is ignored and not forwarded (RFC 9110,
        // section 10.1.1).
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

/// Distinguishes other versions of HTTP from other protocols and garbage.
fn unsupported(window: &[u8]) -> RequestError {
    let line = &window[lines::empty_lines(window)..];
    if line.starts_with(b"PRI * HTTP/2") {
        return RequestError::Http2Preface;
    }
    // httparse has accepted a method and a target, each followed by a space.
    let version = line.splitn(3, |&byte| byte == b' ').nth(2);
    match version.and_then(|version| version.strip_prefix(b"HTTP/")) {
        Some([major, ..]) if major.is_ascii_digit() => RequestError::UnsupportedVersion,
        _ => RequestError::RequestLine,
    }
}

#[cfg(test)]
mod tests;

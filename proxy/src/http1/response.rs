//! Parses the heads of a server's responses.

use httparse::Error;
use thiserror::Error;

use super::body::BodyLength;
use super::framing::{self, FramingError, LengthLists};
use super::{Limits, Persistence, Progress, Scan, TooManyOptions, lines, options};
use crate::http::field::FieldKind;
use crate::http::fields::Forwarding;
use crate::http::message::{MethodKind, ResponseHead, Version};

/// Reason for not forwarding a server's response. The client receives 502, and the connection is
/// closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// The line is not a status line of HTTP/1.0 or 1.1 with a status from 100 to 999.
    #[error("invalid status line")]
    StatusLine,
    /// The head is larger than [`Limits::max_header_size`].
    #[error("head too large")]
    HeadTooLarge,
    /// The head has more lines than [`Limits::max_headers`].
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
    /// See [`FramingError`]. Rejected even if no body follows (RFC 9110, section 8.6).
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// Framing and connection properties of a response. The head contains the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Number of buffer bytes that the head takes.
    pub consumed: usize,
    /// Framing of the body on the wire.
    pub body: BodyLength,
    /// Framing to announce to the client. Differs from `body` for HEAD and 304, whose fields
    /// describe a body that is not sent (RFC 9110, section 8.6).
    pub declared: BodyLength,
    /// Whether the connection can carry another exchange.
    pub persistence: Persistence,
}

/// Parses the response head at the start of `buffer`, for a request with `method`. The head's
/// forwarded lines are then those for the client; a 101 keeps its `Upgrade`.
///
/// Each interim response is a separate head: check [`ResponseHead::is_interim`] and parse again.
/// The caller decides when a status is acceptable. For example, a 408 on an idle connection belongs
/// to no request.
///
/// # Errors
/// [`ResponseError`].
#[inline]
pub fn parse(
    buffer: &[u8],
    limits: &Limits,
    scan: &mut Scan,
    method: MethodKind,
    head: &mut ResponseHead,
) -> Result<Progress<Parsed>, ResponseError> {
    if !scan.is_due(buffer, limits.max_header_size) {
        return Ok(Progress::Partial { skip: 0 });
    }
    let window = &buffer[..buffer.len().min(limits.max_header_size)];
    match lines::response(window, limits, head) {
        Ok(Some(consumed)) => {
            *scan = Scan::default();
            accept(consumed, method, head).map(Progress::Complete)
        }
        Ok(None) => {
            let skip = lines::empty_lines(window);
            if window.len() - skip < limits.max_header_size {
                return Ok(scan.partial(buffer, skip));
            }
            *scan = Scan::default();
            Err(ResponseError::HeadTooLarge)
        }
        Err(error) => {
            *scan = Scan::default();
            Err(refusal(error))
        }
    }
}

#[inline]
fn accept(
    consumed: usize,
    method: MethodKind,
    head: &mut ResponseHead,
) -> Result<Parsed, ResponseError> {
    let version = head.version();
    let status = head.status();
    let fields = head.fields_mut();
    let options = options::apply(fields)?;
    // Checked for every status: a length that readers interpret differently ends the exchange even
    // if no body follows.
    let declared = framing::declared(fields, version, LengthLists::Accepted)?;
    // The `Upgrade` of a 426 names the required protocols (RFC 9110, section 15.5.22).
    if status == 101 || status == 426 {
        fields.set_forwarding(FieldKind::Upgrade, Forwarding::Forward);
    }
    let body = framing::response_body(declared.length, method, status);
    // A 1xx or 204 must have neither a length nor a coding (RFC 9110, section 8.6; RFC 9112,
    // section 6.1).
    let is_unsaid = status < 200 || status == 204;
    let spoken_of = match declared.length {
        _ if is_unsaid => BodyLength::None,
        BodyLength::None => body,
        length => length,
    };
    if is_unsaid {
        fields.set_forwarding(FieldKind::ContentLength, Forwarding::Drop);
    }
    // An HTTP/1.0 server does not understand chunks, so a later request with a chunked body could
    // not be sent on its connection. The connection is therefore not kept alive.
    let is_last = options.close
        || version == Version::Http10
        || declared.is_contradictory
        || body == BodyLength::UntilClose;
    Ok(Parsed {
        consumed,
        body,
        declared: spoken_of,
        persistence: if is_last {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        },
    })
}

#[cold]
fn refusal(error: Error) -> ResponseError {
    match error {
        Error::Version | Error::Token | Error::Status => ResponseError::StatusLine,
        Error::HeaderName => ResponseError::FieldName,
        Error::HeaderValue => ResponseError::FieldValue,
        Error::NewLine => ResponseError::LineEnd,
        Error::TooManyHeaders => ResponseError::TooManyFields,
    }
}

#[cfg(test)]
mod tests;

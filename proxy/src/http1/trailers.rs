//! Trailer sections (RFC 9112, section 7.1.2).
//!
//! They are bounded and are parsed like a head's fields. Fields that could do harm if a recipient
//! merged them into the head are not forwarded.

use thiserror::Error;

use super::{Progress, Scan, lines};
use crate::http::field::{FieldKind, HeaderFlags};
use crate::http::fields::Fields;
use crate::http::syntax::tokens;

/// Maximum size of a trailer section in bytes. It must fit into the caller's read buffer; checksums
/// and gRPC's status need a few hundred bytes.
pub const MAX_TRAILERS_SIZE: usize = 8 * 1024;

/// Maximum number of lines of a trailer section.
const MAX_TRAILERS: usize = 64;

/// Reason for rejecting a trailer section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrailerError {
    /// The section does not consist of field lines that end in CRLF.
    #[error("invalid trailer section")]
    Invalid,
    /// The section is larger than [`MAX_TRAILERS_SIZE`] or has more than 64 lines.
    #[error("trailer section too large")]
    TooLarge,
}

/// Parses the section at the start of `buffer`, including its empty line. Marks fields that are not
/// allowed in trailers as not forwarded.
pub(super) fn parse(
    buffer: &[u8],
    scan: &mut Scan,
    fields: &mut Fields,
) -> Result<Progress<usize>, TrailerError> {
    // Nearly every body has no trailers.
    if buffer.starts_with(b"\r\n") {
        fields.clear();
        return Ok(Progress::Complete(2));
    }
    if !scan.is_due(buffer, MAX_TRAILERS_SIZE) {
        return Ok(Progress::Partial { skip: 0 });
    }
    let window = &buffer[..buffer.len().min(MAX_TRAILERS_SIZE)];
    match lines::trailers::<MAX_TRAILERS>(window, fields) {
        Ok(Some(length)) if has_bare_lf(&window[..length]) => Err(TrailerError::Invalid),
        Ok(Some(length)) => {
            admit(fields);
            Ok(Progress::Complete(length))
        }
        Ok(None) if window.len() < MAX_TRAILERS_SIZE => Ok(scan.partial(buffer, 0)),
        Ok(None) | Err(httparse::Error::TooManyHeaders) => Err(TrailerError::TooLarge),
        Err(_) => Err(TrailerError::Invalid),
    }
}

/// Marks all fields that are not allowed in trailers as not forwarded (RFC 9110, section 6.5.1).
pub fn admit(fields: &mut Fields) {
    fields.drop_kinds(HeaderFlags::NOT_IN_TRAILERS);
}

/// Returns whether a line ends in a bare LF. httparse accepts that in heads, but no line of a
/// chunked body may end in one.
fn has_bare_lf(section: &[u8]) -> bool {
    let mut before = 0;
    section.iter().any(|&byte| {
        let is_bare = byte == b'\n' && before != b'\r';
        before = byte;
        is_bare
    })
}

/// Appends the forwarded lines, except those that `Connection` in `head` names (RFC 9110, section
/// 7.6.1).
pub(super) fn push(trailers: &Fields, head: &Fields, out: &mut Vec<u8>) {
    for (name, value) in trailers.iter() {
        let mut options = head.values_of(FieldKind::Connection).flat_map(tokens);
        if !options.any(|option| option.eq_ignore_ascii_case(name)) {
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
}

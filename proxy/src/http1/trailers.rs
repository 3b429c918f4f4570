//! Trailer sections (RFC 9112, section 7.1.2): bounded, parsed like a head's fields, and
//! without whatever a recipient might merge into the head to its harm.

use thiserror::Error;

use super::{Progress, Scan, lines};
use crate::http::field::{FieldKind, HeaderFlags};
use crate::http::fields::Fields;
use crate::http::syntax::tokens;

/// Bytes of a trailer section. It has to fit into the caller's read buffer; checksums and
/// gRPC's status need a few hundred.
pub const MAX_TRAILERS_SIZE: usize = 8 * 1024;

/// Lines of a trailer section.
const MAX_TRAILERS: usize = 64;

/// Why a trailer section is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrailerError {
    /// Not field lines that end in CRLF.
    #[error("invalid trailer section")]
    Invalid,
    /// Larger than [`MAX_TRAILERS_SIZE`], or more than 64 lines.
    #[error("trailer section too large")]
    TooLarge,
}

/// Parses the section at the start of `buffer`, up to and with its empty line, and keeps
/// back the fields that no trailer may be.
pub(super) fn parse(
    buffer: &[u8],
    scan: &mut Scan,
    fields: &mut Fields,
) -> Result<Progress<usize>, TrailerError> {
    // Nearly every body.
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

/// Leaves the fields that may be trailers (RFC 9110, section 6.5.1).
pub fn admit(fields: &mut Fields) {
    fields.drop_kinds(HeaderFlags::NOT_IN_TRAILERS);
}

/// httparse lets lines of a head end in LF; inside a chunked body nothing does.
fn has_bare_lf(section: &[u8]) -> bool {
    let mut before = 0;
    section.iter().any(|&byte| {
        let is_bare = byte == b'\n' && before != b'\r';
        before = byte;
        is_bare
    })
}

/// Appends the lines that may go on, but those that `Connection` in `head` names (RFC 9110,
/// section 7.6.1).
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

//! Determines where a body ends, by RFC 9112, section 6: one result or an error.
//!
//! Values are parsed here. The writers generate them again and never copy them.

use thiserror::Error;

use super::MAX_LENGTH;
use super::body::BodyLength;
use crate::http::field::FieldKind;
use crate::http::fields::{Fields, Forwarding};
use crate::http::message::{MethodKind, Version};

/// Reason for rejecting a message's framing. A request is rejected with 400 unless noted otherwise;
/// for a rejected response, the client receives 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// `Content-Length` is not all digits, or is too large (RFC 9112, section 6.3, item 5).
    #[error("Content-Length is not a number of bytes")]
    InvalidLength,
    /// Several lengths differ (RFC 9112, section 6.3, item 5).
    #[error("Content-Length lines contradict each other")]
    ConflictingLengths,
    /// `chunked` is not the final coding, so the length is unknown (RFC 9112, section 6.3, item 4).
    /// Also covers an empty element, which readers interpret in two ways.
    #[error("Transfer-Encoding does not end in chunked")]
    NotChunked,
    /// There are codings before `chunked`, which this proxy does not decode. Rejected with 501 (RFC
    /// 9112, section 6.1).
    #[error("Transfer-Encoding has a coding other than chunked")]
    UnknownCoding,
    /// HTTP/1.0 has no transfer codings, so the framing is faulty (RFC 9112, section 6.1).
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingInHttp10,
}

/// Framing that the fields of a message declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Declared {
    /// Length according to the fields alone; [`BodyLength::None`] if no field declares one.
    pub(super) length: BodyLength,
    /// Whether there are both a coding and a length. The coding wins, and the connection must be
    /// closed after the exchange (RFC 9112, section 6.1).
    pub(super) is_contradictory: bool,
}

/// Whether a length can be a list of equal members. Recipients that join equal lines produce such
/// lists (RFC 9110, section 8.6, leaves the choice).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LengthLists {
    /// For requests: no legitimate client sends a list.
    Refused,
    /// For responses: some servers send a list, and the proxy writes a single value in its place.
    Accepted,
}

/// Reads the framing fields. Marks the length as not forwarded if there is also a coding.
pub(super) fn declared(
    fields: &mut Fields,
    version: Version,
    lists: LengthLists,
) -> Result<Declared, FramingError> {
    let has_length = fields.has(FieldKind::ContentLength);
    let has_coding = fields.has(FieldKind::TransferEncoding);
    let length = if has_length {
        BodyLength::Known(content_length(fields, lists)?)
    } else {
        BodyLength::None
    };
    if !has_coding {
        return Ok(Declared {
            length,
            is_contradictory: false,
        });
    }
    check_codings(fields)?;
    if version == Version::Http10 {
        return Err(FramingError::CodingInHttp10);
    }
    fields.set_forwarding(FieldKind::ContentLength, Forwarding::Drop);
    Ok(Declared {
        length: BodyLength::Chunked,
        is_contradictory: has_length,
    })
}

/// Returns the length that the fields of an HTTP/2 message declare, if any (RFC 9113, section
/// 8.1.1).
///
/// # Errors
/// [`FramingError`].
pub fn content_length_of(fields: &Fields) -> Result<Option<u64>, FramingError> {
    if !fields.has(FieldKind::ContentLength) {
        return Ok(None);
    }
    content_length(fields, LengthLists::Refused).map(Some)
}

/// Returns the framing of a response's body on the wire, given the request's method and the status
/// (RFC 9112, section 6.3, items 1, 2 and 8).
pub(super) fn response_body(declared: BodyLength, method: MethodKind, status: u16) -> BodyLength {
    let is_tunnel = method == MethodKind::Connect && (200..300).contains(&status);
    let has_none = method == MethodKind::Head || is_bodiless(status) || is_tunnel;
    match declared {
        _ if has_none => BodyLength::None,
        BodyLength::None => BodyLength::UntilClose,
        declared => declared,
    }
}

/// Returns whether responses with this status never have a body.
pub const fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

fn content_length(fields: &Fields, lists: LengthLists) -> Result<u64, FramingError> {
    let mut found = None;
    for value in fields.values_of(FieldKind::ContentLength) {
        // `split` yields one member if there is no comma, so an empty value is rejected as not a
        // number.
        let members = value.split(|&byte| byte == b',' && lists == LengthLists::Accepted);
        for member in members {
            let length = parse_length(member.trim_ascii()).ok_or(FramingError::InvalidLength)?;
            if found.is_some_and(|found| found != length) {
                return Err(FramingError::ConflictingLengths);
            }
            found = Some(length);
        }
    }
    found.ok_or(FramingError::InvalidLength)
}

/// Parses `1*DIGIT` up to [`MAX_LENGTH`] (RFC 9110, section 8.6).
pub(super) fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut length: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        length = length
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    (length <= MAX_LENGTH).then_some(length)
}

/// Accepts only `chunked`, once and in any case.
fn check_codings(fields: &Fields) -> Result<(), FramingError> {
    let mut count = 0;
    let mut has_empty = false;
    let mut is_last_chunked = false;
    for value in fields.values_of(FieldKind::TransferEncoding) {
        for coding in value.split(|&byte| byte == b',') {
            let coding = trim_whitespace(coding);
            count += 1;
            has_empty |= coding.is_empty();
            is_last_chunked = coding.eq_ignore_ascii_case(b"chunked");
        }
    }
    if has_empty || !is_last_chunked {
        Err(FramingError::NotChunked)
    } else if count > 1 {
        Err(FramingError::UnknownCoding)
    } else {
        Ok(())
    }
}

/// Trims optional whitespace, which is space and tab. `trim_ascii` would also trim form feeds.
fn trim_whitespace(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;

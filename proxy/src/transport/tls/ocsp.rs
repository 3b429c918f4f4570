//! OCSP responses to staple: whether it is one, and not too old (RFC 6960).

use thiserror::Error;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::time::ASN1Time;

use super::facts::date;

/// Why an OCSP response cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OcspError {
    /// Other bytes.
    #[error("it is no OCSP response in DER")]
    Malformed,
    /// The responder says that it cannot say.
    #[error("the OCSP responder answered with status {0}, not with a response")]
    Unsuccessful(u8),
    /// Clients would refuse it.
    #[error("the OCSP response was to be renewed by {0}")]
    Outdated(String),
}

/// Whether `response` can be stapled at `now`, in seconds since 1970; until when.
pub(super) fn check(response: &[u8], now: i64) -> Result<Option<i64>, OcspError> {
    let (_, outer) = first(response)?;
    if outer.tag() != Tag::Sequence {
        return Err(OcspError::Malformed);
    }
    let (rest, status) = first(outer.data)?;
    match (status.tag(), status.data) {
        (Tag::Enumerated, [0]) => {}
        (Tag::Enumerated, [other]) => return Err(OcspError::Unsuccessful(*other)),
        _ => return Err(OcspError::Malformed),
    }
    match next_update(rest)? {
        Some(limit) if limit < now => Err(OcspError::Outdated(date(limit))),
        limit => Ok(limit),
    }
}

/// `nextUpdate` of the first answer in `responseBytes`; it may be left out.
fn next_update(bytes: &[u8]) -> Result<Option<i64>, OcspError> {
    let (_, explicit) = first(bytes)?;
    if !is_context(&explicit, 0) {
        return Err(OcspError::Malformed);
    }
    let (rest, _kind) = first(sequence(explicit.data)?)?;
    let (_, basic) = first(rest)?;
    if basic.tag() != Tag::OctetString {
        return Err(OcspError::Malformed);
    }
    let data = sequence(sequence(basic.data)?)?;
    // A version, if it is not the first; the responder; when it answered; its answers.
    let (mut rest, start) = first(data)?;
    if is_context(&start, 0) {
        (rest, _) = first(rest)?;
    }
    let (rest, _produced_at) = first(rest)?;
    let (rest, _certificate) = first(sequence(sequence(rest)?)?)?;
    let (rest, _status) = first(rest)?;
    let (rest, _this_update) = first(rest)?;
    match first(rest) {
        Ok((_, time)) if is_context(&time, 0) => {
            let (_, time) = ASN1Time::from_der(time.data).map_err(|_| OcspError::Malformed)?;
            Ok(Some(time.timestamp()))
        }
        _ => Ok(None),
    }
}

/// The value that comes first, and what follows it.
fn first(bytes: &[u8]) -> Result<(&[u8], Any<'_>), OcspError> {
    Any::from_der(bytes).map_err(|_| OcspError::Malformed)
}

/// The content of the sequence that comes first.
fn sequence(bytes: &[u8]) -> Result<&[u8], OcspError> {
    let (_, any) = first(bytes)?;
    if any.tag() == Tag::Sequence {
        Ok(any.data)
    } else {
        Err(OcspError::Malformed)
    }
}

/// Whether it is the field with this number.
fn is_context(any: &Any<'_>, number: u32) -> bool {
    any.class() == Class::ContextSpecific && any.tag() == Tag(number)
}

//! OCSP responses to staple: checks that they are well-formed and not outdated (RFC 6960).

use thiserror::Error;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::time::ASN1Time;

use super::facts::date;

/// Reason why an OCSP response cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OcspError {
    /// The bytes are not an OCSP response in DER.
    #[error("it is not an OCSP response in DER")]
    Malformed,
    /// The responder returned an error status.
    #[error("the OCSP responder returned error status {0} instead of a response")]
    Unsuccessful(u8),
    /// The response is too old: clients would reject it.
    #[error("the OCSP response should have been renewed by {0}")]
    Outdated(String),
}

/// Checks that `response` can be stapled at `now`, in seconds since 1970. Returns the end of the
/// response's validity, if it has one.
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

/// Returns `nextUpdate` of the first answer in `responseBytes`. The field is optional.
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
    // The fields are: the version, which is omitted if it is the first; the responder; the time of
    // the response; its answers.
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

/// Splits off the first value. Returns the rest and the value.
fn first(bytes: &[u8]) -> Result<(&[u8], Any<'_>), OcspError> {
    Any::from_der(bytes).map_err(|_| OcspError::Malformed)
}

/// Returns the content of the sequence at the start of `bytes`.
fn sequence(bytes: &[u8]) -> Result<&[u8], OcspError> {
    let (_, any) = first(bytes)?;
    if any.tag() == Tag::Sequence {
        Ok(any.data)
    } else {
        Err(OcspError::Malformed)
    }
}

/// Returns whether `any` is the context-specific field with this number.
fn is_context(any: &Any<'_>, number: u32) -> bool {
    any.class() == Class::ContextSpecific && any.tag() == Tag(number)
}

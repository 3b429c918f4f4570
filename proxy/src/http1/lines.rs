//! The only user of httparse: finds a head's lines and turns them into spans.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Status};

use super::Limits;
use crate::http::fields::Fields;
use crate::http::message::{RequestHead, ResponseHead, Version};

/// Number of field lines that are parsed on the stack, at 32 bytes each. Hardly any head has more.
/// A larger head is parsed a second time, with room for `max_headers` lines on the heap.
const INLINE_LINES: usize = 64;

type Line<'b> = MaybeUninit<Header<'b>>;

/// Parses the request head at the start of `buffer` into `head`. Returns the number of bytes that
/// the head takes, or `None` if it is incomplete.
#[inline]
pub(super) fn request(
    buffer: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, Error> {
    let mut lines = [const { Line::uninit() }; INLINE_LINES];
    let room = limits.max_headers.min(INLINE_LINES);
    match request_into(buffer, &mut lines[..room], head) {
        Err(Error::TooManyHeaders) if limits.max_headers > room => {
            let mut lines = vec![Line::uninit(); limits.max_headers];
            request_into(buffer, &mut lines, head)
        }
        result => result,
    }
}

#[inline]
fn request_into<'b>(
    buffer: &'b [u8],
    lines: &mut [Line<'b>],
    head: &mut RequestHead,
) -> Result<Option<usize>, Error> {
    let mut request = httparse::Request::new(&mut []);
    let Status::Complete(end) = request.parse_with_uninit_headers(buffer, lines)? else {
        return Ok(None);
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Error::Token);
    };
    let version = version(request.version)?;
    // Empty lines can come first.
    let start = offset(buffer, method.as_bytes());
    let whole = buffer.get(start..end).unwrap_or_default();
    let (method, target) = (method.as_bytes(), target.as_bytes());
    head.load(whole, method, target, version, parts(request.headers));
    Ok(Some(end))
}

/// Parses the response head at the start of `buffer`, like [`request`].
#[inline]
pub(super) fn response(
    buffer: &[u8],
    limits: &Limits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, Error> {
    let mut lines = [const { Line::uninit() }; INLINE_LINES];
    let room = limits.max_headers.min(INLINE_LINES);
    match response_into(buffer, &mut lines[..room], head) {
        Err(Error::TooManyHeaders) if limits.max_headers > room => {
            let mut lines = vec![Line::uninit(); limits.max_headers];
            response_into(buffer, &mut lines, head)
        }
        result => result,
    }
}

#[inline]
fn response_into<'b>(
    buffer: &'b [u8],
    lines: &mut [Line<'b>],
    head: &mut ResponseHead,
) -> Result<Option<usize>, Error> {
    /// Length of `HTTP/1.1 200` and a space.
    const REASON_AT: usize = 13;

    let mut response = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, buffer, lines)?;
    let Status::Complete(end) = parsed else {
        return Ok(None);
    };
    let version = version(response.version)?;
    let status = response.code.filter(|code| *code >= 100);
    let status = status.ok_or(Error::Status)?;
    let start = empty_lines(buffer);
    let whole = buffer.get(start..end).unwrap_or_default();
    // httparse returns no reason phrase that contains bytes beyond ASCII. The phrase is between the
    // status and the first field, or the empty line.
    let line_end = match response.headers.first() {
        Some(field) => offset(whole, field.name.as_bytes()),
        None => without_line_end(whole).len(),
    };
    let line = without_line_end(whole.get(..line_end).unwrap_or_default());
    let reason = &line[REASON_AT.min(line.len())..];
    head.load(whole, status, reason, version, parts(response.headers));
    Ok(Some(end))
}

/// Parses the trailer section at the start of `buffer`, including its empty line, into `fields`,
/// like [`request`].
pub(super) fn trailers<const MAX: usize>(
    buffer: &[u8],
    fields: &mut Fields,
) -> Result<Option<usize>, Error> {
    let mut lines = [httparse::EMPTY_HEADER; MAX];
    let Status::Complete((end, lines)) = httparse::parse_headers(buffer, &mut lines)? else {
        return Ok(None);
    };
    let whole = buffer.get(..end).unwrap_or_default();
    fields.load(whole, parts(lines));
    Ok(Some(end))
}

/// Returns the number of bytes of complete empty lines at the start of `buffer`.
pub(super) fn empty_lines(buffer: &[u8]) -> usize {
    let mut rest = buffer;
    while let [b'\n', tail @ ..] | [b'\r', b'\n', tail @ ..] = rest {
        rest = tail;
    }
    buffer.len() - rest.len()
}

fn parts<'b>(lines: &[Header<'b>]) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
    lines.iter().map(|line| (line.name.as_bytes(), line.value))
}

fn version(minor: Option<u8>) -> Result<Version, Error> {
    match minor {
        Some(0) => Ok(Version::Http10),
        Some(1) => Ok(Version::Http11),
        _ => Err(Error::Version),
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the offset of `part`, which is a slice of `whole`.
#[inline]
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr())
}

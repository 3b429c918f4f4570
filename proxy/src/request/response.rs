//! The head of a response: a server's, made fit to be passed on, a plugin's, or the proxy's
//! own.
//!
//! Called by `request` once it has an answer or knows that there will be none.

use std::rc::Rc;

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, Response, StatusCode, Version, response};
use hyper::body::Incoming;

use super::error::ProxyError;
use crate::downstream::Downstream;
use crate::forward::ResponseBody;
use crate::http::headers::{self, Noted};
use crate::http::upgrade::{Upgrade, UpgradeError};
use crate::plugin;
use crate::telemetry::{End, chain};
use crate::tunnel;
use crate::upstream::Lease;

/// Passes a server's response on.
pub(super) async fn relay(
    downstream: &Rc<Downstream>,
    mut lease: Lease,
    response: Response<Incoming>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let (mut parts, incoming) = response.into_parts();
    let noted = Noted::of(&parts.headers);
    if check_framing(&mut parts, noted)? == Reusable::No {
        lease.link.spoil();
    }
    headers::remove_hop_by_hop(&mut parts.headers, noted);
    if noted.has(Noted::TE) {
        // A response has none; what stands for one in a request would be this.
        parts.headers.remove(CONNECTION);
    }
    let version = std::mem::replace(&mut parts.version, Version::HTTP_11);
    let limit = lease.timeouts().server;
    let body = ResponseBody::forwarded(incoming, version, lease, downstream, limit).await;
    Ok(Response::from_parts(parts, body))
}

/// Whether a connection can serve again after the present response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reusable {
    Yes,
    No,
}

/// Leaves a response with one framing at most.
fn check_framing(parts: &mut response::Parts, noted: Noted) -> Result<Reusable, ProxyError> {
    let has_length = noted.has(Noted::CONTENT_LENGTH);
    if noted.has(Noted::TRANSFER_ENCODING) {
        if !headers::is_chunked_alone(&parts.headers) {
            return Err(ProxyError::ServerTransferCoding);
        }
        if has_length {
            // RFC 9112, section 6.3: the coding counts, and somebody may be smuggling.
            parts.headers.remove(CONTENT_LENGTH);
            return Ok(Reusable::No);
        }
    } else if has_length {
        // hyper has seen to it that all of them say the same: say it once.
        let mut lines = parts.headers.get_all(CONTENT_LENGTH).iter();
        let first = lines.next().map_or(&b"0"[..], HeaderValue::as_bytes);
        let length = first.split(|&byte| byte == b',').next().unwrap_or(first);
        if length.len() != first.len() || lines.next().is_some() {
            let length = HeaderValue::from_bytes(length.trim_ascii());
            parts.headers.insert(
                CONTENT_LENGTH,
                length.unwrap_or(HeaderValue::from_static("0")),
            );
        }
    }
    if parts.status == StatusCode::NO_CONTENT {
        parts.headers.remove(CONTENT_LENGTH);
    }
    Ok(Reusable::Yes)
}

/// Prepares the tunnel that begins once the client has the 101.
pub(super) fn switch(
    downstream: &Downstream,
    lease: Lease,
    response: Response<Incoming>,
    upgrade: Option<Upgrade>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let (mut parts, _) = response.into_parts();
    upgrade
        .ok_or(UpgradeError::Protocol)
        .and_then(|upgrade| upgrade.check(&parts.headers))
        .map_err(ProxyError::ServerHandshake)?;
    let protocol = parts.headers.get(UPGRADE).cloned();
    let noted = Noted::of(&parts.headers);
    headers::remove_hop_by_hop(&mut parts.headers, noted);
    parts.headers.remove(CONTENT_LENGTH);
    parts
        .headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
    let timeouts = *lease.timeouts();
    let (link, hold) = lease.into_tunnel();
    let (stream, early) = link.into_stream();
    *downstream.upgrade.borrow_mut() = Some(tunnel::Upstream {
        stream,
        early,
        hold,
        idle: timeouts.tunnel,
        server: timeouts.server,
        server_fin: timeouts.server_fin,
    });
    Ok(Response::from_parts(parts, ResponseBody::own("")))
}

/// The plugin's own answer.
pub(super) fn answer_of_plugin(
    downstream: &Downstream,
    answer: &plugin::Response,
) -> Response<ResponseBody> {
    downstream.note(|transaction| {
        transaction.bytes_out = answer.body.len() as u64;
        transaction.finish(End::LocalReply);
    });
    let mut response = Response::new(ResponseBody::own(answer.body.clone()));
    *response.status_mut() = answer.status;
    response.headers_mut().clone_from(&answer.headers);
    response
}

/// The proxy's own answer: one short line; the reason stays in the log.
pub(super) fn refuse(
    downstream: &Downstream,
    id: u64,
    error: &ProxyError,
) -> Response<ResponseBody> {
    let (status, end) = error.outcome();
    let reason = status.canonical_reason().unwrap_or("Error");
    let text = format!("{} {reason} (request {id:x})\n", status.as_u16());
    downstream.note(|transaction| {
        transaction.bytes_out = text.len() as u64;
        transaction.fail(end, || chain(error));
    });
    let mut response = Response::new(ResponseBody::own(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110, section 15.5.6.
        fields.insert(
            ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"),
        );
    }
    if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED {
        // Where its next request would begin is anybody's guess.
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_framing() {
        let check = |lines: &[(&'static str, &'static str)],
                     expected: Option<(Reusable, Option<&str>)>| {
            let (mut parts, ()) = Response::new(()).into_parts();
            for (name, value) in lines {
                parts.headers.append(
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            let noted = Noted::of(&parts.headers);
            let found = check_framing(&mut parts, noted).ok();
            let length: Vec<_> = parts.headers.get_all(CONTENT_LENGTH).iter().collect();
            let found = found.map(|reusable| {
                (
                    reusable,
                    length.first().map(|length| length.to_str().unwrap()),
                )
            });
            assert_eq!(found, expected, "{lines:?}");
            assert!(expected.is_none() || length.len() < 2, "{lines:?}");
        };
        check(&[], Some((Reusable::Yes, None)));
        check(&[("content-length", "5")], Some((Reusable::Yes, Some("5"))));
        check(
            &[("content-length", "5"), ("content-length", "5")],
            Some((Reusable::Yes, Some("5"))),
        );
        check(
            &[("content-length", "5, 5")],
            Some((Reusable::Yes, Some("5"))),
        );
        check(
            &[("transfer-encoding", "Chunked")],
            Some((Reusable::Yes, None)),
        );
        check(
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            Some((Reusable::No, None)),
        );
        check(&[("transfer-encoding", "gzip, chunked")], None);
        check(&[("transfer-encoding", "gzip")], None);
    }
}

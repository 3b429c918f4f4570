//! Local replies: replies that a plugin decides on, and the proxy's own.

use bytes::Bytes;

use super::context::Context;
use super::error::ProxyError;
use crate::http::field::FieldKind;
use crate::http::message::{RequestHead, ResponseHead, Version};
use crate::http1::Persistence;
use crate::http1::body::BodyLength;
use crate::plugin;
use crate::telemetry::{End, chain};
use crate::upstream::CheckoutError;

/// Methods that this proxy forwards (RFC 9110, section 15.5.6).
const ALLOW: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";

/// Seconds after which a client that found the queues full can retry. By then, a burst has passed
/// or other clients have been served.
const RETRY_AFTER: &[u8] = b"1";

/// A complete local reply.
#[derive(Debug)]
pub struct Reply {
    /// The head, without framing.
    pub head: ResponseHead,
    /// The body, which is not sent in response to HEAD.
    pub body: Bytes,
    /// Whether the client can send another request.
    pub persistence: Persistence,
}

impl Reply {
    fn new(status: u16, body: Bytes) -> Reply {
        let mut head = ResponseHead::default();
        let reason = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        head.start(
            status,
            reason.unwrap_or_default().as_bytes(),
            Version::Http11,
        );
        Reply {
            head,
            body,
            persistence: Persistence::KeepAlive,
        }
    }

    /// Returns the framing that the head declares (RFC 9110, section 8.6: none for 204 and 304).
    pub fn length(&self) -> BodyLength {
        match self.head.status() {
            204 | 304 => BodyLength::None,
            _ => BodyLength::Known(self.body.len() as u64),
        }
    }

    /// Creates the reply that a plugin has decided on.
    pub(super) fn of_plugin(cx: &mut Context, answer: &plugin::Response) -> Reply {
        cx.record.finish(End::LocalReply);
        let mut reply = Reply::new(answer.status, answer.body.clone());
        for line in &answer.fields {
            reply.head.fields_mut().push(&line.name, &line.value);
        }
        reply
    }

    /// Creates an error reply with a body of one short line. The reason goes only to the log.
    pub fn refusal(cx: &mut Context, error: &ProxyError) -> Reply {
        let (status, end) = error.outcome();
        cx.record.fail(end, || chain(error));
        let mut reply = Reply::new(status, Bytes::new());
        let text = format!(
            "{status} {} (request {:x})\n",
            String::from_utf8_lossy(reply.head.reason()),
            cx.record.id()
        );
        reply.body = text.into();
        let fields = reply.head.fields_mut();
        fields.push_kind(FieldKind::ContentType, b"text/plain; charset=utf-8");
        if status == 405 {
            fields.push(b"Allow", ALLOW);
        }
        if let ProxyError::Checkout(CheckoutError::QueueFull | CheckoutError::QueueTimeout(_)) =
            error
        {
            fields.push(b"Retry-After", RETRY_AFTER);
        }
        if status < 500 || status == 501 || status == 505 {
            // The proxy cannot tell where the next request would start.
            reply.persistence = Persistence::Close;
        }
        reply
    }

    /// Creates a redirect to another URL, for which the client must keep the method and the body.
    pub(super) fn redirect(cx: &mut Context, location: &[u8]) -> Reply {
        cx.record.finish(End::LocalReply);
        let mut reply = Reply::new(308, Bytes::new());
        reply.head.fields_mut().push(b"Location", location);
        reply
    }

    /// Creates the response that an ACME server expects.
    pub(super) fn of_challenge(cx: &mut Context, answer: &str) -> Reply {
        cx.record.finish(End::LocalReply);
        let mut reply = Reply::new(200, Bytes::copy_from_slice(answer.as_bytes()));
        let fields = reply.head.fields_mut();
        fields.push_kind(FieldKind::ContentType, b"text/plain");
        reply
    }

    /// Creates the response to a request whose `Max-Forwards` was 0 (RFC 9110, sections 9.3.7 and
    /// 9.3.8).
    pub(super) fn of_last_hop(cx: &mut Context) -> Reply {
        cx.record.finish(End::LocalReply);
        if cx.head.method() == b"TRACE" {
            let mut reply = Reply::new(200, traced(&cx.head).into());
            let fields = reply.head.fields_mut();
            fields.push_kind(FieldKind::ContentType, b"message/http");
            return reply;
        }
        let mut reply = Reply::new(200, Bytes::new());
        reply.head.fields_mut().push(b"Allow", ALLOW);
        reply
    }
}

/// Formats the request as received, except for fields that may contain secrets.
fn traced(head: &RequestHead) -> Vec<u8> {
    let mut text = head.method().to_vec();
    for part in [b" ", head.target(), b" HTTP/1.1\r\n"] {
        text.extend_from_slice(part);
    }
    let secret = [
        FieldKind::Authorization,
        FieldKind::Cookie,
        FieldKind::ProxyAuthorization,
    ];
    for (name, value) in head.fields().iter() {
        if !secret.contains(&FieldKind::of(name)) {
            for part in [name, b": ", value, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

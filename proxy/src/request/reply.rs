//! Answers that no server gave: a plugin's, and the proxy's own.

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

/// After how many seconds a client may try again that found the queues full: a burst has passed, or
/// others have had their turn.
const RETRY_AFTER: &[u8] = b"1";

/// An answer that is there as a whole.
#[derive(Debug)]
pub struct Reply {
    /// Without framing.
    pub head: ResponseHead,
    /// Not sent in answer to HEAD.
    pub body: Bytes,
    /// Whether the client may send a further request.
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

    /// Framing that the head declares (RFC 9110, section 8.6: none for 204 and 304).
    pub fn length(&self) -> BodyLength {
        match self.head.status() {
            204 | 304 => BodyLength::None,
            _ => BodyLength::Known(self.body.len() as u64),
        }
    }

    /// A plugin's answer.
    pub(super) fn of_plugin(cx: &mut Context, answer: &plugin::Response) -> Reply {
        cx.record.finish(End::LocalReply);
        let mut reply = Reply::new(answer.status, answer.body.clone());
        for line in &answer.fields {
            reply.head.fields_mut().push(&line.name, &line.value);
        }
        reply
    }

    /// The proxy's own: one short line; the reason is for the log.
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
            // Where its next request would begin is anybody's guess.
            reply.persistence = Persistence::Close;
        }
        reply
    }

    /// Sends the client to another URL, with everything that its request has.
    pub(super) fn redirect(cx: &mut Context, location: &[u8]) -> Reply {
        cx.record.finish(End::LocalReply);
        let mut reply = Reply::new(308, Bytes::new());
        reply.head.fields_mut().push(b"Location", location);
        reply
    }

    /// What an ACME server wants to see.
    pub(super) fn of_challenge(cx: &mut Context, answer: &str) -> Reply {
        cx.record.finish(End::LocalReply);
        let mut reply = Reply::new(200, Bytes::copy_from_slice(answer.as_bytes()));
        let fields = reply.head.fields_mut();
        fields.push_kind(FieldKind::ContentType, b"text/plain");
        reply
    }

    /// The answer to a request whose `Max-Forwards` was 0 (RFC 9110, sections 9.3.7 and
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

/// The request as it came, but for fields that may carry secrets.
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

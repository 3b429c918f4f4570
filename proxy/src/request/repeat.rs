//! Decides which requests are sent again after a failed exchange.

use super::client::Client;
use super::context::Context;
use super::error::ProxyError;
use super::exchange::{Exchange, ExchangeError};
use crate::config::Retry;
use crate::http1::request::Parsed as Request;
use crate::http2::Http2Error;
use crate::upstream::{EndpointId, Failure, Lease, Needs, Origin, Reuse};

/// Maximum number of times that a request is sent if no server has processed it. The maximum is
/// high enough for a server that accepts only a few requests per connection.
const MAX_ATTEMPTS: u32 = 16;

/// The attempts to send one request.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Number of attempts.
    count: u32,
    /// Number of repeated attempts that count against `retry.attempts`.
    retried: u32,
    /// Endpoints to avoid, because the request has failed there.
    pub(super) avoid: Vec<EndpointId>,
    /// Connections that the request can use.
    pub(super) reuse: Reuse,
    /// Requirements on the connection.
    pub(super) needs: Needs,
    /// The decision's limit on attempts, which replaces the backend's `retry.attempts`.
    limit: Option<u8>,
}

impl Attempts {
    pub(super) fn new(reuse: Reuse, needs: Needs, limit: Option<u8>) -> Attempts {
        Attempts {
            count: 0,
            retried: 0,
            avoid: Vec::new(),
            reuse,
            needs,
            limit,
        }
    }

    /// Returns whether this is the first attempt.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }

    /// Counts the start of an attempt.
    pub(super) fn begin(&mut self) {
        self.count += 1;
    }

    /// Decides whether the request is sent again, over another connection or to another server as
    /// `kind` says. If so, updates the constraints for the next attempt. Counts that attempt as a
    /// retry if only the `retry` configuration permits it.
    pub(super) fn allow(&mut self, kind: RetryKind, lease: &Lease) -> bool {
        let retry = &lease.settings().backend.retry;
        let may_send = self.count < MAX_ATTEMPTS;
        let attempts = self
            .limit
            .map_or(retry.attempts, |limit| u32::from(limit) - 1);
        let has_attempts = self.retried < attempts;
        let is_over = self.limit.is_some_and(|limit| self.count >= limit.into());
        let is_allowed = match kind {
            _ if is_over => false,
            RetryKind::Never => false,
            RetryKind::Once => self.count == 1,
            RetryKind::Unsent | RetryKind::Elsewhere => may_send,
            RetryKind::OverHttp1 => self.needs != Needs::Upgrade,
            RetryKind::Refused => has_attempts && retry.on.refused_stream,
            RetryKind::ByPolicy => has_attempts && lease.cluster().may_retry(),
        };
        if !is_allowed {
            return false;
        }
        match kind {
            RetryKind::Never | RetryKind::Elsewhere => {}
            RetryKind::OverHttp1 => self.needs = Needs::Upgrade,
            RetryKind::Once | RetryKind::Unsent => self.reuse = Reuse::Fresh,
            RetryKind::Refused => self.retried += 1,
            RetryKind::ByPolicy => {
                self.retried += 1;
                self.reuse = Reuse::Fresh;
                self.avoid.push(lease.endpoint().endpoint().id());
            }
        }
        if matches!(kind, RetryKind::Refused | RetryKind::ByPolicy) {
            lease.count_retry();
        }
        true
    }

    /// Decides whether the request is sent again after a response with this status.
    #[inline]
    pub(super) fn again<C: Client>(
        &mut self,
        status: u16,
        cx: &Context,
        request: &Request,
        exchange: &Exchange<C>,
    ) -> bool {
        let failure = Failure::Status(status);
        let lease = exchange.lease();
        // Usually, the request is not sent again.
        if !failure.is_among(&lease.settings().backend.retry.on) || !exchange.is_body_untouched() {
            return false;
        }
        self.allow(RetryKind::after(failure, cx, request, lease), lease)
    }

    /// Determines whether a failed request can be sent again, and how.
    pub(super) fn retry_kind<C: Client>(
        &self,
        error: &ProxyError,
        cx: &Context,
        request: &Request,
        exchange: &Exchange<C>,
    ) -> RetryKind {
        let ProxyError::Exchange(error) = error else {
            return RetryKind::Never;
        };
        if !exchange.is_body_untouched() {
            return RetryKind::Never;
        }
        // A new HTTP/2 connection can also have served before: other requests share it, and one of
        // them may have ended it.
        let is_pooled = exchange.lease().origin == Origin::Pooled;
        let has_served = is_pooled || exchange.is_with_http2_server();
        match error {
            ExchangeError::Refused(error) => RetryKind::refused(error),
            ExchangeError::Unsent if has_served => RetryKind::Unsent,
            // An idempotent request can be repeated automatically (RFC 9110, section 9.2.2).
            ExchangeError::Closed(_) | ExchangeError::IdleTimeout
                if has_served
                    && self.count == 1
                    && request.body.is_empty()
                    && cx.head.method_kind().is_idempotent() =>
            {
                RetryKind::Once
            }
            error => match error.failure() {
                Some(failure) => RetryKind::after(failure, cx, request, exchange.lease()),
                None => RetryKind::Never,
            },
        }
    }
}

/// Whether a request can be sent again, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryKind {
    /// Not again: a server may have processed part of the request, and processing it twice may do
    /// harm.
    Never,
    /// Over a new connection, if only one attempt has been made: processing the request twice does
    /// no harm.
    Once,
    /// Over a new connection: no part of the request was sent.
    Unsent,
    /// Over any other connection: the server sent GOAWAY before it processed the request.
    Elsewhere,
    /// Over any connection: the server has refused the request's stream.
    Refused,
    /// Over HTTP/1.1: the server has not processed the request.
    OverHttp1,
    /// To another server if possible, because the configuration says so.
    ByPolicy,
}

impl RetryKind {
    /// Returns how to send a request again that the server has not processed.
    pub(super) fn refused(error: &Http2Error) -> RetryKind {
        if error.requires_http1() {
            RetryKind::OverHttp1
        } else if error.is_refused() {
            RetryKind::Refused
        } else {
            RetryKind::Elsewhere
        }
    }

    /// Returns how to send a request again after a failure that the configuration can list.
    pub(super) fn after(
        failure: Failure,
        cx: &Context,
        request: &Request,
        lease: &Lease,
    ) -> RetryKind {
        let retry = &lease.settings().backend.retry;
        let is_listed = failure.is_among(&retry.on);
        if is_listed
            && request.body.is_empty()
            && request.upgrade.is_none()
            && may_repeat(cx, retry)
        {
            RetryKind::ByPolicy
        } else {
            RetryKind::Never
        }
    }
}

/// Returns whether processing the request twice does no harm, according to its method or the
/// configuration.
fn may_repeat(cx: &Context, retry: &Retry) -> bool {
    let method = cx.head.method();
    cx.head.method_kind().is_idempotent()
        || retry
            .methods
            .iter()
            .any(|listed| listed.as_str().as_bytes() == method)
}

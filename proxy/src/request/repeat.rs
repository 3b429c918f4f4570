//! Which requests are sent again after an exchange that failed.

use super::client::Client;
use super::context::Context;
use super::error::ProxyError;
use super::exchange::{Exchange, ExchangeError};
use crate::config::Retry;
use crate::http1::request::Parsed as Request;
use crate::http2::Http2Error;
use crate::upstream::{EndpointId, Failure, Lease, Needs, Origin, Reuse};

/// How often a request is sent that no server has acted on: enough for one that takes a few requests
/// on each connection.
const MAX_TRIES: u32 = 16;

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    /// How often it was sent.
    count: u32,
    /// Those of them that `retry` has allowed.
    retried: u32,
    /// Endpoints where it has failed.
    pub(super) avoid: Vec<EndpointId>,
    /// Which connections it may use.
    pub(super) reuse: Reuse,
    /// The use that its connection is for.
    pub(super) needs: Needs,
    /// How often it may be sent, in place of the backend's `retry.attempts`.
    limit: Option<u8>,
}

impl Tries {
    pub(super) fn new(reuse: Reuse, needs: Needs, limit: Option<u8>) -> Tries {
        Tries {
            count: 0,
            retried: 0,
            avoid: Vec::new(),
            reuse,
            needs,
            limit,
        }
    }

    /// Whether it has not been sent before.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }

    /// Begins another one.
    pub(super) fn begin(&mut self) {
        self.count += 1;
    }

    /// Whether the request is sent again; with another connection or to another server, as `repeat`
    /// says. Counted as one that `retry` has allowed where it has.
    pub(super) fn allow(&mut self, repeat: Repeat, lease: &Lease) -> bool {
        let retry = &lease.settings().backend.retry;
        let has_tries = self.count < MAX_TRIES;
        let attempts = self
            .limit
            .map_or(retry.attempts, |tries| u32::from(tries) - 1);
        let has_attempts = self.retried < attempts;
        let is_over = self.limit.is_some_and(|tries| self.count >= tries.into());
        let is_allowed = match repeat {
            _ if is_over => false,
            Repeat::Never => false,
            Repeat::Once => self.count == 1,
            Repeat::Unsent | Repeat::Elsewhere => has_tries,
            Repeat::OverHttp1 => self.needs != Needs::Upgrade,
            Repeat::Refused => has_attempts && retry.on.refused_stream,
            Repeat::ByPolicy => has_attempts && lease.cluster().may_retry(),
        };
        if !is_allowed {
            return false;
        }
        match repeat {
            Repeat::Never | Repeat::Elsewhere => {}
            Repeat::OverHttp1 => self.needs = Needs::Upgrade,
            Repeat::Once | Repeat::Unsent => self.reuse = Reuse::Fresh,
            Repeat::Refused => self.retried += 1,
            Repeat::ByPolicy => {
                self.retried += 1;
                self.reuse = Reuse::Fresh;
                self.avoid.push(lease.endpoint().endpoint().id());
            }
        }
        if matches!(repeat, Repeat::Refused | Repeat::ByPolicy) {
            lease.count_retry();
        }
        true
    }

    /// Whether the request is sent again after a response with this status.
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
        // Hardly ever.
        if !failure.is_among(&lease.settings().backend.retry.on) || !exchange.is_body_untouched() {
            return false;
        }
        self.allow(Repeat::after(failure, cx, request, lease), lease)
    }

    /// Whether a request that has failed may be sent again, and how.
    pub(super) fn repeat<C: Client>(
        &self,
        error: &ProxyError,
        cx: &Context,
        request: &Request,
        exchange: &Exchange<C>,
    ) -> Repeat {
        let ProxyError::Exchange(error) = error else {
            return Repeat::Never;
        };
        if !exchange.is_body_untouched() {
            return Repeat::Never;
        }
        // Another request may have ended a connection of HTTP/2 that is new to this one.
        let is_pooled = exchange.lease().origin == Origin::Pooled;
        let has_served = is_pooled || exchange.is_with_http2_server();
        match error {
            ExchangeError::Refused(error) => Repeat::refused(error),
            ExchangeError::Unsent if has_served => Repeat::Unsent,
            // RFC 9110, section 9.2.2.
            ExchangeError::Closed(_) | ExchangeError::IdleTimeout
                if has_served
                    && self.count == 1
                    && request.body.is_empty()
                    && cx.head.method_kind().is_idempotent() =>
            {
                Repeat::Once
            }
            error => match error.failure() {
                Some(failure) => Repeat::after(failure, cx, request, exchange.lease()),
                None => Repeat::Never,
            },
        }
    }
}

/// Whether a request may be sent again, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Something of it may have been acted on, and doing so twice may do harm.
    Never,
    /// Over a new connection, after the first try: doing so twice does no harm.
    Once,
    /// Over a new connection: nothing of it was sent.
    Unsent,
    /// Over any other connection: the server has said GOAWAY before it.
    Elsewhere,
    /// Over any other connection: the server has refused it.
    Refused,
    /// Over HTTP/1.1: the server has not acted on it.
    OverHttp1,
    /// To another server, if there is one: the configuration says so.
    ByPolicy,
}

impl Repeat {
    /// After a server has said that it did not act on the request.
    pub(super) fn refused(error: &Http2Error) -> Repeat {
        if error.requires_http1() {
            Repeat::OverHttp1
        } else if error.is_refused() {
            Repeat::Refused
        } else {
            Repeat::Elsewhere
        }
    }

    /// After a failure that the configuration may list.
    pub(super) fn after(
        failure: Failure,
        cx: &Context,
        request: &Request,
        lease: &Lease,
    ) -> Repeat {
        let retry = &lease.settings().backend.retry;
        let is_listed = failure.is_among(&retry.on);
        if is_listed
            && request.body.is_empty()
            && request.upgrade.is_none()
            && may_repeat(cx, retry)
        {
            Repeat::ByPolicy
        } else {
            Repeat::Never
        }
    }
}

/// Whether doing it twice does no harm, by its method or as the configuration says.
fn may_repeat(cx: &Context, retry: &Retry) -> bool {
    let method = cx.head.method();
    cx.head.method_kind().is_idempotent()
        || retry
            .methods
            .iter()
            .any(|listed| listed.as_str().as_bytes() == method)
}

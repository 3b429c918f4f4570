//! Which requests are sent again after an exchange that failed.

use super::client::Client;
use super::context::Context;
use super::error::ProxyError;
use super::exchange::{Exchange, ExchangeError};
use crate::http1::request::Parsed as Request;
use crate::http2::Http2Error;
use crate::upstream::Origin;

/// How often a request is sent that no server has acted on: enough for one that takes a few requests
/// on each connection.
const MAX_TRIES: u32 = 16;

/// The same if servers refuse it.
const MAX_REFUSALS: u32 = 3;

/// Whether a request is sent again, and how.
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
}

impl Repeat {
    /// Whether there may be another try after so many.
    pub(super) fn is_allowed(self, tries: u32) -> bool {
        match self {
            Repeat::Never => false,
            Repeat::Once => tries == 1,
            Repeat::Unsent | Repeat::Elsewhere => tries < MAX_TRIES,
            Repeat::Refused | Repeat::OverHttp1 => tries < MAX_REFUSALS,
        }
    }

    /// After an exchange that failed.
    pub(super) fn of<C: Client>(
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
                    && request.body.is_empty()
                    && cx.head.method_kind().is_idempotent() =>
            {
                Repeat::Once
            }
            _ => Repeat::Never,
        }
    }

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
}

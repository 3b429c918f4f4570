//! Reasons why a request fails, each with the status for the client and the end for the log.

use thiserror::Error;

use super::exchange::ExchangeError;
use crate::http::path::InvalidEscape;
use crate::http1::framing::FramingError;
use crate::http1::request::RequestError;
use crate::http1::target::TargetError;
use crate::http1::upgrade::UpgradeError;
use crate::plugin::Fault;
use crate::telemetry::End;
use crate::transport::client_hello::ClientHelloError;
use crate::upstream::{CheckoutError, DialCause, DialError};
use crate::wire::BodyError;

/// Reason why a request gets a local reply.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The head is not acceptable.
    #[error("refused")]
    Head(#[source] RequestError),
    /// The head took longer than `timeout.request_header`.
    #[error("the head took too long")]
    HeadTimeout,
    /// A connection without HTTP starts like TLS, but its `ClientHello` is invalid.
    #[error("refused")]
    ClientHello(#[source] ClientHelloError),
    /// The `ClientHello` took longer than `timeout.handshake`.
    #[error("the ClientHello took too long")]
    ClientHelloTimeout,
    /// The plugin decided on a response for a connection without HTTP.
    #[error("the plugin decided on a response for a connection without HTTP")]
    AnswerWithoutHttp,
    /// The request would be redirected, but it names no host.
    #[error("the request names no host to redirect to")]
    NoHost,
    /// `http.normalize_path` is on, and the path cannot be normalized.
    #[error("refused")]
    Path(#[source] InvalidEscape),
    /// The body is larger than `max_body`.
    #[error("the body is larger than the limit of {0} bytes")]
    BodyTooLarge(u64),
    /// The body is larger than `routing.body.size`.
    #[error("the body is larger than the {0} bytes that the router waits for")]
    BodyPrefixTooLarge(usize),
    /// The plugin failed, and `on_fault` is `reject`.
    #[error("the plugin failed")]
    Plugin(#[source] Fault),
    /// The router named no backend, and there is no default backend.
    #[error("no rule matched, and the frontend has no default backend")]
    NoBackend,
    /// An operator's table names a backend that is not in the configuration.
    #[error("a table names backend {0:?}, which is not in the configuration")]
    UnknownBackend(String),
    /// There is no connection to a server.
    #[error("no server")]
    Checkout(#[source] CheckoutError),
    /// The server sent no response that can be forwarded.
    #[error("no response")]
    Exchange(#[source] ExchangeError),
    /// The server switched protocols in a way that was not requested.
    #[error("the server's response to the handshake is invalid")]
    ServerHandshake(#[source] UpgradeError),
}

impl ProxyError {
    /// Returns the status for the client and the end for the log (DESIGN: failures).
    pub fn outcome(&self) -> (u16, End) {
        match self {
            ProxyError::Head(error) => (head_status(*error), End::Refused),
            ProxyError::HeadTimeout | ProxyError::ClientHelloTimeout => (408, End::ClientTimeout),
            ProxyError::ClientHello(_) | ProxyError::NoHost | ProxyError::Path(_) => {
                (400, End::Refused)
            }
            ProxyError::BodyTooLarge(_) | ProxyError::BodyPrefixTooLarge(_) => (413, End::Refused),
            ProxyError::Plugin(_) | ProxyError::AnswerWithoutHttp => (503, End::PluginFault),
            ProxyError::NoBackend | ProxyError::UnknownBackend(_) => (503, End::NoRoute),
            ProxyError::Checkout(CheckoutError::Unreachable(failed)) => (503, unreachable(failed)),
            ProxyError::Checkout(CheckoutError::NoneUsable) => (503, End::NoServer),
            ProxyError::Checkout(CheckoutError::QueueTimeout(_)) => (503, End::QueueTimeout),
            ProxyError::Checkout(CheckoutError::QueueFull) => (503, End::QueueFull),
            ProxyError::Exchange(error) => exchange_outcome(error),
            ProxyError::ServerHandshake(_) => (502, End::ServerInvalid),
        }
    }
}

fn head_status(error: RequestError) -> u16 {
    match error {
        RequestError::TargetTooLong => 414,
        RequestError::HeadTooLarge | RequestError::TooManyFields => 431,
        RequestError::Target(TargetError::Connect) => 405,
        // RFC 9112, section 6.1.
        RequestError::Framing(FramingError::UnknownCoding) => 501,
        _ => 400,
    }
}

/// Returns the cause that all attempts have in common, or [`End::NoServer`] if there is none.
fn unreachable(failed: &[DialError]) -> End {
    let mut causes = failed.iter().map(DialError::cause);
    let Some(first) = causes.next() else {
        return End::NoServer;
    };
    if causes.any(|cause| cause != first) {
        return End::NoServer;
    }
    match first {
        DialCause::Refused => End::ConnectRefused,
        DialCause::TimedOut => End::ConnectTimeout,
        DialCause::Exhausted => End::NoResources,
        DialCause::Other => End::ConnectFailed,
    }
}

fn exchange_outcome(error: &ExchangeError) -> (u16, End) {
    match error {
        ExchangeError::Unsent
        | ExchangeError::Refused(_)
        | ExchangeError::Reset(_)
        | ExchangeError::Closed(_)
        | ExchangeError::Incomplete(_)
        | ExchangeError::IdleTimeout => (502, End::ServerClosed),
        ExchangeError::Unsendable(_) | ExchangeError::Invalid(_) | ExchangeError::Interim => {
            (502, End::ServerInvalid)
        }
        ExchangeError::ServerTimeout => (504, End::ServerTimeout),
        ExchangeError::ClientTimeout => (408, End::ClientTimeout),
        ExchangeError::ClientBody(BodyError::Chunk(_)) => (400, End::Refused),
        ExchangeError::ClientBody(_) => (400, End::ClientClosed),
        ExchangeError::BodyTooLarge(_) => (413, End::Refused),
        // The client is gone, so no one reads this status.
        ExchangeError::ClientGone(_) => (499, End::ClientClosed),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::upstream::endpoint::Address;

    #[test]
    fn attempts_that_failed() {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NotFound, TimedOut,
        };
        let check = |kinds: &[io::ErrorKind], expected| {
            let failed = kinds.iter().map(|&kind| DialError {
                server: "a".to_owned(),
                address: Address::Unix(PathBuf::from("/a")),
                error: kind.into(),
            });
            let error = ProxyError::Checkout(CheckoutError::Unreachable(failed.collect()));
            assert_eq!(error.outcome(), (503, expected), "{kinds:?}");
        };
        check(&[ConnectionRefused], End::ConnectRefused);
        check(&[ConnectionRefused, NotFound], End::ConnectRefused);
        check(&[TimedOut], End::ConnectTimeout);
        check(&[HostUnreachable], End::ConnectFailed);
        check(&[AddrNotAvailable], End::NoResources);
        check(&[TimedOut, ConnectionRefused], End::NoServer);
        check(&[ConnectionRefused, TimedOut, TimedOut], End::NoServer);
    }
}

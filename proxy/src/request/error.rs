//! Why a request fails: what the client is told, and what the log is.

use http::StatusCode;
use thiserror::Error;

use crate::http::target::TargetError;
use crate::http::upgrade::UpgradeError;
use crate::plugin::Fault;
use crate::telemetry::End;
use crate::upstream::CheckoutError;

/// Why a request gets an answer of the proxy's own.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The target or Host is not acceptable.
    #[error("refused")]
    Target(#[source] TargetError),
    /// A transfer coding other than `chunked` alone.
    #[error("refused: a transfer coding that is not known here")]
    TransferCoding,
    /// The handshake for an upgrade is incomplete.
    #[error("refused")]
    Handshake(#[source] UpgradeError),
    /// The plugin failed, and the frontend's policy is to reject.
    #[error("the plugin failed")]
    Plugin(#[source] Fault),
    /// The router named no backend, and there is no default.
    #[error("no rule matched, and the frontend has no default backend")]
    NoBackend,
    /// No connection to a server.
    #[error("no server")]
    Checkout(#[source] CheckoutError),
    /// The server closed the connection before its response's head was whole.
    #[error("the server closed the connection before it answered")]
    ServerClosed(#[source] hyper::Error),
    /// The same, found before the request was sent.
    #[error("the server closed the connection")]
    ServerEnded,
    /// The server's answer is not HTTP.
    #[error("the server's answer is not HTTP")]
    ServerInvalid(#[source] hyper::Error),
    /// Interim responses without end.
    #[error("the server sent interim responses and no other")]
    ServerInterim,
    /// The server's framing could be read in two ways.
    #[error("the server's answer has a transfer coding that is not known here")]
    ServerTransferCoding,
    /// The server switched protocols as nobody asked it to.
    #[error("the server's answer to the handshake is wrong")]
    ServerHandshake(#[source] UpgradeError),
    /// Nothing came from the server for `timeout.server`.
    #[error("the server was silent for too long")]
    ServerTimeout,
    /// Nothing came from the client for `timeout.client`.
    #[error("the client stopped in the middle of its body")]
    ClientTimeout,
    /// The client's body broke off, or is not framed as HTTP asks.
    #[error("the client's body broke off")]
    ClientBody,
}

impl ProxyError {
    /// Status for the client and word for the log (ARCHITECTURE.md, "Failures").
    pub fn outcome(&self) -> (StatusCode, End) {
        match self {
            ProxyError::Target(TargetError::Connect) => {
                (StatusCode::METHOD_NOT_ALLOWED, End::Refused)
            }
            ProxyError::Target(_) | ProxyError::Handshake(_) => {
                (StatusCode::BAD_REQUEST, End::Refused)
            }
            // RFC 9112, section 6.1.
            ProxyError::TransferCoding => (StatusCode::NOT_IMPLEMENTED, End::Refused),
            ProxyError::Plugin(_) => (StatusCode::SERVICE_UNAVAILABLE, End::PluginFault),
            ProxyError::NoBackend => (StatusCode::SERVICE_UNAVAILABLE, End::NoRoute),
            ProxyError::Checkout(CheckoutError::Unreachable { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, End::ConnectFailed)
            }
            ProxyError::Checkout(CheckoutError::QueueFull(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, End::QueueTimeout)
            }
            ProxyError::ServerClosed(_) | ProxyError::ServerEnded => {
                (StatusCode::BAD_GATEWAY, End::ServerClosed)
            }
            ProxyError::ServerInvalid(_)
            | ProxyError::ServerInterim
            | ProxyError::ServerTransferCoding
            | ProxyError::ServerHandshake(_) => (StatusCode::BAD_GATEWAY, End::ServerInvalid),
            ProxyError::ServerTimeout => (StatusCode::GATEWAY_TIMEOUT, End::ServerTimeout),
            ProxyError::ClientTimeout => (StatusCode::REQUEST_TIMEOUT, End::ClientTimeout),
            ProxyError::ClientBody => (StatusCode::BAD_REQUEST, End::ClientClosed),
        }
    }
}

//! One check of an endpoint: over TCP, HTTP or gRPC, with TLS and the PROXY protocol as for
//! requests.
//!
//! Checks use hyper for HTTP/1.1 and h2 for HTTP/2, without the limits of `http2::budget`. None are
//! needed, since a check is one request on a separate connection with its own timeout.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::time::timeout;

use crate::config::{Check, CheckKind, Protocol, Statuses};
use crate::transport::async_io::AsyncIo;
use crate::transport::proxy_protocol::Header;
use crate::upstream::connect::{self, DialCause};
use crate::upstream::endpoint::Address;
use crate::upstream::establish::Handshake;

/// User agent of checks.
const AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Maximum length of a gRPC response body that is read. The response contains a single number.
const MAX_GRPC_ANSWER: usize = 1024;

/// Reason why a check has failed.
#[derive(Debug, Error)]
pub(super) enum CheckError {
    #[error("{0}")]
    Connect(#[source] io::Error),
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("the response is not valid HTTP: {0}")]
    Http1(#[source] hyper::Error),
    #[error("the response is not valid HTTP/2: {0}")]
    Http2(#[source] h2::Error),
    #[error("the request cannot be built: {0}")]
    Request(#[source] http::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("gRPC status {0}")]
    Grpc(String),
    #[error("the service is not serving")]
    NotServing,
}

impl CheckError {
    /// Returns whether this process has no descriptors, ports or memory left.
    pub(super) fn is_exhaustion(&self) -> bool {
        matches!(self, CheckError::Connect(error) if DialCause::of(error) == DialCause::Exhausted)
    }
}

impl From<h2::Error> for CheckError {
    fn from(error: h2::Error) -> CheckError {
        CheckError::Http2(error)
    }
}

impl From<hyper::Error> for CheckError {
    fn from(error: hyper::Error) -> CheckError {
        CheckError::Http1(error)
    }
}

/// Checks the endpoint at this address. The Host field is `host`, unless the check specifies
/// another one.
pub(super) async fn check(
    check: &Check,
    address: &Address,
    host: &str,
    handshake: &Handshake,
) -> Result<(), CheckError> {
    let address = match (check.port, address) {
        (Some(port), Address::Tcp(address)) => {
            Address::Tcp(SocketAddr::new(address.ip(), port.get()))
        }
        (_, address) => address.clone(),
    };
    let checked = timeout(check.timeout, once(check, &address, host, handshake)).await;
    checked.unwrap_or(Err(CheckError::TimedOut(check.timeout)))
}

async fn once(
    check: &Check,
    address: &Address,
    host: &str,
    handshake: &Handshake,
) -> Result<(), CheckError> {
    let offered: &[&[u8]] = match (&check.kind, handshake.protocol()) {
        (CheckKind::Tcp, _) => &[],
        (CheckKind::Grpc { .. }, _) | (_, Protocol::Http2 | Protocol::H2c) => &[b"h2"],
        (CheckKind::Http { .. }, Protocol::Http1 | Protocol::Negotiated) => &[b"http/1.1"],
    };
    let connected = async {
        let socket = connect::connect(address).await?;
        handshake.secure(socket, &Header::Local, offered).await
    };
    let (io, _) = connected.await.map_err(CheckError::Connect)?;
    let io = AsyncIo(io);
    let scheme = if handshake.has_tls() { "https" } else { "http" };
    match &check.kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http {
            path,
            host: named,
            expect,
        } => {
            let host = named.as_deref().unwrap_or(host);
            let is_http2 = offered == [b"h2"];
            let status = if is_http2 {
                let request = Request::get(format!("{scheme}://{host}{path}"))
                    .version(Version::HTTP_2)
                    .header(USER_AGENT, AGENT);
                http2(io, request.body(()).map_err(CheckError::Request)?).await?
            } else {
                let request = Request::get(path)
                    .header(HOST, host)
                    .header(USER_AGENT, AGENT);
                http1(io, request.body(Empty::new()).map_err(CheckError::Request)?).await?
            };
            expected(status, expect)
        }
        CheckKind::Grpc { service } => {
            let target = format!("{scheme}://{host}/grpc.health.v1.Health/Check");
            let request = Request::builder()
                .method(Method::POST)
                .uri(target)
                .version(Version::HTTP_2)
                .header(CONTENT_TYPE, "application/grpc")
                .header(TE, "trailers")
                .header(USER_AGENT, AGENT)
                .body(());
            grpc(io, request.map_err(CheckError::Request)?, service).await
        }
    }
}

fn expected(status: StatusCode, expect: &Statuses) -> Result<(), CheckError> {
    if expect.contains(status.as_u16()) {
        Ok(())
    } else {
        Err(CheckError::Status(status.as_u16()))
    }
}

async fn http1(io: AsyncIo, request: Request<Empty<Bytes>>) -> Result<StatusCode, CheckError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    let exchange = async { Ok(sender.send_request(request).await?.status()) };
    over(connection, exchange).await
}

async fn http2(io: AsyncIo, request: Request<()>) -> Result<StatusCode, CheckError> {
    let (sender, connection) = h2::client::handshake(io).await?;
    let exchange = async {
        let (response, _) = sender.ready().await?.send_request(request, true)?;
        Ok(response.await?.status())
    };
    over(connection, exchange).await
}

async fn grpc(io: AsyncIo, request: Request<()>, service: &str) -> Result<(), CheckError> {
    let (sender, connection) = h2::client::handshake(io).await?;
    let exchange = async {
        let (response, mut body) = sender.ready().await?.send_request(request, false)?;
        body.send_data(message(service), true)?;
        let (head, mut body) = response.await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(CheckError::Status(head.status.as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            let room = MAX_GRPC_ANSWER.saturating_sub(answer.len());
            answer.extend_from_slice(&data[..data.len().min(room)]);
        }
        let trailers = poll_fn(|cx| body.poll_trailers(cx)).await?;
        grpc_status(trailers.as_ref().unwrap_or(&head.headers))?;
        if is_serving(&answer) {
            Ok(())
        } else {
            Err(CheckError::NotServing)
        }
    };
    over(connection, exchange).await
}

/// Drives the connection until the exchange is complete, and returns the result of the exchange. A
/// server may close the connection right after its response.
async fn over<T, C>(
    connection: impl Future<Output = Result<(), C>>,
    exchange: impl Future<Output = Result<T, CheckError>>,
) -> Result<T, CheckError> {
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // The connection has ended. The exchange fails unless its response has already arrived.
        _ = connection => exchange.await,
    }
}

/// Encodes `HealthCheckRequest { service }` as a gRPC message: a byte for "not compressed", the
/// length of the message, and protobuf field number 1.
fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            field.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        field.push(u8::try_from(length).unwrap_or(0));
        field.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    let mut message = vec![0];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&field);
    message.into()
}

fn grpc_status(trailers: &HeaderMap) -> Result<(), CheckError> {
    let status = trailers.get("grpc-status");
    match status.map(http::HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        Some(status) => Err(CheckError::Grpc(status.escape_ascii().to_string())),
        None => Err(CheckError::Grpc("missing".to_owned())),
    }
}

/// Returns whether `HealthCheckResponse { status }` is SERVING, which is 1.
fn is_serving(mut message: &[u8]) -> bool {
    // Compressed messages and messages with a wrong length do not count as SERVING.
    if message.len() < 5 || message.get_u8() != 0 {
        return false;
    }
    message.get_u32() as usize == message.len() && message == [0x08, 0x01]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_grpc() {
        assert_eq!(&message("")[..], b"\0\0\0\0\0");
        assert_eq!(&message("ab")[..], b"\0\0\0\0\x04\x0a\x02ab");
        let long = message(&"a".repeat(300));
        assert_eq!(&long[..8], b"\0\0\0\x01\x2f\x0a\xac\x02");
        for (answer, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], true),
            (b"\0\0\0\0\x02\x08\x02", false),
            (b"\x01\0\0\0\x02\x08\x01", false),
            (b"\0\0\0\0\x03\x08\x01", false),
            (b"\0\0\0\0\0", false),
            (b"", false),
        ] {
            assert_eq!(is_serving(answer), expected, "{answer:?}");
        }
    }
}

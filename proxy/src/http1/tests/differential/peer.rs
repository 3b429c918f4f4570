//! Runs hyper over an in-memory stream and reports how hyper reads the given bytes.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::Lines;

/// The parser of hyper that is used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Server,
    /// hyper's client, after it has sent a request with this method.
    Client(&'static str),
}

/// Result of hyper's parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Whole(Whole),
    /// hyper was still waiting for more when the input ended.
    Partial,
    Refused,
}

/// A message that hyper delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    /// Method or status.
    pub(super) start: Vec<u8>,
    /// Target of a request.
    pub(super) target: Option<Vec<u8>>,
    pub(super) lines: Lines,
    pub(super) body: Vec<u8>,
}

/// Feeds hyper all of `input`, then the end of the stream.
pub(super) fn see(input: &[u8], side: Side) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let seen = async {
        match side {
            Side::Server => serve(input).await,
            Side::Client(method) => ask(input, method).await,
        }
    };
    runtime.block_on(async {
        let seen = tokio::time::timeout(Duration::from_secs(5), seen).await;
        seen.unwrap_or_else(|_| panic!("hyper waits: {}", input.escape_ascii()))
    })
}

async fn serve(input: &[u8]) -> Seen {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let first = Arc::new(Mutex::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let first = Arc::clone(&first);
        async move {
            let (parts, body) = request.into_parts();
            let seen = whole(
                parts.method.as_str().as_bytes(),
                Some(target_of(&parts.uri)),
                &parts.headers,
                body,
            )
            .await;
            first.lock().unwrap().get_or_insert(seen);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    let (ended, ()) = tokio::join!(connection, feed(client, input));
    let seen = first.lock().unwrap().take();
    match (seen, ended) {
        (Some(seen), _) => seen,
        (None, Err(error)) if error.is_parse() => Seen::Refused,
        (None, _) => Seen::Partial,
    }
}

/// Returns the target in origin form. For an absolute target with an empty path, the http crate
/// omits the `/`.
fn target_of(uri: &hyper::Uri) -> Vec<u8> {
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let slash = if target.starts_with('?') { "/" } else { "" };
    [slash, target].concat().into_bytes()
}

/// Sends all of `input` and discards everything received.
async fn feed(mut client: DuplexStream, input: &[u8]) {
    // A server that has rejected the input may have closed the stream.
    let _ = client.write_all(input).await;
    let _ = client.shutdown().await;
    let _ = client.read_to_end(&mut Vec::new()).await;
}

async fn ask(input: &[u8], method: &str) -> Seen {
    let (client, mut server) = tokio::io::duplex(64 * 1024);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(client));
    let (mut sender, connection) = handshake.await.unwrap();
    let request = Request::builder()
        .method(method)
        .uri("/")
        .header("host", "a")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        let _ = server.write_all(input).await;
        drop(server);
    };
    let seen = async {
        let (parts, body) = match sender.send_request(request).await {
            Ok(response) => response.into_parts(),
            Err(error) if error.is_parse() => return Seen::Refused,
            Err(_) => return Seen::Partial,
        };
        whole(parts.status.as_str().as_bytes(), None, &parts.headers, body).await
    };
    let (seen, (), _) = tokio::join!(seen, answer, connection);
    seen
}

async fn whole(start: &[u8], target: Option<Vec<u8>>, headers: &HeaderMap, body: Incoming) -> Seen {
    let own = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    let lines = headers.iter().map(own).collect();
    match body.collect().await {
        Ok(body) => Seen::Whole(Whole {
            start: start.to_vec(),
            target,
            lines,
            body: body.to_bytes().to_vec(),
        }),
        Err(error) if is_end(&error) => Seen::Partial,
        Err(_) => Seen::Refused,
    }
}

/// Returns whether a body ended too early.
fn is_end(error: &hyper::Error) -> bool {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_incomplete_message()
        || cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::UnexpectedEof)
}

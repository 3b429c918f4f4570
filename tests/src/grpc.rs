//! A gRPC server with only the health service: `grpc.health.v1.Health`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};

use crate::http2::{Asked, Http2Origin};

/// Health of each service: 1 is SERVING, 2 is `NOT_SERVING`.
type Services = Arc<Mutex<BTreeMap<String, u8>>>;

/// A server that responds to health checks over HTTP/2 without TLS. It responds to other requests
/// with its name.
#[derive(Debug)]
pub struct GrpcOrigin {
    origin: Http2Origin,
    services: Services,
}

impl GrpcOrigin {
    /// Starts a server that has no service at first.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn with_name(name: &'static str) -> anyhow::Result<Self> {
        let services = Services::default();
        let known = Arc::clone(&services);
        let origin = Http2Origin::start(h2::server::Builder::new(), None, move |asked| {
            let services = Arc::clone(&known);
            async move {
                if asked.request.uri().path() == "/grpc.health.v1.Health/Check" {
                    answer(asked, &services).await
                } else {
                    asked.answer(name)
                }
            }
        })
        .await?;
        Ok(Self { origin, services })
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// Sets whether this service reports itself as serving from now on.
    pub fn set_serving(&self, service: &str, is_serving: bool) {
        let status = if is_serving { 1 } else { 2 };
        lock(&self.services).insert(service.to_owned(), status);
    }
}

fn lock(services: &Services) -> MutexGuard<'_, BTreeMap<String, u8>> {
    services.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(mut asked: Asked, services: &Services) -> anyhow::Result<()> {
    let fields = asked.request.headers();
    ensure!(fields["content-type"] == "application/grpc", "{fields:?}");
    ensure!(fields["te"] == "trailers", "{fields:?}");
    let mut message = BytesMut::new();
    while let Some(piece) = asked.request.body_mut().data().await {
        message.extend_from_slice(&piece?);
    }
    let service = service(&message)?;
    let status = lock(services).get(&service).copied();
    let response = Response::builder().header("content-type", "application/grpc");
    let Some(status) = status else {
        // The status 5 is NOT_FOUND; the response has no body.
        let response = response.header("grpc-status", "5").body(())?;
        asked.respond.send_response(response, true)?;
        return Ok(());
    };
    let mut stream = asked.respond.send_response(response.body(())?, false)?;
    stream.send_data(Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}

/// Returns the service of a `HealthCheckRequest`.
fn service(message: &[u8]) -> anyhow::Result<String> {
    let (prefix, message) = message.split_at_checked(5).context("no message of gRPC")?;
    ensure!(prefix[0] == 0 && usize::from(prefix[4]) == message.len());
    match message {
        [] => Ok(String::new()),
        [0x0a, length, name @ ..] if usize::from(*length) == name.len() => {
            Ok(String::from_utf8(name.to_vec())?)
        }
        _ => anyhow::bail!("not a HealthCheckRequest: {message:?}"),
    }
}

//! Code shared by both backends: the accept loop, and the response for `/whoami`.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_TYPE,
    HOST, HeaderName, HeaderValue, ORIGIN, VARY, VIA,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Maximum number of connections that a backend serves at once: those of the proxy's pool, and some
/// pages.
const MAX_CONNECTIONS: usize = 256;

/// Pause after a failed `accept`, for example when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

pub(super) type Answer = Response<Full<Bytes>>;

/// Accepts connections forever and responds to each request by `answer`.
pub(super) async fn serve<F>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
{
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a demo backend cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(request))));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a demo backend's connection ended");
            }
            drop(permit);
        });
    }
}

/// Returns a JSON response that names the backend and repeats what it received.
pub(super) fn whoami(backend: &'static str, request: &Request<Incoming>) -> Answer {
    let field = |name: &HeaderName| text(request.headers(), name);
    let mut body = json!({
        "served_by": backend,
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "host": field(&HOST),
        "via": field(&VIA),
        "x_forwarded_for": field(&FORWARDED_FOR),
    })
    .to_string();
    body.push('\n');
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

/// Returns 405 for any method but GET and HEAD: both backends are read-only.
pub(super) fn refuse_method(method: &Method) -> Option<Answer> {
    (method != Method::GET && method != Method::HEAD).then(|| {
        let mut response = Response::new(Full::from("only GET and HEAD\n"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    })
}

/// Creates a plain-text response.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Adds headers that name the backend and that let only pages of the demo read the response.
pub(super) fn finish(backend: &'static str, origin: Option<HeaderValue>, answer: &mut Answer) {
    let headers = answer.headers_mut();
    headers.insert(SERVED_BY, HeaderValue::from_static(backend));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.filter(is_local) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-served-by"),
        );
    }
}

/// Returns the origin of the page that made the request (RFC 6454, section 7).
pub(super) fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ORIGIN).cloned()
}

/// Returns whether an origin is under `localhost`. Web pages from other sites can also reach
/// loopback, but must not read or send messages of the demo.
pub(super) fn is_local(origin: &HeaderValue) -> bool {
    let host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<Uri>().ok())
        .and_then(|origin| origin.host().map(str::to_ascii_lowercase));
    host.is_some_and(|host| host == "localhost" || host.ends_with(".localhost"))
}

/// Returns whether an origin is a page of the demo, which the proxy serves on `port`.
pub(super) fn is_page(origin: &HeaderValue, port: u16) -> bool {
    let url = origin.to_str().ok().and_then(|it| it.parse::<Uri>().ok());
    let is_same = url.is_some_and(|url| {
        url.scheme_str() == Some("http") && url.port_u16().unwrap_or(80) == port
    });
    is_same && is_local(origin)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .map(|value| value.as_bytes().escape_ascii().to_string())
}

//! `www_backend`: the page, `POST /swap/PLUGIN` for its button, and `/whoami` for every other path.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::backend::{self, Answer};
use super::policy::{ConfigFile, Policy};

const NAME: &str = "www_backend";

/// Content security policy: the page loads nothing from other sites. Its requests and its WebSocket
/// go to other names of this machine, at the proxy's port.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; img-src data:; \
    connect-src http://localhost:* http://*.localhost:* ws://*.localhost:*; \
    base-uri 'none'; form-action 'none'";

/// Serves the page until the future is dropped. The page is reached through the proxy at `port`.
pub(super) async fn run(listener: TcpListener, port: u16, config: Arc<ConfigFile>) {
    let page = Arc::new(Bytes::from(html(port)));
    let serve = move |request| answer(&page, port, &config, &request);
    backend::serve(listener, serve).await;
}

fn answer(page: &Bytes, port: u16, config: &ConfigFile, request: &Request<Incoming>) -> Answer {
    let swap_to = request.uri().path().strip_prefix("/swap/");
    let mut answer = if let Some(plugin) = swap_to.filter(|_| request.method() == Method::POST) {
        swap(config, port, plugin, request.headers())
    } else if let Some(refusal) = backend::refuse_method(request.method()) {
        refusal
    } else if request.uri().path() == "/" {
        let mut response = Response::new(Full::new(page.clone()));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    } else {
        backend::whoami(NAME, request)
    };
    backend::finish(NAME, backend::origin(request.headers()), &mut answer);
    answer
}

/// Swaps the plugin, but only on a request from a page of the demo. Other web pages can send the
/// same request.
fn swap(config: &ConfigFile, port: u16, plugin: &str, headers: &HeaderMap) -> Answer {
    if !backend::origin(headers).is_some_and(|origin| backend::is_page(&origin, port)) {
        return backend::plain(StatusCode::FORBIDDEN, "pages of the demo only\n");
    }
    let Some(policy) = Policy::of(plugin) else {
        return backend::plain(StatusCode::NOT_FOUND, "no such plugin in the demo\n");
    };
    match config.swap(policy) {
        Ok(()) => backend::plain(StatusCode::ACCEPTED, "swapping\n"),
        Err(error) => {
            tracing::error!(%error, "the demo cannot swap its plugin");
            backend::plain(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
        }
    }
}

/// Joins the three source files of the page into one. The form of the placeholders occurs in
/// neither CSS nor JavaScript.
fn html(port: u16) -> String {
    include_str!("page.html")
        .replace("@style@", include_str!("page.css"))
        .replace("@script@", include_str!("page.js"))
        .replace("@port@", &port.to_string())
}

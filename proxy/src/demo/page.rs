//! `www_backend`: the page, and `/whoami` for every other path.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::backend::{self, Answer};

const NAME: &str = "www_backend";

/// Nothing is loaded from elsewhere; requests and the WebSocket go to other names of this
/// machine, at the proxy's port.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; img-src data:; \
    connect-src http://localhost:* http://*.localhost:* ws://*.localhost:*; \
    base-uri 'none'; form-action 'none'";

/// Serves the page for ever. `port` is the proxy's.
pub(super) async fn run(listener: TcpListener, port: u16) {
    let page = Arc::new(Bytes::from(html(port)));
    backend::serve(listener, move |request| answer(&page, &request)).await;
}

fn answer(page: &Bytes, request: &Request<Incoming>) -> Answer {
    let mut answer = if let Some(refusal) = backend::refuse_method(request.method()) {
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

/// One file for the browser, three for people who edit it. The placeholders are in a form that
/// neither CSS nor JavaScript has.
fn html(port: u16) -> String {
    include_str!("page.html")
        .replace("@style@", include_str!("page.css"))
        .replace("@script@", include_str!("page.js"))
        .replace("@port@", &port.to_string())
}

//! `redirect_to_https` of a bind: redirects every request to the same URL with `https`.

use super::context::Context;
use super::error::ProxyError;
use super::reply::Reply;
use crate::config::RedirectToHttps;
use crate::http::authority::split_port;
use crate::http::message::RequestHead;

/// Returns the redirect for a request that arrived without TLS at a bind with `redirect_to_https`.
/// With 308, clients keep the method and the body (RFC 9110, section 15.4.9).
pub(super) fn answer(cx: &mut Context, redirect: RedirectToHttps) -> Reply {
    match location(&cx.head, redirect) {
        Some(location) => Reply::redirect(cx, &location),
        None => Reply::refusal(cx, &ProxyError::NoHost),
    }
}

/// Returns the new URL; None if the request names no host.
fn location(head: &RequestHead, redirect: RedirectToHttps) -> Option<Vec<u8>> {
    let (host, _) = split_port(head.authority().unwrap_or_default());
    if host.is_empty() {
        return None;
    }
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host);
    if let Some(port) = redirect.port {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    // `OPTIONS *` corresponds to a URL without a path (RFC 9112, section 3.3).
    if head.target() != b"*" {
        location.extend_from_slice(head.target());
    }
    Some(location)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::http::message::Version;

    #[test]
    fn locations() {
        let check = |host: Option<&str>, target: &str, port, expected: Option<&str>| {
            let mut head = RequestHead::default();
            head.start(b"GET", target.as_bytes(), Version::Http11);
            if let Some(host) = host {
                head.fields_mut().push(b"Host", host.as_bytes());
            }
            let port = NonZeroU16::new(port);
            let found = location(&head, RedirectToHttps { port });
            let found = found.map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), expected, "{host:?} {target} {port:?}");
        };
        let www = Some("www.test.tld");
        check(www, "/a?b=c", 0, Some("https://www.test.tld/a?b=c"));
        check(www, "/", 8443, Some("https://www.test.tld:8443/"));
        check(www, "*", 0, Some("https://www.test.tld"));
        check(
            www,
            "//evil.tld/",
            0,
            Some("https://www.test.tld//evil.tld/"),
        );
        let port = Some("www.test.tld:8080");
        check(port, "/", 0, Some("https://www.test.tld/"));
        check(port, "/", 8443, Some("https://www.test.tld:8443/"));
        check(Some("[::1]:80"), "/", 0, Some("https://[::1]/"));
        check(Some("[::1]"), "/", 8443, Some("https://[::1]:8443/"));
        check(Some(""), "/", 0, None);
        check(Some(":80"), "/", 0, None);
        check(None, "/", 0, None);
    }
}

//! Fields that a proxy takes out, puts in or rewrites.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Version};

/// `X-Forwarded-For`: every client and proxy on the way, the nearest last.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`: the scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`: the Host that the client sent.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Of an upgrade that this proxy does not pass on.
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The comma-separated elements of a list field, over all its lines.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Whether the list field `name` has `token`, in any case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether Transfer-Encoding says `chunked` and nothing else: any other coding would have
/// to be undone by this proxy, which passes on the content alone.
pub fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut codings = tokens(headers, &TRANSFER_ENCODING);
    let is_chunked = codings
        .next()
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    is_chunked && codings.next().is_none()
}

/// Which of the fields that a proxy has to do with a message has: found in one pass over
/// the names, where a lookup for each would cost as much several times over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted(u16);

impl Noted {
    /// Connection.
    pub const CONNECTION: Noted = Noted(1);
    /// Content-Length.
    pub const CONTENT_LENGTH: Noted = Noted(1 << 1);
    /// Expect.
    pub const EXPECT: Noted = Noted(1 << 2);
    /// TE.
    pub const TE: Noted = Noted(1 << 3);
    /// Transfer-Encoding.
    pub const TRANSFER_ENCODING: Noted = Noted(1 << 4);
    /// Upgrade.
    pub const UPGRADE: Noted = Noted(1 << 5);
    /// X-Forwarded-For, -Proto or -Host.
    pub const FORWARDED: Noted = Noted(1 << 6);
    /// Keep-Alive, Proxy-Connection or HTTP2-Settings.
    const OTHER_HOP_BY_HOP: Noted = Noted(1 << 7);

    /// Looks at every name.
    pub fn of(headers: &HeaderMap) -> Noted {
        let bits = headers.keys().map(|name| match name.as_str() {
            "connection" => Noted::CONNECTION.0,
            "content-length" => Noted::CONTENT_LENGTH.0,
            "expect" => Noted::EXPECT.0,
            "te" => Noted::TE.0,
            "transfer-encoding" => Noted::TRANSFER_ENCODING.0,
            "upgrade" => Noted::UPGRADE.0,
            "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" => Noted::FORWARDED.0,
            "keep-alive" | "proxy-connection" | "http2-settings" => Noted::OTHER_HOP_BY_HOP.0,
            _ => 0,
        });
        Noted(bits.fold(0, |all, bit| all | bit))
    }

    /// Whether any of `fields` is among them.
    pub fn has(self, fields: Noted) -> bool {
        self.0 & fields.0 != 0
    }
}

/// Removes what is meant for this connection alone: the fields that Connection names, and
/// those that are so by definition (RFC 9110, section 7.6.1). `noted` is what is there.
///
/// `TE: trailers` stays, said anew: this proxy passes trailers on.
pub fn remove_hop_by_hop(headers: &mut HeaderMap, noted: Noted) {
    if noted.has(Noted::CONNECTION)
        && let Some(first) = headers.get(CONNECTION)
    {
        // What clients nearly always send names no field.
        let first = first.as_bytes();
        let is_plain =
            first.eq_ignore_ascii_case(b"keep-alive") || first.eq_ignore_ascii_case(b"close");
        if !is_plain || headers.get_all(CONNECTION).iter().nth(1).is_some() {
            remove_named(headers);
        }
        headers.remove(CONNECTION);
    }
    if noted.has(Noted::TE) {
        let trailers = has_token(headers, &TE, "trailers");
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    }
    if noted.has(Noted::TRANSFER_ENCODING) {
        headers.remove(TRANSFER_ENCODING);
    }
    if noted.has(Noted::UPGRADE) {
        headers.remove(UPGRADE);
    }
    if noted.has(Noted::OTHER_HOP_BY_HOP) {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
            headers.remove(name);
        }
    }
}

/// Removes the fields that Connection names. Those that frame or route the message are
/// not for a peer to take away.
fn remove_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| ![CONTENT_LENGTH, HOST, TE, TRAILER, VIA].contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Adds this proxy to Via (RFC 9110, section 7.6.3).
pub fn append_via(headers: &mut HeaderMap, received: Version) {
    headers.append(
        VIA,
        HeaderValue::from_static(if received == Version::HTTP_10 {
            "1.0 pointsman"
        } else {
            "1.1 pointsman"
        }),
    );
}

/// Whether the peer's own word about the request's origin is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A proxy of ours: what it says stays and is added to.
    Trusted,
    /// Anybody: what it says is replaced.
    Untrusted,
}

/// Sets `X-Forwarded-For`, `-Proto` and `-Host`. `noted` is what is there.
///
/// `client` is the peer's address; None for a Unix socket.
pub fn set_forwarded(
    headers: &mut HeaderMap,
    noted: Noted,
    client: Option<&HeaderValue>,
    scheme: &'static str,
    trust: Trust,
) {
    let mut has_some = noted.has(Noted::FORWARDED);
    if has_some && trust == Trust::Untrusted {
        remove_forwarded(headers);
        has_some = false;
    }
    if let Some(client) = client {
        headers.append(X_FORWARDED_FOR, client.clone());
    }
    if !has_some || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if (!has_some || !headers.contains_key(X_FORWARDED_HOST))
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Removes what a peer says of where a request came from.
pub fn remove_forwarded(headers: &mut HeaderMap) {
    for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[track_caller]
    fn same(found: &HeaderMap, expected: &[(&'static str, &'static str)]) {
        assert_eq!(*found, map(expected));
    }

    #[test]
    fn hop_by_hop() {
        let check = |lines: &[(&'static str, &'static str)],
                     expected: &[(&'static str, &'static str)]| {
            let mut headers = map(lines);
            let noted = Noted::of(&headers);
            remove_hop_by_hop(&mut headers, noted);
            same(&headers, expected);
        };
        check(
            &[
                ("connection", "keep-alive"),
                ("keep-alive", "5"),
                ("a", "b"),
            ],
            &[("a", "b")],
        );
        check(
            &[
                ("connection", "close, X-Hop"),
                ("x-hop", "1"),
                ("x-end", "2"),
            ],
            &[("x-end", "2")],
        );
        check(
            &[
                ("connection", "close"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
            ],
            &[],
        );
        check(
            &[
                ("connection", "content-length, host"),
                ("content-length", "5"),
                ("host", "a"),
            ],
            &[("content-length", "5"), ("host", "a")],
        );
        check(
            &[("te", "trailers, deflate")],
            &[("te", "trailers"), ("connection", "te")],
        );
        check(&[("te", "gzip")], &[]);
        check(
            &[
                ("transfer-encoding", "chunked"),
                ("upgrade", "x"),
                ("proxy-connection", "y"),
            ],
            &[],
        );
    }

    #[test]
    fn forwarded() {
        let client = HeaderValue::from_static("192.0.2.1");
        let check = |trust,
                     lines: &[(&'static str, &'static str)],
                     expected: &[(&'static str, &'static str)]| {
            let mut headers = map(lines);
            let noted = Noted::of(&headers);
            set_forwarded(&mut headers, noted, Some(&client), "http", trust);
            same(&headers, expected);
        };
        check(
            Trust::Untrusted,
            &[
                ("host", "a"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-host", "b"),
            ],
            &[
                ("host", "a"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a"),
            ],
        );
        check(
            Trust::Trusted,
            &[
                ("host", "a"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "https"),
            ],
            &[
                ("host", "a"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a"),
            ],
        );
        check(
            Trust::Untrusted,
            &[],
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "http"),
            ],
        );
    }
}

//! Heads in both directions.

use BodyLength::{Chunked, Known, None as Nothing};

use super::*;
use crate::http1::write::{ConnectionOption, Expect};

fn parts(line: &str, lines: &[(&str, &str)]) -> RequestParts {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut builder = http::Request::builder().method(method).uri(uri);
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn read(parts: &RequestParts, rest: Rest) -> (Result<Request, RequestError>, RequestHead) {
    let mut head = RequestHead::default();
    let read = request(parts, rest, &Limits::default(), &mut head);
    (read, head)
}

fn lines(head: &RequestHead) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let lines = head.fields().iter();
    lines
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

#[track_caller]
fn same(found: &[(String, String)], expected: &[(&str, &str)]) {
    let found: Vec<_> = found
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn requests() {
    let asked = parts(
        "GET http://a.test/b?c",
        &[
            ("cookie", "a=1"),
            ("x-y", "z"),
            ("cookie", "b=2"),
            ("te", "trailers, deflate"),
        ],
    );
    let (read, head) = read(&asked, Rest::None);
    assert_eq!(read.unwrap().body, BodyLength::None);
    assert_eq!((head.method(), head.target()), (&b"GET"[..], &b"/b?c"[..]));
    assert_eq!(head.version(), Version::Http2);
    same(
        &lines(&head),
        &[
            ("Host", "a.test"),
            ("x-y", "z"),
            ("te", "trailers"),
            ("Cookie", "a=1; b=2"),
        ],
    );
}

#[test]
fn authorities_are_without_the_default_port() {
    for (line, expected) in [
        ("GET http://a.test:80/", "a.test"),
        ("GET https://a.test:443/", "a.test"),
        ("GET http://a.test:443/", "a.test:443"),
        ("GET https://a.test:80/", "a.test:80"),
        ("GET https://[::1]:443/", "[::1]"),
    ] {
        let (read, head) = read(&parts(line, &[]), Rest::None);
        assert!(read.is_ok(), "{line}");
        assert_eq!(head.authority(), Some(expected.as_bytes()), "{line}");
    }
    // Without an authority, Host stays as it was sent.
    let (_, head) = read(&parts("GET /", &[("host", "a.test:80")]), Rest::None);
    assert_eq!(head.authority(), Some(&b"a.test:80"[..]));
}

#[test]
fn bodies() {
    let check = |lines: &[(&str, &str)], rest, expected| {
        let (read, _) = read(&parts("POST http://a.test/", lines), rest);
        assert_eq!(read.map(|request| request.body), expected, "{lines:?}");
    };
    check(&[], Rest::None, Ok(BodyLength::None));
    check(&[], Rest::Follows, Ok(BodyLength::Chunked));
    check(
        &[("content-length", "7")],
        Rest::Follows,
        Ok(BodyLength::Known(7)),
    );
    check(
        &[("content-length", "0")],
        Rest::None,
        Ok(BodyLength::Known(0)),
    );
    let invalid = || Err(RequestError::Framing(framing::FramingError::InvalidLength));
    check(&[("content-length", "+7")], Rest::Follows, invalid());
    check(&[("content-length", "7, 7")], Rest::Follows, invalid());
}

#[test]
fn refused_requests() {
    let check = |line: &str, lines: &[(&str, &str)], expected: TargetError| {
        let (read, _) = read(&parts(line, lines), Rest::None);
        assert_eq!(read, Err(expected.into()), "{line} {lines:?}");
    };
    check("GET /a", &[], TargetError::NoHost);
    check(
        "GET http://a.test/",
        &[("host", "b.test")],
        TargetError::SeveralHosts,
    );
    check(
        "GET /",
        &[("host", "a"), ("host", "a")],
        TargetError::SeveralHosts,
    );
    check(
        "GET http://user@a.test/",
        &[],
        TargetError::InvalidAuthority,
    );
    check("GET /", &[("host", "a b")], TargetError::InvalidAuthority);
    check("GET *", &[("host", "a")], TargetError::InvalidTarget);
    check("CONNECT a.test:443", &[], TargetError::Connect);
    // `:authority` or Host alone is enough, and both are allowed if they match.
    for (line, lines) in [
        ("GET /", &[("host", "a.test")][..]),
        ("GET http://a.test/", &[("host", "A.test")]),
        ("OPTIONS *", &[("host", "a.test")]),
    ] {
        assert!(read(&parts(line, lines), Rest::None).0.is_ok(), "{line}");
    }
    let many: Vec<_> = (0..300).map(|_| ("x", "y")).collect();
    let (refused, _) = read(&parts("GET http://a/", &many), Rest::None);
    assert_eq!(refused, Err(RequestError::TooManyFields));
}

#[test]
fn a_websocket_is_requested_as_in_http1() {
    let mut asked = parts(
        "CONNECT https://a.test/chat",
        &[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "mine"),
        ],
    );
    let protocol = h2::ext::Protocol::from_static("websocket");
    asked.extensions.insert(protocol);
    let (read, head) = read(&asked, Rest::Follows);
    let upgrade = read.unwrap().upgrade.unwrap();
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.method_kind(), MethodKind::Get);
    let lines = lines(&head);
    let key = &lines.last().unwrap().1;
    same(
        &lines,
        &[
            ("Host", "a.test"),
            ("sec-websocket-version", "13"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", key),
        ],
    );
    let expected = Upgrade::websocket(key.as_bytes());
    assert_eq!(upgrade.accept(), expected.accept());
}

fn outgoing(head: &RequestHead, target: Option<&[u8]>, edits: &[Edit]) -> http::Request<()> {
    let with = OutgoingRequest {
        body: BodyLength::Known(3),
        target,
        authority: None,
        default_host: b"server:80",
        edits,
        via: Via::Add,
        expect: Expect::Forward,
        persistence: Persistence::KeepAlive,
    };
    outgoing_request(head, &with, Scheme::Https, false).unwrap()
}

#[test]
fn requests_to_servers() {
    let mut head = RequestHead::default();
    head.start(b"PUT", b"/a?b=<c>", Version::Http11);
    for (name, value) in [
        ("Host", "a.test"),
        ("Connection", "keep-alive"),
        ("Content-Length", "3"),
        ("X-Gone", "1"),
        ("X-Kept", "2"),
        ("TE", "trailers"),
    ] {
        head.fields_mut().push(name.as_bytes(), value.as_bytes());
    }
    request::pass_te(head.fields_mut());
    let edits = [
        Edit::remove(b"x-gone").unwrap(),
        Edit::append(b"X-New", b"3").unwrap(),
    ];
    let request = outgoing(&head, None, &edits);
    assert_eq!(request.uri(), "https://a.test/a?b=%3Cc%3E");
    let found: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    same(
        &found,
        &[
            ("x-kept", "2"),
            ("te", "trailers"),
            ("x-new", "3"),
            ("via", "1.1 pointsman"),
            ("content-length", "3"),
        ],
    );
    head.start(b"GET", b"/", Version::Http10);
    assert_eq!(
        outgoing(&head, Some(b"/z"), &[]).uri(),
        "https://server:80/z"
    );
}

#[test]
fn responses_of_servers() {
    let check = |status: u16, length: Option<&str>, rest, method, body, declared| {
        let mut response = Response::builder().status(status);
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        let parts = response.body(()).unwrap().into_parts().0;
        let mut head = ResponseHead::default();
        let framing = super::response(&parts, rest, &Limits::default(), method, &mut head);
        let framing = framing.unwrap();
        let found = (framing.body, framing.declared);
        assert_eq!(found, (body, declared), "{status} {length:?} {rest:?}");
    };
    let get = MethodKind::Get;
    check(200, None, Rest::Follows, get, Chunked, Chunked);
    check(200, Some("5"), Rest::Follows, get, Known(5), Known(5));
    check(200, None, Rest::None, get, Nothing, Known(0));
    check(
        200,
        Some("5"),
        Rest::None,
        MethodKind::Head,
        Nothing,
        Known(5),
    );
    check(200, None, Rest::None, MethodKind::Head, Nothing, Nothing);
    check(304, Some("5"), Rest::None, get, Nothing, Known(5));
    check(204, None, Rest::None, get, Nothing, Nothing);
    check(103, None, Rest::None, get, Nothing, Nothing);
}

#[test]
fn responses_to_clients() {
    let mut head = ResponseHead::default();
    head.start(426, b"Upgrade Required", Version::Http11);
    for (name, value) in [("Upgrade", "h2c"), ("Connection", "upgrade"), ("X-A", "1")] {
        head.fields_mut().push(name.as_bytes(), value.as_bytes());
    }
    head.fields_mut()
        .set_forwarding(FieldKind::Upgrade, Forwarding::Forward);
    let with = OutgoingResponse {
        body: BodyLength::Known(0),
        connection: ConnectionOption::Close,
        date: Some(b"now"),
        edits: &[],
    };
    let response = outgoing_response(&head, &with);
    assert_eq!(response.status(), 426);
    let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-a", "date", "content-length"]);
}

#[test]
fn forbidden_trailers_are_dropped() {
    let mut map = HeaderMap::new();
    for (name, value) in [
        ("grpc-status", "0"),
        ("content-length", "3"),
        ("x-hop", "1"),
    ] {
        map.insert(name, value.parse().unwrap());
    }
    let mut head = Fields::default();
    head.push(b"Connection", b"x-hop");
    let passed = trailer_map(&trailers(&map), &head);
    let names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["grpc-status"]);
}

//! Request heads: accepted, rejected and incomplete.

use super::*;
use crate::http1::DEFAULT_MAX_HEADER_SIZE;

/// Parses a whole buffer into the request's properties and its head.
fn parsed(input: &[u8]) -> Result<(Parsed, RequestHead), RequestError> {
    let mut head = RequestHead::default();
    match parse(input, &Limits::default(), &mut Scan::default(), &mut head)? {
        Progress::Complete(request) => Ok((request, head)),
        Progress::Partial { .. } => panic!("partial: {}", input.escape_ascii()),
    }
}

/// Parses a POST with these field lines.
fn post(fields: &str) -> Result<Parsed, RequestError> {
    let input = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    parsed(input.as_bytes()).map(|(request, _)| request)
}

#[test]
fn heads() {
    use RequestError::*;
    use TargetError::{Connect, Fragment, InvalidHost, NoHost, SeveralHosts};
    let check = |input: &str, expected: Result<(), RequestError>| {
        let found = parsed(input.as_bytes());
        assert_eq!(
            found.as_ref().map(|_| ()),
            expected.as_ref().copied(),
            "{input:?}"
        );
        if let Ok((request, _)) = found {
            assert_eq!(request.consumed, input.len(), "{input:?}");
        }
    };
    for input in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "M-SEARCH /a HTTP/1.1\r\nHost:a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhOsT: \t a \t \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\r\nZ: \u{e9}\r\n\r\n",
    ] {
        check(input, Ok(()));
    }
    for (input, error) in [
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET / b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET /\tb HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET /\r\n\r\n", RequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", RequestLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", UnsupportedVersion),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", UnsupportedVersion),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2Preface),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", LineEnd),
        ("GET / HTTP/1.01\r\nHost: a\r\n\r\n", LineEnd),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", LineEnd),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(): b\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", LineEnd),
        ("GET / HTTP/1.1\r\n\r\n", Target(NoHost)),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            Target(SeveralHosts),
        ),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Target(InvalidHost)),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", Target(Connect)),
        (
            "GET http://io.test.tld#x HTTP/1.1\r\nHost: a\r\n\r\n",
            Target(Fragment),
        ),
    ] {
        check(input, Err(error));
    }
    let utf8 = parsed(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(utf8.map(|_| ()), Err(RequestLine));
}

#[test]
fn bodies_and_persistence() {
    let check = |fields: &str, body, persistence| {
        let request = post(fields).unwrap();
        assert_eq!(
            (request.body, request.persistence),
            (body, persistence),
            "{fields:?}"
        );
    };
    check("X: y", BodyLength::None, Persistence::KeepAlive);
    check(
        "Content-Length: 0",
        BodyLength::Known(0),
        Persistence::KeepAlive,
    );
    check(
        "Content-Length: 5\r\nContent-Length:5",
        BodyLength::Known(5),
        Persistence::KeepAlive,
    );
    check(
        "Content-Length: 010",
        BodyLength::Known(10),
        Persistence::KeepAlive,
    );
    check(
        "Transfer-Encoding:chunked \t",
        BodyLength::Chunked,
        Persistence::KeepAlive,
    );
    check(
        "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
        BodyLength::Chunked,
        Persistence::KeepAlive,
    );
    check(
        "Content-Length: 5\r\nConnection: Content-Length",
        BodyLength::Known(5),
        Persistence::KeepAlive,
    );
    check(
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        BodyLength::Chunked,
        Persistence::Close,
    );
    check("Connection: a, CLOSE", BodyLength::None, Persistence::Close);
    check(
        "Connection: keep-alive\r\nConnection: close",
        BodyLength::None,
        Persistence::Close,
    );
}

#[test]
fn framing_errors() {
    for fields in [
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length:",
    ] {
        assert_eq!(
            post(fields),
            Err(FramingError::InvalidLength.into()),
            "{fields}"
        );
    }
    let unknown = post("Transfer-Encoding: gzip, chunked");
    assert_eq!(unknown, Err(FramingError::UnknownCoding.into()));
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        parsed(old).map(|_| ()),
        Err(FramingError::CodingInHttp10.into())
    );
}

#[test]
fn http_1_0() {
    let check = |fields: &str, expected| {
        let input = format!("GET / HTTP/1.0\r\n{fields}\r\n");
        let (request, head) = parsed(input.as_bytes()).unwrap();
        assert_eq!(request.persistence, expected, "{fields:?}");
        assert_eq!(request.upgrade, None, "{fields:?}");
        assert_eq!(head.version(), Version::Http10);
        assert_eq!(head.authority(), None);
    };
    check("", Persistence::Close);
    check("Connection: Keep-Alive\r\n", Persistence::KeepAlive);
    check("Connection: keep-alive, close\r\n", Persistence::Close);
    check(
        "Connection: keep-alive, upgrade\r\nUpgrade: x\r\n",
        Persistence::KeepAlive,
    );
}

#[test]
fn expectations() {
    let check = |version, fields: &str, expected, is_forwarded| {
        let input = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n\r\n");
        let (request, head) = parsed(input.as_bytes()).unwrap();
        assert_eq!(request.expectation, expected, "{input:?}");
        assert_eq!(
            head.fields().forwards(FieldKind::Expect),
            is_forwarded,
            "{input:?}"
        );
    };
    let with_body = "Content-Length: 1\r\nExpect: 100-Continue";
    check("1.1", with_body, Expectation::Continue, true);
    check("1.0", with_body, Expectation::None, false);
    check("1.1", "Expect: 100-continue", Expectation::None, true);
    check(
        "1.1",
        "Transfer-Encoding: chunked\r\nExpect: other",
        Expectation::None,
        true,
    );
}

/// The plugin and the server see the same lines.
#[test]
fn forwarded_lines() {
    let check = |fields: &str, expected: &[(&str, &str)]| {
        let input = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        let (_, head) = parsed(input.as_bytes()).unwrap();
        let found: Vec<_> = head.fields().iter().collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        assert_eq!(found, expected, "{fields:?}");
    };
    check(
        "Host: a\r\nConnection: close, X-Hop\r\nConnection: x-other\r\nX-Hop: 1\r\nX-Other: 2\r\n\
         X-End: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip, trailers\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: x\r\nAuthorization: b",
        &[
            ("Host", "a"),
            ("X-End", "3"),
            ("TE", "trailers"),
            ("Authorization", "b"),
        ],
    );
    check(
        "Host: a\r\nConnection: Upgrade\r\nUpgrade: echo, x",
        &[("Host", "a"), ("Upgrade", "echo, x")],
    );
    check("Host: a\r\nUpgrade: echo", &[("Host", "a")]);
    check(
        "host: a\r\nX_Under: 1\r\nx-two: b\r\nX-Two: a",
        &[
            ("host", "a"),
            ("X_Under", "1"),
            ("x-two", "b"),
            ("X-Two", "a"),
        ],
    );
}

#[test]
fn upgrades() {
    let upgrade = post("Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 2");
    assert!(
        upgrade
            .unwrap()
            .upgrade
            .is_some_and(|upgrade| !upgrade.is_websocket())
    );
    let refused = post("Connection: upgrade\r\nUpgrade: websocket");
    assert_eq!(refused, Err(UpgradeError::Request.into()));
    let ignored = post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2");
    assert_eq!(ignored.unwrap().upgrade, None);
}

#[test]
fn limits() {
    let limits = Limits {
        max_headers: 100,
        max_header_size: 1000,
    };
    let check = |input: &str, expected: Result<(), RequestError>| {
        let mut head = RequestHead::default();
        let found = parse(input.as_bytes(), &limits, &mut Scan::default(), &mut head);
        assert_eq!(found.map(|_| ()), expected, "{} bytes", input.len());
    };
    let sized = |size: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(size - start.len() - 4))
    };
    check(&sized(1000), Ok(()));
    check(&(sized(1000) + "body"), Ok(()));
    check(&sized(1001), Err(RequestError::HeadTooLarge));
    check(&sized(5000), Err(RequestError::HeadTooLarge));
    let long_target = format!("GET /{} HTTP/1.1\r\n", "t".repeat(1000));
    check(&long_target, Err(RequestError::TargetTooLong));
    check(&format!("\r\n{long_target}"), Ok(()));
    let lines = |count: usize| {
        let more = "X:y\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    check(&lines(100), Ok(()));
    check(&lines(101), Err(RequestError::TooManyFields));
    let few = Limits {
        max_headers: 2,
        ..limits
    };
    let mut head = RequestHead::default();
    let found = parse(lines(3).as_bytes(), &few, &mut Scan::default(), &mut head);
    assert_eq!(found, Err(RequestError::TooManyFields));
}

/// Empty lines are skipped as soon as they are complete, so none is scanned twice, however many
/// arrive.
#[test]
fn empty_lines_are_skipped() {
    let mut scan = Scan::default();
    let mut head = RequestHead::default();
    let mut step = |input: &[u8]| parse(input, &Limits::default(), &mut scan, &mut head);
    assert_eq!(step(b""), Ok(Progress::Partial { skip: 0 }));
    assert_eq!(step(b"\r"), Ok(Progress::Partial { skip: 0 }));
    assert_eq!(step(b"\r\n"), Ok(Progress::Partial { skip: 2 }));
    assert_eq!(step(b"\n\r\n\r"), Ok(Progress::Partial { skip: 3 }));
    assert_eq!(step(b"\rG"), Ok(Progress::Partial { skip: 0 }));
    assert_eq!(step(b"\rG\n"), Err(RequestError::LineEnd));
}

/// A head that arrives byte by byte is parsed once for each of its lines.
#[test]
fn a_head_is_not_parsed_for_every_byte() {
    let value = "x".repeat(DEFAULT_MAX_HEADER_SIZE - 100);
    let input = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n");
    let mut scan = Scan::default();
    let due = (1..=input.len()).filter(|&end| {
        let buffer = &input.as_bytes()[..end];
        let is_due = scan.is_due(buffer, DEFAULT_MAX_HEADER_SIZE);
        if is_due {
            let _: Progress<()> = scan.partial(buffer, 0);
        }
        is_due
    });
    assert_eq!(due.count(), 1 + 4);
}

/// After a request is rejected, the log must not show the head of the request before it.
#[test]
fn a_head_after_an_error() {
    let mut head = RequestHead::default();
    let mut step = |input: &[u8]| {
        let _ = parse(input, &Limits::default(), &mut Scan::default(), &mut head);
        (head.target().to_vec(), head.fields().len())
    };
    let whole = step(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(whole, (b"/a".to_vec(), 1));
    let garbage = step(b"GET /b HTTP/1.1\r\nHost : a\r\n\r\n");
    assert_eq!(garbage, (Vec::new(), 0));
    let refused = step(b"GET /c HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(refused, (b"/c".to_vec(), 1));
}

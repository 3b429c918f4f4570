//! Response heads: accepted, rejected and incomplete.

use super::*;

fn parsed(method: &[u8], input: &[u8]) -> Result<(Parsed, ResponseHead), ResponseError> {
    let mut head = ResponseHead::default();
    let method = MethodKind::of(method);
    match parse(
        input,
        &Limits::default(),
        &mut Scan::default(),
        method,
        &mut head,
    )? {
        Progress::Complete(response) => Ok((response, head)),
        Progress::Partial { .. } => panic!("partial: {}", input.escape_ascii()),
    }
}

#[test]
fn status_lines() {
    let check = |line: &str, expected: Option<(u16, &[u8])>| {
        for rest in [
            "\r\nContent-Length: 0\r\n\r\n",
            "\r\n\r\n",
            "\n\n",
            "\nX:y\n\n",
        ] {
            let input = format!("{line}{rest}");
            let found = parsed(b"GET", input.as_bytes());
            let found = found
                .as_ref()
                .map(|(_, head)| (head.status(), head.reason()));
            assert_eq!(found.ok(), expected, "{input:?}");
        }
    };
    check("HTTP/1.1 200 OK", Some((200, b"OK")));
    check("HTTP/1.0 200 OK", Some((200, b"OK")));
    check("HTTP/1.1 200", Some((200, b"")));
    check("HTTP/1.1 200 ", Some((200, b"")));
    check("HTTP/1.1 200 Fine by\tme", Some((200, b"Fine by\tme")));
    check("HTTP/1.1 999 Odd", Some((999, b"Odd")));
    check(
        "HTTP/1.1 200 \u{e9}t\u{e9}",
        Some((200, "\u{e9}t\u{e9}".as_bytes())),
    );
    for line in [
        "hello, world",
        "ICY 200 OK",
        "HTTP/2 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.1 99 Low",
        "HTTP/1.1 099 Low",
        "HTTP/1.1 1000 High",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 200 a\rb",
        "HTTP/1.1 200 a\0b",
        " HTTP/1.1 200 OK",
    ] {
        check(line, None);
    }
}

/// Checks the framing of the body, the declared framing, and whether the connection is kept alive.
#[track_caller]
fn check_body(method: &str, input: &str, expected: (BodyLength, BodyLength, Persistence)) {
    let input = format!("HTTP/1.1 {input}\r\n\r\n");
    let (response, _) = parsed(method.as_bytes(), input.as_bytes()).unwrap();
    let found = (response.body, response.declared, response.persistence);
    assert_eq!(found, expected, "{method} {input:?}");
    assert_eq!(response.consumed, input.len(), "{method} {input:?}");
}

#[test]
fn bodies() {
    use BodyLength::{Chunked, Known, UntilClose};
    use Persistence::{Close, KeepAlive};
    let check = |input, body, persistence| check_body("GET", input, (body, body, persistence));
    check("200 OK\r\nContent-Length: 5", Known(5), KeepAlive);
    check("200 OK\r\nContent-Length: 010", Known(10), KeepAlive);
    check("200 OK\r\nContent-Length: 5, 5", Known(5), KeepAlive);
    check(
        "200 OK\r\nContent-Length: 5\r\nConnection: close",
        Known(5),
        Close,
    );
    check("200 OK\r\nTransfer-Encoding: chunked", Chunked, KeepAlive);
    check(
        "200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        Chunked,
        Close,
    );
    check("200 OK", UntilClose, Close);
}

#[test]
fn bodies_that_do_not_come() {
    use BodyLength::{Chunked, Known, None};
    let check = |method, input, declared| {
        check_body(method, input, (None, declared, Persistence::KeepAlive));
    };
    check("HEAD", "200 OK", None);
    check("HEAD", "200 OK\r\nContent-Length: 5", Known(5));
    check("HEAD", "200 OK\r\nTransfer-Encoding: chunked", Chunked);
    check("GET", "204 No Content\r\nContent-Length: 5", None);
    check("GET", "204 No Content\r\nTransfer-Encoding: chunked", None);
    check("GET", "304 Not Modified\r\nContent-Length: 5", Known(5));
    check("GET", "304 Not Modified", None);
    check("GET", "103 Early Hints\r\nContent-Length: 5", None);
    check("GET", "101 Switching Protocols\r\nContent-Length: 5", None);
}

/// A length that readers interpret differently ends the exchange even if no body follows.
#[test]
fn framing_errors() {
    for (method, status) in [
        ("GET", 200),
        ("HEAD", 200),
        ("GET", 204),
        ("GET", 304),
        ("GET", 103),
    ] {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: -5",
            "Content-Length: ",
            "Content-Length: ,",
            "Content-Length: \"5\"",
            "Content-Length: 18446744073709551621",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: chunked, chunked",
        ] {
            let input = format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n");
            let found = parsed(method.as_bytes(), input.as_bytes()).map(|_| ());
            let is_framing = matches!(found, Err(ResponseError::Framing(_)));
            assert!(is_framing, "{method} {input:?}: {found:?}");
        }
    }
}

#[test]
fn http_1_0() {
    let input = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n";
    let (response, head) = parsed(b"GET", input).unwrap();
    assert_eq!(response.persistence, Persistence::Close);
    assert_eq!(head.version(), Version::Http10);
    let coded = parsed(
        b"GET",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(coded.map(|_| ()), Err(FramingError::CodingInHttp10.into()));
}

#[test]
fn forwarded_lines() {
    let check = |status: u16, fields: &str, expected: &[&str]| {
        let input = format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n");
        let (_, head) = parsed(b"GET", input.as_bytes()).unwrap();
        let found: Vec<_> = head.fields().iter().map(|(name, _)| name).collect();
        let expected: Vec<_> = expected.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(found, expected, "{input:?}");
    };
    check(
        200,
        "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nUpgrade: h2c\r\n\
         TE: trailers\r\nServer: b\r\nset-cookie: c=1\r\nSet-Cookie: d=2",
        &["Server", "set-cookie", "Set-Cookie"],
    );
    check(101, "Connection: upgrade\r\nUpgrade: x", &["Upgrade"]);
    check(
        103,
        "Content-Length: 5\r\nTE: trailers\r\nLink: </a>",
        &["Link"],
    );
    check(204, "Content-Length: 0\r\nServer: b", &["Server"]);
}

#[test]
fn interim_responses_come_one_by_one() {
    let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut rest = &input[..];
    for expected in [100, 103, 200] {
        let (response, head) = parsed(b"GET", rest).unwrap();
        assert_eq!(
            (head.status(), head.is_interim()),
            (expected, expected < 200)
        );
        rest = &rest[response.consumed..];
    }
    assert!(rest.is_empty());
}

#[test]
fn limits() {
    let limits = Limits {
        max_headers: 70,
        max_header_size: 1000,
    };
    let check = |input: &str, expected: Result<(), ResponseError>| {
        let mut head = ResponseHead::default();
        let mut scan = Scan::default();
        let found = parse(
            input.as_bytes(),
            &limits,
            &mut scan,
            MethodKind::Get,
            &mut head,
        );
        assert_eq!(found.map(|_| ()), expected, "{} bytes", input.len());
    };
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1000));
    check(&long, Err(ResponseError::HeadTooLarge));
    check(
        &format!("HTTP/1.1 200 OK\r\n{}\r\n", "X:y\r\n".repeat(70)),
        Ok(()),
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X:y\r\n".repeat(71));
    check(&many, Err(ResponseError::TooManyFields));
}

//! Heads as the next hop receives them.

use super::*;
use crate::http::forwarded::{Trust, drop_claims, set_x_forwarded};
use crate::http::message::MethodKind;
use crate::http1::{Limits, Progress, Scan, request, response};

const PLAIN: OutgoingRequest<'_> = OutgoingRequest {
    body: BodyLength::None,
    target: None,
    authority: None,
    default_host: b"10.0.0.1:80",
    edits: &[],
    via: Via::Omit,
    expect: Expect::Forward,
    persistence: Persistence::KeepAlive,
};

const ANSWER: OutgoingResponse<'_> = OutgoingResponse {
    body: BodyLength::None,
    connection: ConnectionOption::Implied,
    date: None,
    edits: &[],
};

fn request_head(input: &str) -> (request::Parsed, RequestHead) {
    let mut head = RequestHead::default();
    let limits = Limits::default();
    let found = request::parse(input.as_bytes(), &limits, &mut Scan::default(), &mut head);
    match found {
        Ok(Progress::Complete(request)) => (request, head),
        other => panic!("{input:?}: {other:?}"),
    }
}

fn response_head(input: &str) -> (response::Parsed, ResponseHead) {
    let mut head = ResponseHead::default();
    let (limits, mut scan) = (Limits::default(), Scan::default());
    let method = MethodKind::Get;
    match response::parse(input.as_bytes(), &limits, &mut scan, method, &mut head) {
        Ok(Progress::Complete(response)) => (response, head),
        other => panic!("{input:?}: {other:?}"),
    }
}

#[track_caller]
fn same(found: &[u8], expected: &str) {
    assert_eq!(String::from_utf8_lossy(found), expected);
}

/// Checks the head that is written for `input` with the framing that `input` declares.
#[track_caller]
fn check(input: &str, with: &OutgoingRequest<'_>, expected: &str) {
    let (request, head) = request_head(input);
    let mut out = Vec::new();
    let with = OutgoingRequest {
        body: request.body,
        ..*with
    };
    push_request(&head, &with, &mut out);
    same(&out, expected);
}

#[test]
fn requests() {
    check(
        "GET /a?b HTTP/1.1\r\nHost: a\r\nX-b:1\r\nx-C:  2 \r\nEmpty:\r\nLast: 3\n\r\n",
        &PLAIN,
        "GET /a?b HTTP/1.1\r\nHost: a\r\nX-b: 1\r\nx-C: 2\r\nEmpty: \r\nLast: 3\r\n\r\n",
    );
    check(
        "POST / HTTP/1.1\r\nContent-Length: 010\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        &PLAIN,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
    );
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\nX: y\r\n\r\n",
        &PLAIN,
        "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    check(
        "GET http://b:80?c HTTP/1.1\r\nHost: a\r\n\r\n",
        &PLAIN,
        "GET /?c HTTP/1.1\r\nHost: b\r\n\r\n",
    );
    check(
        "GET /a HTTP/1.0\r\n\r\n",
        &PLAIN,
        "GET /a HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n",
    );
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\nConnection: keep-alive, TE\r\n\r\n",
        &PLAIN,
        "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\n\r\n",
    );
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nTE: trailers\r\nUpgrade: echo\r\n\r\n",
        &PLAIN,
        "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nUpgrade: echo\r\nConnection: te, upgrade\r\n\r\n",
    );
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, Via, Host\r\nVia: 1.0 b\r\n\r\n",
        &OutgoingRequest {
            via: Via::Add,
            persistence: Persistence::Close,
            ..PLAIN
        },
        "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 b\r\nVia: 1.1 pointsman\r\nConnection: close\r\n\r\n",
    );
    check(
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        &OutgoingRequest {
            via: Via::Add,
            ..PLAIN
        },
        "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 pointsman\r\n\r\n",
    );
}

#[test]
fn edited_requests() {
    let edits = [
        Edit::set(b"x-a", b"new").unwrap(),
        Edit::append(b"X-B", b"more").unwrap(),
        Edit::remove(b"X-C").unwrap(),
        Edit::append(b"X-Gone", b"1").unwrap(),
        Edit::remove(b"x-gone").unwrap(),
    ];
    let with = OutgoingRequest {
        target: Some(b"/other"),
        authority: Some(b"b"),
        edits: &edits,
        expect: Expect::Drop,
        ..PLAIN
    };
    check(
        "PUT /a HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-A: 2\r\nX-B: 1\r\nx-c: 1\r\nX-D: 1\r\n\
         Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        &with,
        "PUT /other HTTP/1.1\r\nHost: b\r\nX-B: 1\r\nX-D: 1\r\nx-a: new\r\nX-B: more\r\n\
         Content-Length: 1\r\n\r\n",
    );
    let via = [Edit::remove(b"Via").unwrap()];
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 b\r\n\r\n",
        &OutgoingRequest {
            edits: &via,
            via: Via::Add,
            ..PLAIN
        },
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
}

#[test]
fn lines_that_were_pushed() {
    let (_, mut head) = request_head("GET / HTTP/1.1\r\nX-Forwarded-For: b\r\nHost: a\r\n\r\n");
    drop_claims(&mut head, Trust::Untrusted);
    set_x_forwarded(&mut head, b"192.0.2.1", None, Trust::Untrusted);
    let mut out = Vec::new();
    push_request(&head, &PLAIN, &mut out);
    same(
        &out,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: a\r\n\r\n",
    );
}

#[test]
fn responses() {
    let check = |input: &str, version, persistence, expected: &str| {
        let (response, head) = response_head(input);
        let mut out = Vec::new();
        let with = OutgoingResponse {
            body: response.declared.for_client(version),
            connection: ConnectionOption::for_client(version, persistence),
            date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            edits: &[],
        };
        push_response(&head, &with, &mut out);
        same(&out, expected);
    };
    let new = (Version::Http11, Persistence::KeepAlive);
    let old = (Version::Http10, Persistence::KeepAlive);
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    check(
        "HTTP/1.1 200 Fine\r\nContent-Length: 005\r\nServer: b\r\ndate: x\r\n\r\n",
        new.0,
        new.1,
        "HTTP/1.1 200 Fine\r\nServer: b\r\ndate: x\r\nContent-Length: 5\r\n\r\n",
    );
    check(
        "HTTP/1.0 200 OK\r\nServer: b\r\n\r\n",
        new.0,
        Persistence::Close,
        &format!(
            "HTTP/1.1 200 OK\r\nServer: b\r\n{date}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        ),
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        old.0,
        Persistence::Close,
        &format!("HTTP/1.1 200 OK\r\n{date}Connection: close\r\n\r\n"),
    );
    check(
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        old.0,
        old.1,
        &format!("HTTP/1.1 200 \r\n{date}Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"),
    );
    check(
        "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n",
        new.0,
        new.1,
        &format!("HTTP/1.1 101 S\r\nUpgrade: x\r\n{date}Connection: upgrade\r\n\r\n"),
    );
    check(
        "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n",
        new.0,
        new.1,
        &format!("HTTP/1.1 204 N\r\n{date}\r\n"),
    );
}

#[test]
fn interim_and_own_responses() {
    let mut out = Vec::new();
    let (_, head) = response_head(
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTE: trailers\r\nLink: a\r\n\r\n",
    );
    push_interim(&head, &mut out);
    same(&out, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
    out.clear();
    let mut head = ResponseHead::default();
    head.start(405, b"Method Not Allowed", Version::Http11);
    head.fields_mut().push(b"Allow", b"GET");
    let edits = [Edit::set(b"Server", b"b").unwrap()];
    let with = OutgoingResponse {
        body: BodyLength::Known(3),
        connection: ConnectionOption::Close,
        edits: &edits,
        ..ANSWER
    };
    push_response(&head, &with, &mut out);
    same(
        &out,
        "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nServer: b\r\nContent-Length: 3\r\n\
         Connection: close\r\n\r\n",
    );
}

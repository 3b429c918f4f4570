//! The part of a body that the router sees, over HTTP/1.1.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::http1::request::parse;
use crate::http1::{Limits, Progress as Parsed, Scan};
use crate::transport::buffer::BufferPool;
use crate::transport::io::{Io, Socket};
use crate::wire::Wire;

const LIMITS: Limits = Limits {
    max_headers: 20,
    max_header_size: 4096,
};

const SIZE: usize = 8;

fn settings(too_large: TooLarge) -> RoutingBody {
    RoutingBody {
        size: SIZE,
        wait: Duration::from_secs(1),
        too_large,
        ..RoutingBody::default()
    }
}

fn request(lines: &str) -> (RequestHead, Request) {
    let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut head = RequestHead::default();
    let parsed = parse(text.as_bytes(), &LIMITS, &mut Scan::default(), &mut head);
    let Ok(Parsed::Complete(request)) = parsed else {
        panic!("{lines:?}");
    };
    (head, request)
}

#[test]
fn requests_that_wait() {
    let json = "Content-Type: application/json\r\n";
    let check = |lines: &str, expected| {
        let (head, request) = request(lines);
        let found = is_awaited(&head, &request, &settings(TooLarge::Reject));
        assert_eq!(found, expected, "{lines:?}");
    };
    let of = |more: &str| format!("{json}{more}\r\n");
    check(&of("Content-Length: 5"), true);
    check(&of("Transfer-Encoding: chunked"), true);
    check(&of("Content-Length: 0"), false);
    check(json, false);
    check("Content-Length: 5\r\n", false);
    let typed = |content_type: &str| format!("Content-Length: 5\r\n{content_type}\r\n");
    check(
        &typed("content-type: Application/JSON; charset=utf-8"),
        true,
    );
    check(&typed("Content-Type: text/plain"), false);
    check(&typed("Content-Type:"), false);
    // There are two content types, and a server can use either.
    check(&of("Content-Type: text/plain\r\nContent-Length: 5"), false);
    // `Connection` makes the field hop-by-hop, so the server does not get it.
    check(&of("Connection: content-type\r\nContent-Length: 5"), false);
    let upgrade = "Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 5";
    check(&of(upgrade), false);
}

/// The bytes that the router gets, and whether they are the whole body.
type Seen = Result<(Vec<u8>, bool), String>;

/// Reads the prefix of a request with these framing fields, once `sent` has arrived as its body.
async fn seen(lines: &str, sent: &[u8], too_large: TooLarge) -> Seen {
    let (_, request) = request(lines);
    let (mut far, near) = UnixStream::pair().unwrap();
    let mut wire = Wire::new(Io::plain(Socket::Unix(near)), &BufferPool::default());
    wire.begin_body(request.body);
    far.write_all(sent).await.unwrap();
    let settings = settings(too_large);
    let stall = Duration::from_mins(1);
    let since = Instant::now();
    let prefix = read(&mut wire, &request, &settings, since, stall).await;
    if request.expectation == Expectation::Continue {
        let mut answer = [0; 25];
        far.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    match prefix {
        Ok(prefix) => Ok((prefix.bytes(&wire).to_vec(), prefix.is_complete)),
        Err(error) => Err(format!("{error:?}")),
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[tokio::test(start_paused = true)]
async fn the_router_gets_a_prefix() {
    let check = async |lines: &str, sent: &str, too_large, expected: (&str, bool)| {
        let start = Instant::now();
        let seen = seen(lines, sent.as_bytes(), too_large).await;
        let (bytes, is_complete) = expected;
        let expected = Ok((bytes.as_bytes().to_vec(), is_complete));
        assert_eq!(seen, expected, "{lines:?} {sent:?} {too_large:?}");
        start.elapsed()
    };
    let second = Duration::from_secs(1);
    for too_large in [TooLarge::Reject, TooLarge::Route] {
        let length = "Content-Length: 8\r\n";
        check(length, "12345678", too_large, ("12345678", true)).await;
        check(length, "12345678GET /", too_large, ("12345678", true)).await;
        check(CHUNKED, "0\r\n\r\n", too_large, ("", true)).await;
        let whole = "3\r\n123\r\n5;x=y\r\n45678\r\n0\r\nX: y\r\n\r\nGET /";
        check(CHUNKED, whole, too_large, ("12345678", true)).await;
        // The wait times out before more arrives.
        for (sent, bytes) in [
            ("", ""),
            ("3\r\n12", "12"),
            ("3\r\n123\r\n5\r\n4567", "1234567"),
            ("8\r\n12345678\r\n", "12345678"),
            ("8\r\n12345678\r\n0\r\nX: ", "12345678"),
        ] {
            assert!(check(CHUNKED, sent, too_large, (bytes, false)).await >= second);
        }
        assert!(check(length, "1234", too_large, ("1234", false)).await >= second);
        let expect = "Content-Length: 8\r\nExpect: 100-continue\r\n";
        assert!(check(expect, "", too_large, ("", false)).await >= second);
    }
    let route = TooLarge::Route;
    let prefix = ("12345678", false);
    check("Content-Length: 9\r\n", "123456789", route, prefix).await;
    check("Content-Length: 9\r\n", "12345678", route, prefix).await;
    check(CHUNKED, "9\r\n123456789\r\n", route, prefix).await;
    check(
        CHUNKED,
        "8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n",
        route,
        prefix,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn bodies_without_a_prefix() {
    let check = async |lines: &str, sent: &str, expected: &str| {
        let error = seen(lines, sent.as_bytes(), TooLarge::Reject).await;
        let error = error.unwrap_err();
        assert!(error.contains(expected), "{lines:?} {sent:?}: {error}");
    };
    // Refused at once, before any byte has arrived.
    let too_large = "BodyPrefixTooLarge(8)";
    check("Content-Length: 9\r\n", "", too_large).await;
    let longest = format!("Content-Length: {}\r\n", i64::MAX);
    check(&longest, "", too_large).await;
    check(CHUNKED, "9\r\n123456789\r\n", too_large).await;
    check(CHUNKED, "ffffffff\r\n123456789", too_large).await;
    check(CHUNKED, "8\r\n12345678\r\n1\r\n9", too_large).await;
    check(CHUNKED, "8\r\n12345678\n", "LineEnd").await;
    check(CHUNKED, "z", "Size").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_is_too_slow() {
    let (_, request) = request("Content-Length: 5\r\n");
    let (_far, near) = UnixStream::pair().unwrap();
    let mut wire = Wire::new(Io::plain(Socket::Unix(near)), &BufferPool::default());
    wire.begin_body(request.body);
    let settings = settings(TooLarge::Reject);
    let since = Instant::now();
    let stall = Duration::from_millis(10);
    let error = read(&mut wire, &request, &settings, since, stall).await;
    let error = format!("{:?}", error.unwrap_err());
    assert!(error.contains("ClientTimeout"), "{error}");
    assert!(since.elapsed() < settings.wait);
}

//! Compares this parser with hyper's server and client on generated messages: acceptance, framing
//! and fields. A difference that no row of the tables explains is a bug.
//!
//! A row that explains a rejection applies whatever hyper does; the table tests check that nothing
//! is rejected needlessly. Interim responses are not generated, because hyper's client hides them.

mod forwarding;
mod peer;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Lines, Message, Outcome, read_request, read_response};
use crate::http::message::MethodKind;
use peer::{Seen, Side};

/// An intended difference.
struct Difference {
    /// Returns whether this row explains why the two parsers differ. `text` is the input in lower
    /// case.
    applies: fn(text: &str, ours: &Outcome, theirs: &Seen) -> bool,
    /// Reason why this parser is right.
    reason: &'static str,
}

/// Defines a row for inputs that this parser rejects with the message `$error`, although hyper
/// accepts them or waits for more.
macro_rules! stricter {
    ($error:literal, $reason:literal) => {
        Difference {
            applies: |_, ours, _| matches!(ours, Outcome::Refused(error) if error == $error),
            reason: $reason,
        }
    };
}

/// Differences in requests and in responses.
const COMMON: &[Difference] = &[
    stricter!(
        "invalid chunk size",
        "hyper takes blanks behind a size; RFC 9112, section 7.1.1, has them before extensions"
    ),
    stricter!(
        "invalid chunk extension",
        "hyper takes control characters but LF in extensions"
    ),
    stricter!(
        "invalid trailer section",
        "hyper takes bare LF in trailers; nothing in a chunked body ends in it"
    ),
    stricter!(
        "Content-Length is not a number of bytes",
        "hyper takes lengths up to 2^64, reads none of HEAD, and lets a coding hide them"
    ),
    stricter!(
        "Content-Length lines contradict each other",
        "hyper reads no length of HEAD, 204 and 304, nor beside a coding"
    ),
    stricter!(
        "Transfer-Encoding does not end in chunked",
        "hyper skips empty elements of requests, and reads such responses until the end, so \
         that the client would get a body that is still coded"
    ),
    stricter!(
        "Transfer-Encoding has a coding other than chunked",
        "hyper leaves codings before chunked to its caller; this proxy undoes none"
    ),
];

const REQUESTS: &[Difference] = &[
    stricter!(
        "the target has a fragment",
        "the http crate cuts fragments off"
    ),
    stricter!(
        "no Host line in an HTTP/1.1 request",
        "hyper leaves Host to its caller"
    ),
    stricter!("several Host lines", "hyper leaves Host to its caller"),
    stricter!(
        "Host is not a host with an optional port",
        "hyper leaves Host to its caller"
    ),
    stricter!(
        "CONNECT is not supported",
        "hyper leaves methods to its caller"
    ),
    stricter!(
        "the target has a form that its method does not allow",
        "hyper takes any form"
    ),
    stricter!("the target's scheme is not http", "hyper takes any scheme"),
    stricter!(
        "the target's authority is not a host with an optional port",
        "hyper takes user information"
    ),
    Difference {
        applies: |text, ours, theirs| {
            let target = text.split(' ').nth(1).unwrap_or_default();
            let has_raw = target.contains(['"', '<', '>', '|', '{', '}', '^', '`', '\\']);
            has_raw && !matches!(ours, Outcome::Refused(_)) && *theirs == Seen::Refused
        },
        reason: "raw characters that clients send pass, as with HAProxy and nginx; not with the http crate",
    },
];

const RESPONSES: &[Difference] = &[
    stricter!(
        "Transfer-Encoding in HTTP/1.0",
        "hyper ignores it or reads chunks; RFC 9112, section 6.1, calls the framing faulty"
    ),
    Difference {
        applies: |text, ours, _| {
            let status = text.split(' ').nth(1).unwrap_or_default();
            let is_interim = status.starts_with('1') && status != "101";
            is_interim && matches!(ours, Outcome::Whole(_))
        },
        reason: "hyper goes on to the response behind an interim one",
    },
];

fn check(
    input: &[u8],
    ours: &Outcome,
    theirs: &Seen,
    tables: [&[Difference]; 2],
) -> Result<(), TestCaseError> {
    let is_same = match (ours, theirs) {
        (Outcome::Whole(message), Seen::Whole(seen)) => same(message, seen),
        (Outcome::Partial, Seen::Partial) | (Outcome::Refused(_), Seen::Refused) => true,
        _ => false,
    };
    let text = String::from_utf8_lossy(input).to_lowercase();
    let mut rows = tables.iter().flat_map(|rows| rows.iter());
    let reason = rows.find(|row| (row.applies)(&text, ours, theirs));
    let reason = reason.map(|row| row.reason);
    prop_assert!(
        is_same || reason.is_some(),
        "{}\nours: {ours:?}\nhyper: {theirs:?}",
        input.escape_ascii()
    );
    Ok(())
}

/// Returns whether both parsers read the same message.
fn same(ours: &Message, theirs: &peer::Whole) -> bool {
    let is_same_start = ours.start.0 == theirs.start
        && (theirs.target.is_none() || theirs.target.as_ref() == Some(&ours.start.1));
    is_same_start && sorted(&ours.received) == sorted(&theirs.lines) && ours.body == theirs.body
}

/// Sorts lines by lower-case name, because hyper keeps neither case nor the order of different
/// names.
///
/// Leaves out the fields that this parser rewrites: Host, which it takes from the target, and TE,
/// which it reduces to the forwarded part. Also leaves out Content-Length: hyper drops it if there
/// is a coding, and the comparison of bodies covers the length.
fn sorted(lines: &Lines) -> Lines {
    let lower = |(name, value): &(Vec<u8>, Vec<u8>)| (name.to_ascii_lowercase(), value.clone());
    let mut lines: Lines = lines.iter().map(lower).collect();
    lines.retain(|(name, _)| ![&b"host"[..], b"te", b"content-length"].contains(&&name[..]));
    lines.sort_by(|left, right| left.0.cmp(&right.0));
    lines
}

const REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "POST / HTTP/1.0\r\n",
    "\r\n\nPUT /a HTTP/1.1\n",
    "HEAD http://b:80/c HTTP/1.1\r\n",
    "GET http://b?c HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET * HTTP/1.1\r\n",
    "GET a HTTP/1.1\r\n",
    "GET /a#b HTTP/1.1\r\n",
    "GET /\"<>|{}^` HTTP/1.1\r\n",
    "GET /\u{e9} HTTP/1.1\r\n",
    "CONNECT a:1 HTTP/1.1\r\n",
    "GET  / HTTP/1.1\r\n",
    "GET / HTTP/1.2\r\n",
    "GET / HTTP/1.1 \r\n",
    "B(D / HTTP/1.1\r\n",
    "GET /\r\n",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404 \r\n",
    "HTTP/1.1 500\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 999 \u{e9}\r\n",
    "\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 99 Low\r\n",
    "HTTP/1.1 099 Low\r\n",
    "HTTP/1.1  200 OK\r\n",
    "HTTP/2.0 200 OK\r\n",
    "ICY 200 OK\r\n",
];

/// Field lines that are each valid alone.
const FIELD_LINES: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 5\n",
    "Content-Length: 005\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: Chunked \t\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, X-Hop\r\n",
    "Connection: upgrade\r\n",
    "X-Hop: 1\r\n",
    "x-hop:2\r\n",
    "Upgrade: echo\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "X:\u{e9} \t\r\n",
];

/// Field lines that some parsers reject.
const FAULTY_FIELD_LINES: &[&str] = &[
    "Host: a\r\n",
    "Host: a b\r\n",
    "Content-Length: 6\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length:\r\n",
    "Content-Length: 9223372036854775808\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding:\r\n",
    "X : y\r\n",
    " folded\r\n",
    "X: a\rb\r\n",
    "X: a\0b\r\n",
    "X: a\u{7f}b\r\n",
    ": a\r\n",
    "no colon\r\n",
];

/// Bodies with a length of 5, chunked bodies, or no body.
const BODIES: &[&str] = &[
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\n\r\n",
    "5 ;a\r\nhello\r\n0\r\n\r\n",
];

/// Bodies that some parsers reject.
const FAULTY_BODIES: &[&str] = &[
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "5_\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "5\r\nhello\r\n",
    "9\r\nhello",
];

/// Generates a message, often with one byte changed.
fn message(starts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![1 => Just(starts[0]), 1 => Just(starts[1]), 2 => select(starts)];
    let host = prop_oneof![9 => Just("Host: a\r\n"), 1 => Just("")];
    let framing = select(
        &[
            "",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
        ][..],
    );
    let field = prop_oneof![6 => select(FIELD_LINES), 1 => select(FAULTY_FIELD_LINES)];
    let body = prop_oneof![select(BODIES), select(FAULTY_BODIES)];
    let change = prop::option::weighted(0.2, any::<(usize, u8)>());
    let fields = vec(field, 0..3).prop_map(|fields| fields.concat());
    (start, host, framing, fields, body, change).prop_map(
        |(start, host, framing, fields, body, change)| {
            let parts = [start, host, framing, &fields, "\r\n", body];
            let mut input = parts.concat().into_bytes();
            if let Some((at, byte)) = change {
                let at = at % input.len();
                input[at] = byte;
            }
            input
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn hypers_server(input in message(REQUEST_LINES)) {
        let ours = read_request(&input, &[]);
        let theirs = peer::see(&input, Side::Server);
        check(&input, &ours, &theirs, [REQUESTS, COMMON])?;
    }

    #[test]
    fn hypers_client(input in message(STATUS_LINES), is_head in any::<bool>()) {
        let (method, side) = if is_head {
            (MethodKind::Head, Side::Client("HEAD"))
        } else {
            (MethodKind::Get, Side::Client("GET"))
        };
        let ours = read_response(&input, method, &[]);
        let theirs = peer::see(&input, side);
        check(&input, &ours, &theirs, [RESPONSES, COMMON])?;
    }
}

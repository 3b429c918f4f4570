//! Properties of every message: a written message parses to the same message, splitting the input
//! makes no difference, and no bytes make a parser panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Outcome, lines, read_request, read_response};
use crate::http::field::FieldKind;
use crate::http::fields::Fields;
use crate::http::message::{MethodKind, RequestHead, ResponseHead, Version};
use crate::http1::Persistence;
use crate::http1::body::BodyLength;
use crate::http1::chunked::{push_chunk, push_last_chunk};
use crate::http1::write::{
    ConnectionOption, Expect, OutgoingRequest, OutgoingResponse, Via, push_request, push_response,
};

/// Generates a field name. The table tests cover the names that the proxy has rules for.
fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}".prop_filter("a name with rules", |name| {
        FieldKind::of(name.as_bytes()) == FieldKind::Other
    })
}

/// Generates any bytes that a value can contain, with whitespace only in the middle.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x20..0x7fu8, 1 => Just(b'\t'), 1 => 0x80..=0xffu8];
    vec(byte, 0..40).prop_map(|bytes| {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = bytes.iter().position(|byte| !is_blank(byte));
        let end = bytes.iter().rposition(|byte| !is_blank(byte));
        match (start, end) {
            (Some(start), Some(end)) => bytes[start..=end].to_vec(),
            _ => Vec::new(),
        }
    })
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    // Some messages have more lines than the parser keeps on the stack.
    vec((name(), value()), 0..80)
}

#[derive(Debug, Clone)]
enum Body {
    None,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>, Vec<(String, Vec<u8>)>),
}

fn body() -> impl Strategy<Value = Body> {
    let bytes = || vec(any::<u8>(), 0..50);
    prop_oneof![
        Just(Body::None),
        bytes().prop_map(Body::Sized),
        (vec(bytes(), 0..6), vec((name(), value()), 0..3))
            .prop_map(|(chunks, trailers)| Body::Chunked(chunks, trailers)),
    ]
}

impl Body {
    fn length(&self) -> BodyLength {
        match self {
            Body::None => BodyLength::None,
            Body::Sized(bytes) => BodyLength::Known(bytes.len() as u64),
            Body::Chunked(..) => BodyLength::Chunked,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Body::None => Vec::new(),
            Body::Sized(bytes) => bytes.clone(),
            Body::Chunked(chunks, _) => chunks.concat(),
        }
    }

    fn trailers(&self) -> Fields {
        match self {
            Body::Chunked(_, trailers) => pushed(trailers),
            _ => Fields::default(),
        }
    }

    fn push(&self, head: &Fields, out: &mut Vec<u8>) {
        match self {
            Body::None => {}
            Body::Sized(bytes) => out.extend_from_slice(bytes),
            Body::Chunked(chunks, trailers) => {
                for chunk in chunks {
                    push_chunk(chunk, out);
                }
                push_last_chunk(&pushed(trailers), head, out);
            }
        }
    }
}

fn pushed(lines: &[(String, Vec<u8>)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value);
    }
    fields
}

/// Returns the lines of `fields` and those that the written framing adds.
fn with_framing(fields: &Fields, body: &Body) -> super::Lines {
    let mut lines = lines(fields);
    if let BodyLength::Known(length) = body.length() {
        lines.push((b"Content-Length".to_vec(), length.to_string().into_bytes()));
    }
    lines
}

/// Generates messages near the edges of the grammar, most of them with one mistake.
fn near_http() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "POST http://a/ HTTP/1.1\n",
        "PUT / HTTP/1.0\r\n",
        "\r\n\nHEAD * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 304\r\n",
        "\r\nHTTP/1.1 103 \u{e9}\n",
    ]);
    let line = prop::sample::select(vec![
        "Host: a\r\n",
        "host:a\n",
        "Content-Length: 5\r\n",
        "Content-Length: 05, 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close, x, te\r\n",
        "X: y\r\n",
        "X : y\r\n",
        " folded\r\n",
        "Expect: 100-continue\r\n",
        "TE: trailers\r\n",
        "Upgrade: x\r\n",
        "\r",
    ]);
    let body = prop::sample::select(vec![
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\nHost: b\r\n\r\n",
        "5 \r\nhello\r\n",
        "0\r\n\n",
        "fffffffffffffffff\r\n",
    ]);
    (start, vec(line, 0..5), body, any::<(usize, u8, bool)>()).prop_map(
        |(start, lines, body, (at, byte, is_changed))| {
            let mut bytes = [start, &lines.concat(), "\r\n", body].concat().into_bytes();
            if is_changed {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            // The parser tries again only after a line end, so the last byte must be one.
            bytes.extend_from_slice(b"\r\n\r\n");
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_written_request_parses_to_what_was_meant(
        method in "[A-Z]{1,10}".prop_filter("no tunnel", |method| method != "CONNECT"),
        target in "/[!-\"$-~\u{80}-\u{2fff}]{0,30}",
        lines in fields(),
        body in body(),
        cuts in vec(any::<usize>(), 0..4),
    ) {
        let mut head = RequestHead::default();
        head.start(method.as_bytes(), target.as_bytes(), Version::Http11);
        head.fields_mut().push(b"Host", b"io.test.tld");
        for (name, value) in &lines {
            head.fields_mut().push(name.as_bytes(), value);
        }
        let with = OutgoingRequest {
            body: body.length(),
            target: None,
            authority: None,
            default_host: b"",
            edits: &[],
            via: Via::Omit,
            expect: Expect::Forward,
            persistence: Persistence::KeepAlive,
        };
        let mut out = Vec::new();
        push_request(&head, &with, &mut out);
        body.push(head.fields(), &mut out);
        out.extend_from_slice(b"next");
        let Outcome::Whole(found) = read_request(&out, &cuts) else {
            return Err(TestCaseError::fail(format!("{}", out.escape_ascii())));
        };
        prop_assert_eq!(found.start, (method.into_bytes(), target.into_bytes()));
        prop_assert_eq!(found.lines, with_framing(head.fields(), &body));
        prop_assert_eq!(found.framing, body.length());
        prop_assert_eq!(found.body, body.bytes());
        prop_assert_eq!(found.trailers, super::lines(&body.trailers()));
        prop_assert_eq!(found.rest, 4);
    }

    #[test]
    fn a_written_response_parses_to_what_was_meant(
        status in prop_oneof![Just(200u16), 205..300u16, 305..1000u16],
        reason in "[ -~\u{80}-\u{ff}]{0,20}",
        lines in fields(),
        body in body(),
        cuts in vec(any::<usize>(), 0..4),
    ) {
        let mut head = ResponseHead::default();
        head.start(status, reason.as_bytes(), Version::Http11);
        for (name, value) in &lines {
            head.fields_mut().push(name.as_bytes(), value);
        }
        // Without a length or chunks, a response lasts until the connection ends.
        let (length, rest): (_, &[u8]) = match body.length() {
            BodyLength::None => (BodyLength::UntilClose, b""),
            length => (length, b"next"),
        };
        let with = OutgoingResponse {
            body: length,
            connection: ConnectionOption::Close,
            date: None,
            edits: &[],
        };
        let mut out = Vec::new();
        push_response(&head, &with, &mut out);
        body.push(head.fields(), &mut out);
        out.extend_from_slice(rest);
        let Outcome::Whole(found) = read_response(&out, MethodKind::Get, &cuts) else {
            return Err(TestCaseError::fail(format!("{}", out.escape_ascii())));
        };
        prop_assert_eq!(found.start, (status.to_string().into_bytes(), reason.into_bytes()));
        prop_assert_eq!(found.lines, with_framing(head.fields(), &body));
        prop_assert_eq!(found.framing, length);
        prop_assert_eq!(found.body, body.bytes());
        prop_assert_eq!(found.trailers, super::lines(&body.trailers()));
        prop_assert_eq!(found.rest, rest.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn splitting_the_input_makes_no_difference(
        input in near_http(),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let every: Vec<usize> = (0..input.len()).collect();
        for cuts in [&cuts, &every] {
            prop_assert_eq!(read_request(&input, cuts), read_request(&input, &[]));
            for method in [MethodKind::Get, MethodKind::Head] {
                let whole = read_response(&input, method, &[]);
                prop_assert_eq!(read_response(&input, method, cuts), whole);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(
        input in vec(any::<u8>(), 0..200),
        cuts in vec(any::<usize>(), 0..3),
    ) {
        let starts: [&[u8]; 4] = [
            b"",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        ];
        for start in starts {
            let input = [start, &input].concat();
            read_request(&input, &cuts);
            read_response(&input, MethodKind::Get, &cuts);
        }
    }
}

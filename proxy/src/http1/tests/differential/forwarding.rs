//! Every accepted message is forwarded in a form that another parser reads as the same message.
//!
//! This property rules out request smuggling: however odd an accepted message is, the next hop can
//! read the forwarded message in only one way, and no bytes follow it.

use proptest::prelude::*;

use super::peer::{self, Seen, Side};
use super::{REQUEST_LINES, STATUS_LINES, message, sorted};
use crate::http::fields::Fields;
use crate::http::message::{MethodKind, RequestHead, ResponseHead, Version};
use crate::http1::body::BodyLength;
use crate::http1::chunked::{push_chunk, push_last_chunk};
use crate::http1::tests::{Message, Outcome, lines, read_request, read_response};
use crate::http1::write::{
    ConnectionOption, Expect, OutgoingRequest, OutgoingResponse, Via, push_request, push_response,
};
use crate::http1::{Limits, Persistence, Scan, request, response};

/// Returns the request as the next server receives it.
fn forwarded_request(input: &[u8], message: &Message) -> (RequestHead, Vec<u8>) {
    let mut head = RequestHead::default();
    let _ = request::parse(input, &Limits::default(), &mut Scan::default(), &mut head);
    let with = OutgoingRequest {
        body: message.framing,
        target: None,
        authority: None,
        default_host: b"default",
        edits: &[],
        via: Via::Add,
        expect: Expect::Forward,
        persistence: Persistence::KeepAlive,
    };
    let mut out = Vec::new();
    push_request(&head, &with, &mut out);
    push_body(message.framing, &message.body, head.fields(), &mut out);
    (head, out)
}

/// Returns the response as an HTTP/1.1 client receives it.
fn forwarded_response(input: &[u8], message: &Message, method: MethodKind) -> Vec<u8> {
    let (mut head, mut scan) = (ResponseHead::default(), Scan::default());
    let limits = Limits::default();
    let parsed = response::parse(input, &limits, &mut scan, method, &mut head);
    let Ok(crate::http1::Progress::Complete(parsed)) = parsed else {
        panic!("it was whole before");
    };
    let with = OutgoingResponse {
        body: parsed.declared.for_client(Version::Http11),
        connection: ConnectionOption::Implied,
        date: None,
        edits: &[],
    };
    let mut out = Vec::new();
    push_response(&head, &with, &mut out);
    let framing = parsed.body.for_client(Version::Http11);
    push_body(framing, &message.body, head.fields(), &mut out);
    out
}

fn push_body(framing: BodyLength, body: &[u8], head: &Fields, out: &mut Vec<u8>) {
    if framing == BodyLength::Chunked {
        push_chunk(body, out);
        push_last_chunk(&Fields::default(), head, out);
    } else {
        out.extend_from_slice(body);
    }
}

/// Returns whether the http crate, which hyper uses for targets, accepts `target`.
fn is_uri(target: &[u8]) -> bool {
    hyper::http::uri::PathAndQuery::try_from(target).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_forwarded_request_has_one_reading(input in message(REQUEST_LINES)) {
        let Outcome::Whole(received) = read_request(&input, &[]) else {
            return Ok(());
        };
        let (head, out) = forwarded_request(&input, &received);
        let shown = format!("{} -> {}", input.escape_ascii(), out.escape_ascii());
        let Outcome::Whole(again) = read_request(&out, &[]) else {
            return Err(TestCaseError::fail(shown));
        };
        prop_assert_eq!(&again.start, &received.start, "{}", shown);
        prop_assert_eq!(&again.body, &received.body, "{}", shown);
        prop_assert_eq!(again.framing, received.framing, "{}", shown);
        prop_assert_eq!(again.rest, 0, "{}", shown);
        let has_host = again.lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        prop_assert_eq!(has_host.count(), 1, "{}", shown);
        // All forwarded lines, plus the one that this proxy adds.
        let mut expected = lines(head.fields());
        expected.push((b"Via".to_vec(), Vec::new()));
        let names = |lines| -> Vec<Vec<u8>> { sorted(lines).into_iter().map(|line| line.0).collect() };
        prop_assert_eq!(names(&again.lines), names(&expected), "{}", shown);
        if is_uri(&received.start.1) {
            let Seen::Whole(seen) = peer::see(&out, Side::Server) else {
                return Err(TestCaseError::fail(shown));
            };
            prop_assert_eq!(seen.start, received.start.0, "{}", shown);
            prop_assert_eq!(seen.target, Some(received.start.1), "{}", shown);
            prop_assert_eq!(seen.body, received.body, "{}", shown);
        }
    }

    #[test]
    fn a_forwarded_response_has_one_reading(
        input in message(STATUS_LINES),
        is_head in any::<bool>(),
    ) {
        let (method, name) = if is_head {
            (MethodKind::Head, "HEAD")
        } else {
            (MethodKind::Get, "GET")
        };
        let Outcome::Whole(received) = read_response(&input, method, &[]) else {
            return Ok(());
        };
        let out = forwarded_response(&input, &received, method);
        let shown = format!("{} -> {}", input.escape_ascii(), out.escape_ascii());
        let Outcome::Whole(again) = read_response(&out, method, &[]) else {
            return Err(TestCaseError::fail(shown));
        };
        prop_assert_eq!(&again.start, &received.start, "{}", shown);
        prop_assert_eq!(&again.body, &received.body, "{}", shown);
        prop_assert_eq!(again.rest, 0, "{}", shown);
        let Seen::Whole(seen) = peer::see(&out, Side::Client(name)) else {
            return Err(TestCaseError::fail(shown));
        };
        prop_assert_eq!(seen.start, received.start.0, "{}", shown);
        prop_assert_eq!(seen.body, received.body, "{}", shown);
    }
}

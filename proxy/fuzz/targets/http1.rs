//! Bytes from any peer as heads and bodies: rejected, or read in one way only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::http::fields::Fields;
use pointsman::http::message::{MethodKind, RequestHead, ResponseHead};
use pointsman::http1::body::{BodyDecoder, BodyLength};
use pointsman::http1::write::{
    self, ConnectionOption, Expect, OutgoingRequest, OutgoingResponse, Via,
};
use pointsman::http1::{Decoded, Limits, Persistence, Progress, Scan, chunked, request, response};

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else {
        return;
    };
    match first % 3 {
        0 => request_head(bytes),
        1 => response_head(bytes),
        _ => chunks(bytes, usize::from(first) + 1),
    }
});

/// Returns the limits for parsing a head that this proxy has written. They are higher, because a
/// written head can have a few more lines.
fn wider() -> Limits {
    let Limits {
        max_headers,
        max_header_size,
    } = Limits::default();
    Limits {
        max_headers: 2 * max_headers,
        max_header_size: 2 * max_header_size,
    }
}

fn parse_request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Option<request::Parsed> {
    match request::parse(bytes, limits, &mut Scan::default(), head) {
        Ok(Progress::Complete(parsed)) => Some(parsed),
        Ok(Progress::Partial { skip }) => {
            assert!(skip <= bytes.len());
            None
        }
        Err(_) => None,
    }
}

/// Checks that the next hop's parser reads an accepted request in the same way.
fn request_head(bytes: &[u8]) {
    let mut head = RequestHead::default();
    let Some(parsed) = parse_request(bytes, &Limits::default(), &mut head) else {
        return;
    };
    assert!(parsed.consumed <= bytes.len());
    let with = OutgoingRequest {
        body: parsed.body,
        target: None,
        authority: None,
        default_host: b"localhost",
        edits: &[],
        via: Via::Omit,
        expect: Expect::Forward,
        persistence: Persistence::KeepAlive,
    };
    let mut written = Vec::new();
    write::push_request(&head, &with, &mut written);
    let mut again = RequestHead::default();
    let reparsed = parse_request(&written, &wider(), &mut again);
    let reparsed = reparsed.expect("a written head is a request");
    assert_eq!(reparsed.consumed, written.len());
    assert_eq!(reparsed.body, parsed.body);
    assert_eq!(again.method(), head.method());
    assert_eq!(again.target(), head.target());
}

/// Checks that an accepted response has the same framing for the client.
fn response_head(bytes: &[u8]) {
    let mut head = ResponseHead::default();
    let parsed = response::parse(
        bytes,
        &Limits::default(),
        &mut Scan::default(),
        MethodKind::Get,
        &mut head,
    );
    let Ok(Progress::Complete(parsed)) = parsed else {
        return;
    };
    assert!(parsed.consumed <= bytes.len());
    let with = OutgoingResponse {
        body: parsed.declared,
        connection: ConnectionOption::Implied,
        date: None,
        edits: &[],
    };
    let mut written = Vec::new();
    write::push_response(&head, &with, &mut written);
    let mut again = ResponseHead::default();
    let reparsed = response::parse(
        &written,
        &wider(),
        &mut Scan::default(),
        MethodKind::Get,
        &mut again,
    );
    let Ok(Progress::Complete(reparsed)) = reparsed else {
        panic!("a written head is a response");
    };
    assert_eq!(reparsed.body, parsed.body);
    assert_eq!(again.status(), head.status());
}

/// Checks that a chunked body has the same payload and end however it is split, and also after it
/// is encoded again.
fn chunks(bytes: &[u8], piece: usize) {
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, piece));
    let Some((payload, _)) = whole else {
        return;
    };
    let mut encoded = Vec::new();
    if !payload.is_empty() {
        chunked::push_chunk(&payload, &mut encoded);
    }
    chunked::push_last_chunk(&Fields::default(), &Fields::default(), &mut encoded);
    assert_eq!(decode(&encoded, piece), Some((payload, encoded.len())));
}

/// Returns the payload and the end of the body, or `None` if it is rejected or incomplete.
fn decode(bytes: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut trailers = Fields::default();
    let (mut start, mut end) = (0, 0);
    let mut payload = Vec::new();
    loop {
        match decoder.decode(&bytes[start..end], &mut trailers).ok()? {
            Decoded::Data(range) => {
                payload.extend_from_slice(&bytes[start..end][range.clone()]);
                start += range.end;
            }
            Decoded::End { consumed } => return Some((payload, start + consumed)),
            Decoded::NeedMore { consumed } => {
                start += consumed;
                if end == bytes.len() {
                    return None;
                }
                end = (end + piece).min(bytes.len());
            }
        }
    }
}

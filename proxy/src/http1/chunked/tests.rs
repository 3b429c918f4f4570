//! Chunked bodies, whole and split at any position.

use super::*;
use crate::http1::trailers::MAX_TRAILERS_SIZE;

/// Body, trailers and number of bytes after them; `None` if more input is needed.
type Whole = Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, usize)>;

/// Feeds `input` in steps of `step` bytes, as a connection with a buffer would.
fn decoded(input: &[u8], step: usize) -> Result<Whole, ChunkError> {
    let mut decoder = ChunkedDecoder::default();
    let mut trailers = Fields::default();
    let (mut payload, mut done) = (Vec::new(), 0);
    for end in (step..input.len() + step).step_by(step) {
        let received = &input[..end.min(input.len())];
        loop {
            match decoder.decode(&received[done..], &mut trailers)? {
                Decoded::Data(range) => {
                    assert!(!range.is_empty());
                    payload.extend_from_slice(&received[done..][range.clone()]);
                    done += range.end;
                }
                Decoded::NeedMore { consumed } => {
                    done += consumed;
                    break;
                }
                Decoded::End { consumed } => {
                    assert!(decoder.is_complete());
                    let own = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
                    let trailers = trailers.iter().map(own).collect();
                    return Ok(Some((payload, trailers, done + consumed)));
                }
            }
        }
    }
    assert!(!decoder.is_complete());
    Ok(None)
}

/// Checks that the result is the same however the bytes arrive.
#[track_caller]
fn check(input: &str, expected: Result<Option<&str>, ChunkError>) {
    for step in [1, 2, 3, 7, usize::MAX / 2] {
        let found = decoded(input.as_bytes(), step);
        let found = found.map(|whole| whole.map(|(payload, _, _)| payload));
        let expected = expected.map(|payload| payload.map(|payload| payload.as_bytes().to_vec()));
        assert_eq!(found, expected, "{input:?} by {step}");
    }
}

#[test]
fn bodies() {
    for (input, payload) in [
        ("0\r\n\r\n", ""),
        ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        ("0005\r\nhello\r\n000\r\n\r\n", "hello"),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("5;a=b;c=\"d;\"\r\nhello\r\n0;last\r\n\r\n", "hello"),
        ("5 \t;a\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;\u{e9}\r\nhello\r\n0\r\n\r\n", "hello"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\nhello\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", "hello"),
        ("0\r\nX:\r\n\r\n", ""),
    ] {
        check(input, Ok(Some(payload)));
    }
    for input in [
        "",
        "5",
        "5\r\nhel",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "0\r\nX: y\r\n",
    ] {
        check(input, Ok(None));
    }
}

#[test]
fn refused_bodies() {
    use ChunkError::*;
    for (input, error) in [
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", SizeTooLarge),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", SizeTooLarge),
        ("ffffffffffffffffff\r\nhello\r\n0\r\n\r\n", SizeTooLarge),
        ("ffffffffffffffff\r\nhello\r\n0\r\n\r\n", SizeTooLarge),
        ("8000000000000000\r\nhello\r\n0\r\n\r\n", SizeTooLarge),
        ("-1\r\nhello\r\n0\r\n\r\n", Size),
        ("+5\r\nhello\r\n0\r\n\r\n", Size),
        ("0x5\r\nhello\r\n0\r\n\r\n", Size),
        ("5_\r\nhello\r\n0\r\n\r\n", Size),
        ("1_0\r\nhello\r\n0\r\n\r\n", Size),
        ("g\r\nhello\r\n0\r\n\r\n", Size),
        ("\r\nhello\r\n0\r\n\r\n", Size),
        ("\nhello\r\n0\r\n\r\n", Size),
        (";a\r\nhello\r\n0\r\n\r\n", Size),
        (" 5\r\nhello\r\n0\r\n\r\n", Size),
        ("5 \r\nhello\r\n0\r\n\r\n", Size),
        ("5 5\r\nhello\r\n0\r\n\r\n", Size),
        ("5,5\r\nhello\r\n0\r\n\r\n", Size),
        ("5\nhello\r\n0\r\n\r\n", Size),
        ("5\0\r\nhello\r\n0\r\n\r\n", Size),
        ("5\rXhello\r\n0\r\n\r\n", LineEnd),
        ("5\r\rhello\r\n0\r\n\r\n", LineEnd),
        ("5;a\nhello\r\n0\r\n\r\n", Extension),
        ("5;a\0\r\nhello\r\n0\r\n\r\n", Extension),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n", LineEnd),
        ("5\r\nhelloX\r\n0\r\n\r\n", LineEnd),
        ("5\r\nhello0\r\n\r\n", LineEnd),
        ("5\r\nhello\n0\r\n\r\n", LineEnd),
        ("5\r\nhello\r0\r\n\r\n", LineEnd),
        ("5\r\nhello\r\n\r\n0\r\n\r\n", Size),
        ("0\r\n\n", Trailers(TrailerError::Invalid)),
        ("0\r\nX: y\n\r\n", Trailers(TrailerError::Invalid)),
        ("0\r\nX : y\r\n\r\n", Trailers(TrailerError::Invalid)),
        ("0\r\n folded: y\r\n\r\n", Trailers(TrailerError::Invalid)),
        (
            "0\r\nX: y\r\n folded\r\n\r\n",
            Trailers(TrailerError::Invalid),
        ),
        ("0\r\nX: a\0\r\n\r\n", Trailers(TrailerError::Invalid)),
        (
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            Trailers(TrailerError::Invalid),
        ),
    ] {
        check(input, Err(error));
    }
}

#[test]
fn overhead_around_content_is_bounded() {
    let long = "x".repeat(1024 * 1024);
    let check = |input: String, expected| {
        assert_eq!(
            decoded(input.as_bytes(), 4096),
            Err(expected),
            "{}",
            &input[..20]
        );
    };
    check(
        format!("1;{long}\r\nx\r\n0\r\n\r\n"),
        ChunkError::ExtensionsTooLong,
    );
    check(
        "1;abcdefgh\r\nx\r\n".repeat(10_000),
        ChunkError::ExtensionsTooLong,
    );
    check(
        "1".to_owned() + &" ".repeat(100_000),
        ChunkError::ExtensionsTooLong,
    );
    let too_large = ChunkError::Trailers(TrailerError::TooLarge);
    check(format!("1\r\nx\r\n0\r\nX: {long}\r\n\r\n"), too_large);
    check(
        format!("1\r\nx\r\n0\r\n{}\r\n", "X: y\r\n".repeat(65)),
        too_large,
    );
    let room = MAX_TRAILERS_SIZE - "X: \r\n\r\n".len();
    let full = format!("0\r\nX: {}\r\n\r\n", "x".repeat(room));
    assert!(matches!(decoded(full.as_bytes(), 1000), Ok(Some(_))));
}

#[test]
fn trailers() {
    let input = b"1\r\nx\r\n0\r\nX-T: 1\r\nKeep-Alive: 2\r\nConnection: X-Q\r\nUpgrade: x\r\n\
        Proxy-Connection: y\r\nX-Real-IP: 6.6.6.6\r\nVia: 1.1 evil\r\nForwarded: for=6\r\n\
        Content-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: a\r\n\
        Set-Cookie: c\r\nX-Forwarded-For: 6.6.6.6\r\nx-sum: \t2 \r\n\r\nnext";
    let (_, trailers, end) = decoded(input, 50).unwrap().unwrap();
    let expected: [(&[u8], &[u8]); 2] = [(b"X-T", b"1"), (b"x-sum", b"2")];
    let expected = expected.map(|(name, value)| (name.to_vec(), value.to_vec()));
    assert_eq!(trailers, expected);
    assert_eq!(&input[end..], b"next");
}

#[test]
fn encoding() {
    let mut out = Vec::new();
    push_chunk(b"", &mut out);
    push_chunk(b"0123456789", &mut out);
    push_chunk_start(0, &mut out);
    push_chunk_start(255, &mut out);
    assert_eq!(out, b"a\r\n0123456789\r\nff\r\n");
    out.clear();
    let (mut head, mut trailers) = (Fields::default(), Fields::default());
    head.push(b"Connection", b"close, x-hop");
    trailers.push(b"X-Sum", b"1");
    trailers.push(b"X-Hop", b"2");
    push_last_chunk(&trailers, &head, &mut out);
    assert_eq!(out, b"0\r\nX-Sum: 1\r\n\r\n");
}

/// The aim is 0.05 s for a million chunks; the test allows for a debug build.
#[test]
fn a_million_chunks() {
    let input = b"1\r\nx\r\n".repeat(1_000_000);
    let mut decoder = ChunkedDecoder::default();
    let mut trailers = Fields::default();
    let (mut at, mut count) = (0, 0);
    while let Ok(Decoded::Data(range)) = decoder.decode(&input[at..], &mut trailers) {
        count += range.len();
        at += range.end;
    }
    assert_eq!(count, 1_000_000);
}

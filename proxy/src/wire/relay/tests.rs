//! Bodies relayed between sockets, in every framing.

use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::http1::body::BodyLength;
use crate::transport::buffer::BufferPool;
use crate::transport::io::{Io, Socket};
use crate::wire::Wire;

fn wire(pool: &BufferPool) -> (UnixStream, Wire) {
    let (far, near) = UnixStream::pair().unwrap();
    (far, Wire::new(Io::plain(Socket::Unix(near)), pool))
}

/// Sends `parts` one by one, and returns everything that the receiver received, including `head`.
async fn relayed(
    length: BodyLength,
    framing: BodyLength,
    head: &[u8],
    parts: &[Vec<u8>],
) -> Result<Vec<u8>, RelayError> {
    let pool = BufferPool::default();
    let (mut source, mut from) = wire(&pool);
    let (mut sink, mut to) = wire(&pool);
    from.begin_body(length);
    to.output().extend_from_slice(head);
    let send = async {
        for part in parts {
            source.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(source);
    };
    to.begin_outgoing(framing);
    let mut relay = Relay::default();
    let fields = Fields::default();
    let relay = async {
        let result = poll_fn(|cx| relay.poll(&mut from, &mut to, &fields, cx)).await;
        drop(to);
        result
    };
    let mut seen = Vec::new();
    let (result, (), _) = tokio::join!(relay, send, sink.read_to_end(&mut seen));
    result.map(|()| seen)
}

fn chunks(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[tokio::test]
async fn small_chunks_are_joined() {
    let pieces = vec![vec![b'x'; 1]; 10_000];
    let length = BodyLength::Chunked;
    let seen = relayed(length, length, b"head", &[chunks(&pieces)]).await;
    let seen = seen.unwrap();
    assert!(seen.starts_with(b"head"));
    assert!(seen.len() < 10_200, "{} bytes", seen.len());
}

#[tokio::test]
async fn bodies_that_break_off() {
    let check = async |length, body: &[u8], is_whole| {
        let result = relayed(length, BodyLength::Chunked, b"", &[body.to_vec()]).await;
        assert_eq!(result.is_ok(), is_whole, "{length:?}");
    };
    check(BodyLength::Known(5), b"abc", false).await;
    check(BodyLength::Chunked, b"5\r\nabc", false).await;
    check(BodyLength::Chunked, b"3\r\nabc\r\n", false).await;
    check(BodyLength::Chunked, b"z\r\n", false).await;
    check(BodyLength::UntilClose, b"abc", true).await;
    check(BodyLength::Known(3), b"abcnext", true).await;
}

/// The receiver accepts a little at a time, so the queue is often sent in part. The body must still
/// have one end, and nothing must be lost.
#[tokio::test]
async fn a_chunked_body_for_a_slow_receiver_has_one_end() {
    let pool = BufferPool::default();
    let (mut source, mut from) = wire(&pool);
    let (mut sink, mut to) = wire(&pool);
    from.begin_body(BodyLength::Chunked);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let body = chunks(&sent.chunks(1000).map(<[u8]>::to_vec).collect::<Vec<_>>());
    let send = async {
        source.write_all(&body).await.unwrap();
        drop(source);
    };
    to.begin_outgoing(BodyLength::Chunked);
    let mut relay = Relay::default();
    let fields = Fields::default();
    let relay = async {
        poll_fn(|cx| relay.poll(&mut from, &mut to, &fields, cx))
            .await
            .unwrap();
        drop(to);
    };
    let receive = async {
        let mut seen = Vec::new();
        let mut piece = [0; 777];
        loop {
            match sink.read(&mut piece).await.unwrap() {
                0 => return seen,
                count => seen.extend_from_slice(&piece[..count]),
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), (), seen) = tokio::join!(send, relay, receive);
    assert!(joined(&seen) == sent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_body_arrives_as_it_was_sent(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..12),
        cuts in prop::collection::vec(1_usize..5000, 1..20),
    ) {
        let body = pieces.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let known = BodyLength::Known(body.len() as u64);
        for (length, sent, framing) in [
            (BodyLength::Chunked, chunks(&pieces), BodyLength::Chunked),
            (BodyLength::Chunked, chunks(&pieces), BodyLength::UntilClose),
            (known, body.clone(), known),
            (BodyLength::UntilClose, body.clone(), BodyLength::Chunked),
        ] {
            let mut parts = Vec::new();
            let mut rest = &sent[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, left) = rest.split_at((*cut).min(rest.len()));
                parts.push(part.to_vec());
                rest = left;
            }
            let seen = runtime.block_on(relayed(length, framing, b"head ", &parts)).unwrap();
            let seen = seen.strip_prefix(b"head ").unwrap();
            if framing == BodyLength::Chunked {
                prop_assert_eq!(joined(seen), body.clone());
            } else {
                prop_assert_eq!(seen, &body[..]);
            }
        }
    }
}

/// Decodes the payload of a chunked body in the simplest way.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    loop {
        let end = body.iter().position(|&byte| byte == b'\r').unwrap();
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        body = &body[end + 2..];
        payload.extend_from_slice(&body[..size]);
        body = body[size..].strip_prefix(b"\r\n").unwrap();
        if size == 0 {
            assert!(body.is_empty());
            return payload;
        }
    }
}

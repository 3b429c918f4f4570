//! Reading a prefix does not change the body, wherever the input and the chunks are split.

use std::future::poll_fn;
use std::io;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::*;
use crate::http::fields::Fields;
use crate::http1::body::BodyLength;
use crate::transport::buffer::BufferPool;
use crate::transport::io::{Io, Socket};
use crate::wire::{Relay, Sink, Source as _};

/// Bytes after the body.
const NEXT: &[u8] = b"GET / HTTP/1.1\r\n";

/// A receiver that accepts a little at a time.
#[derive(Default)]
struct Collector {
    body: Vec<u8>,
    trailers: usize,
    has_ended: bool,
}

impl Sink for Collector {
    fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        _cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        assert!(!self.has_ended, "data behind the last");
        let count = data.len().min(777);
        self.body.extend_from_slice(&data[..count]);
        self.has_ended = is_final && count == data.len();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, trailers: Option<&Fields>, _head: &Fields) -> io::Result<()> {
        self.trailers = trailers.map_or(0, Fields::len);
        assert!(!self.has_ended || self.trailers == 0, "trailers are lost");
        Ok(())
    }
}

fn wire() -> (UnixStream, Wire) {
    let (far, near) = UnixStream::pair().unwrap();
    let wire = Wire::new(Io::plain(Socket::Unix(near)), &BufferPool::default());
    (far, wire)
}

fn chunks(pieces: &[Vec<u8>], trailers: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n");
    body.extend_from_slice("X-Trailer: value\r\n".repeat(trailers).as_bytes());
    body.extend_from_slice(b"\r\n");
    body
}

/// Reads each prefix in a separate step, then the whole body from `from`.
async fn read(from: &mut Wire, steps: &[usize], body: &[u8]) -> Collector {
    for &enough in steps {
        let progress = poll_fn(|cx| from.poll_prefix(enough, cx)).await.unwrap();
        let expected = if body.len() < enough {
            Progress::End
        } else {
            Progress::Data
        };
        assert_eq!(progress, expected, "{enough} of {}", body.len());
        let data = from.data();
        assert!(data.len() >= enough.min(body.len()), "{}", data.len());
        assert!(data == &body[..data.len()], "{enough}");
        let most = steps.iter().max().unwrap() + BUFFER_SIZE;
        assert!(from.input().len() <= most, "{} held", from.input().len());
    }
    let mut collector = Collector::default();
    let mut relay = Relay::default();
    let fields = Fields::default();
    poll_fn(|cx| relay.poll(from, &mut collector, &fields, cx))
        .await
        .unwrap();
    assert_eq!(relay.moved(), body.len() as u64);
    collector
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_body_stays_as_it_was_sent(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3),
                prop::collection::vec(any::<u8>(), 0..9000),
            ], 0..12,
        ),
        cuts in prop::collection::vec(1_usize..5000, 1..20),
        steps in prop::collection::vec(0_usize..40_000, 1..3),
        trailers in 0_usize..3,
    ) {
        let body = pieces.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let known = BodyLength::Known(body.len() as u64);
        let exact = [vec![body.len(), body.len() + 1], steps].concat();
        for (length, sent, trailers) in [
            (BodyLength::Chunked, chunks(&pieces, trailers), trailers),
            (known, body.clone(), 0),
        ] {
            let sent = [&sent[..], NEXT].concat();
            runtime.block_on(async {
                let (mut far, mut from) = wire();
                from.begin_body(length);
                let send = async {
                    let mut rest = &sent[..];
                    for cut in cuts.iter().cycle() {
                        if rest.is_empty() {
                            break;
                        }
                        let (part, left) = rest.split_at((*cut).min(rest.len()));
                        far.write_all(part).await.unwrap();
                        tokio::task::yield_now().await;
                        rest = left;
                    }
                };
                let ((), seen) = tokio::join!(send, read(&mut from, &exact, &body));
                assert!(seen.body == body, "{length:?}");
                assert_eq!(seen.trailers, trailers);
                assert!(from.is_body_complete());
                while from.input().len() < NEXT.len() {
                    poll_fn(|cx| from.poll_fill(BUFFER_SIZE, cx)).await.unwrap();
                }
                assert_eq!(from.input(), NEXT);
            });
        }
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_completed() {
    let check = async |length, sent: &[u8], expected: &str| {
        let (mut far, mut wire) = wire();
        wire.begin_body(length);
        wire.limit_body(Some(5));
        far.write_all(sent).await.unwrap();
        drop(far);
        let error = poll_fn(|cx| wire.poll_prefix(10, cx)).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert!(!wire.is_body_complete());
        // The body remains broken.
        assert!(poll_fn(|cx| wire.poll_prefix(10, cx)).await.is_err());
    };
    check(BodyLength::Known(5), b"abc", "Truncated").await;
    check(BodyLength::Chunked, b"", "Truncated").await;
    check(BodyLength::Chunked, b"3\r\nabc\r\n", "Truncated").await;
    check(BodyLength::Chunked, b"3\r\nabc\r\n0\r\nX: y", "Truncated").await;
    check(BodyLength::Chunked, b"3\r\nabc\r\nz", "Chunk(Size)").await;
    check(
        BodyLength::Chunked,
        b"3\r\nabc\r\n3\r\ndef\r\n",
        "TooLarge(5)",
    )
    .await;
    check(BodyLength::Chunked, b"6\r\nabcdef\r\n", "TooLarge(5)").await;
}

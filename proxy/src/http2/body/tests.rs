//! Reading a prefix of a body over HTTP/2 changes neither the body nor the window.

use std::future::poll_fn;

use http::{HeaderMap, Request};
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};

use super::*;

/// Sends a request with this body over `io`.
async fn send(io: DuplexStream, pieces: Vec<Vec<u8>>, with_trailers: bool) {
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://www.test.tld/").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    for piece in pieces {
        let mut piece = Bytes::from(piece);
        stream.reserve_capacity(piece.len());
        while !piece.is_empty() {
            let room = match stream.capacity() {
                0 => poll_fn(|cx| stream.poll_capacity(cx)).await,
                room => Some(Ok(room)),
            };
            let room = room.unwrap().unwrap().min(piece.len());
            stream.send_data(piece.split_to(room), false).unwrap();
        }
    }
    if with_trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", "value".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    } else {
        stream.send_data(Bytes::new(), true).unwrap();
    }
    // Awaited, because h2 resets a request whose response future is dropped.
    let _ = response.await;
    connection.abort();
}

/// Reads the prefix, then the whole body in small steps.
async fn receive(mut incoming: Incoming, enough: usize, body: &[u8], with_trailers: bool) {
    let progress = poll_fn(|cx| incoming.poll_prefix(enough, cx))
        .await
        .unwrap();
    let expected = if body.len() < enough {
        Progress::End
    } else {
        Progress::Data
    };
    assert_eq!(progress, expected);
    let held = incoming.data().len();
    assert!(held >= enough.min(body.len()));
    assert!(held <= enough + FRAME_SIZE as usize, "{held} held");
    assert!(incoming.data() == &body[..held]);
    let mut seen = Vec::new();
    while poll_fn(|cx| incoming.poll(cx)).await.unwrap() == Progress::Data {
        let data = incoming.data();
        let count = data.len().min(777);
        seen.extend_from_slice(&data[..count]);
        let is_last = incoming.is_final() && count == data.len();
        assert!(!is_last || !with_trailers && seen.len() == body.len());
        incoming.consume(count);
    }
    assert!(seen == body);
    assert_eq!(
        incoming.trailers().map(Fields::len),
        with_trailers.then_some(1)
    );
    assert!(incoming.is_complete());
    assert_eq!(incoming.received(), body.len() as u64);
    // Exactly as many bytes were returned to the window as were received.
    let mut stream = incoming.stream.unwrap();
    assert_eq!(stream.flow_control().used_capacity(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_body_stays_as_it_was_sent(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3),
                prop::collection::vec(any::<u8>(), 0..20_000),
            ], 0..12,
        ),
        // Includes values larger than the window.
        enough in prop_oneof![0_usize..40_000, 0_usize..100_000],
        is_exact: bool,
        with_trailers: bool,
    ) {
        let body = pieces.concat();
        let enough = if is_exact { body.len() } else { enough };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, far) = duplex(4096);
            let client = tokio::spawn(send(far, pieces, with_trailers));
            let mut server = h2::server::handshake(near).await.unwrap();
            let (request, respond) = server.accept().await.unwrap().unwrap();
            let connection = tokio::spawn(async move { while server.accept().await.is_some() {} });
            let incoming = Incoming::new(Some(request.into_body()));
            receive(incoming, enough, &body, with_trailers).await;
            drop(respond);
            client.await.unwrap();
            connection.abort();
        });
    }
}

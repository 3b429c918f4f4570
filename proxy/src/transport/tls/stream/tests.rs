//! Streams over local sockets, with well-behaved peers and with others.

use std::future::poll_fn;
use std::io::ErrorKind;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::transport::io::Io;
use crate::transport::tls::testing::{
    VERSIONS, ios, pattern, read, read_to_end, sessions, shutdown, sockets, streams, tcp_pair,
    write_all,
};
use crate::transport::tls::{Handshake, HandshakeError};

#[tokio::test]
async fn bytes_pass_in_both_directions() {
    for version in VERSIONS {
        let (mut client, mut server) = ios(version).await;
        let sent = pattern(3_000_000);
        let there = async {
            write_all(&mut client, &sent).await.unwrap();
            shutdown(&mut client).await.unwrap();
            read_to_end(&mut client).await.unwrap()
        };
        let back = async {
            let seen = read_to_end(&mut server).await.unwrap();
            write_all(&mut server, &seen[..1_000_000]).await.unwrap();
            shutdown(&mut server).await.unwrap();
            seen
        };
        let (echoed, seen) = tokio::join!(there, back);
        assert!(seen == sent && echoed == sent[..1_000_000], "{version:?}");
        assert_eq!((client.written(), client.read()), (3_000_000, 1_000_000));
        assert_eq!((server.written(), server.read()), (1_000_000, 3_000_000));
        assert!(client.moved() > 4_000_000, "with what TLS adds");
    }
}

#[tokio::test]
async fn any_sizes_of_reads_and_writes_fit() {
    let sent = pattern(400_000);
    for (piece, buffer) in [
        (7, 70_000),
        (100, 64),
        (5000, 4096),
        (16_384, 16_384),
        (16_385, 5000),
        (400_000, 1),
        (400_000, 4097),
        (400_000, 65_536),
    ] {
        let (mut client, mut server) = ios(&TLS13).await;
        let write = async {
            for piece in sent.chunks(piece) {
                write_all(&mut client, piece).await.unwrap();
            }
            shutdown(&mut client).await.unwrap();
        };
        let receive = async {
            let mut seen = Vec::new();
            let mut buffer = vec![0; buffer];
            loop {
                match read(&mut server, &mut buffer).await.unwrap() {
                    0 => return seen,
                    count => seen.extend_from_slice(&buffer[..count]),
                }
            }
        };
        let ((), seen) = tokio::join!(write, receive);
        assert!(seen == sent, "{piece} {buffer}");
    }
}

#[tokio::test]
async fn a_reader_that_stalls_bounds_what_is_buffered() {
    let (mut client, mut server) = streams(&TLS13).await;
    let sent = pattern(40_000_000);
    let mut taken = 0;
    loop {
        match server.try_write(&sent[taken..]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The receiver's socket might still accept some of it.
                let flushed = poll_fn(|cx| Poll::Ready(server.poll_flush(cx).is_ready())).await;
                if !flushed {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    let state = server.session.process_new_packets().unwrap();
    let held = state.tls_bytes_to_write();
    assert!(0 < held && held <= MAX_WRITE + 100, "{held}");
    assert!(!server.is_flushed());
    let mut server = Io::tls(server);
    let (write, receive) = (
        async {
            write_all(&mut server, &sent[taken..taken + 100_000])
                .await
                .unwrap();
            assert!(server.is_flushed());
            shutdown(&mut server).await.unwrap();
        },
        async {
            // The client does not start to read before this point.
            let mut seen = Vec::new();
            let mut buffer = vec![0; 10_000];
            while let Ok(count @ 1..) = poll_fn(|cx| {
                loop {
                    ready!(client.poll_read_ready(cx))?;
                    match client.try_read(&mut buffer) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        result => return Poll::Ready(result),
                    }
                }
            })
            .await
            {
                seen.extend_from_slice(&buffer[..count]);
            }
            seen
        },
    );
    let ((), seen) = tokio::join!(write, receive);
    assert!(seen == sent[..taken + 100_000]);
}

#[tokio::test]
async fn plaintext_inside_the_session_needs_no_event() {
    for version in VERSIONS {
        let (mut client, mut server) = ios(version).await;
        write_all(&mut server, &pattern(10_000)).await.unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 700];
        let count = read(&mut client, &mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..count]);
        while seen.len() < 10_000 {
            let is_ready = poll_fn(|cx| Poll::Ready(client.poll_read_ready(cx).is_ready())).await;
            assert!(is_ready, "{version:?}: {} of 10,000", seen.len());
            let count = client.try_read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
        }
        assert!(seen == pattern(10_000));
        assert!(client.is_silent() && client.has_nothing_to_read());
    }
}

#[tokio::test]
async fn tickets_and_key_updates_are_not_plaintext() {
    let (mut client, mut server) = streams(&TLS13).await;
    // The server has sent tickets in its part of the handshake.
    assert!(client.has_nothing_to_read());
    server.session.refresh_traffic_keys().unwrap();
    poll_fn(|cx| server.poll_flush(cx)).await.unwrap();
    let mut client = Io::tls(client);
    poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
    assert!(client.is_silent());
    // The response to the key update request is sent with the next write.
    write_all(&mut client, b"under old and new keys")
        .await
        .unwrap();
    let mut server = Io::tls(server);
    let mut buffer = [0; 100];
    let count = read(&mut server, &mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"under old and new keys");
    write_all(&mut server, b"x").await.unwrap();
    poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
    assert!(!client.has_nothing_to_read());
}

#[tokio::test]
async fn a_clean_end_is_distinguished_from_a_cut() {
    let check = async |end: fn(Io), expected: Result<&str, ErrorKind>| {
        for version in VERSIONS {
            let (mut client, mut server) = ios(version).await;
            write_all(&mut server, b"all of it?").await.unwrap();
            end(server);
            let seen = read_to_end(&mut client).await;
            let seen = seen.map_err(|error| error.kind());
            let seen = seen.map(|seen| String::from_utf8(seen).unwrap());
            assert_eq!(seen, expected.map(str::to_owned), "{version:?}");
            // Later calls also report the end, without a new event.
            poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
            assert!(!client.is_silent() && !client.has_nothing_to_read());
        }
    };
    check(drop, Ok("all of it?")).await;
    let reset = |mut server: Io| server.set_close_mode(CloseMode::Reset);
    check(reset, Err(ErrorKind::ConnectionReset)).await;
}

#[tokio::test]
async fn an_end_of_the_socket_alone_is_unexpected() {
    for version in VERSIONS {
        let (client, mut server) = streams(version).await;
        let mut client = Io::tls(client);
        server
            .session
            .writer()
            .write_all(b"a whole record")
            .unwrap();
        server.flush().unwrap();
        server.session.writer().write_all(b"half a record").unwrap();
        let mut record = Vec::new();
        server.session.write_tls(&mut record).unwrap();
        server
            .socket
            .try_write(&record[..record.len() / 2])
            .unwrap();
        server.socket.shutdown_write().unwrap();
        let mut buffer = [0; 100];
        let count = read(&mut client, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"a whole record");
        for _ in 0..2 {
            let error = read(&mut client, &mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_half_close_leaves_the_other_direction_open() {
    let (mut client, mut server) = ios(&TLS13).await;
    write_all(&mut client, b"question").await.unwrap();
    shutdown(&mut client).await.unwrap();
    assert_eq!(read_to_end(&mut server).await.unwrap(), b"question");
    write_all(&mut server, b"answer").await.unwrap();
    drop(server);
    assert_eq!(read_to_end(&mut client).await.unwrap(), b"answer");
}

#[tokio::test]
async fn garbage_behind_a_record_fails_after_it() {
    for version in VERSIONS {
        let (client, mut server) = streams(version).await;
        let mut client = Io::tls(client);
        let mut bytes = Vec::new();
        server.session.writer().write_all(b"good").unwrap();
        server.session.write_tls(&mut bytes).unwrap();
        bytes.extend_from_slice(b"\x17\x03\x03\x00\x20 this was encrypted by nobody at all");
        server.socket.try_write(&bytes).unwrap();
        let mut buffer = [0; 100];
        let count = read(&mut client, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"good");
        for _ in 0..2 {
            let error = read(&mut client, &mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{version:?}");
        }
        assert!(client.try_write(b"more").is_err());
        // The peer receives an alert.
        let mut server = Io::tls(server);
        let error = read(&mut server, &mut buffer).await.unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}

/// Copies bytes one by one.
async fn trickle(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
) {
    let mut byte = [0];
    while let Ok(1) = from.read(&mut byte).await {
        if to.write_all(&byte).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let _ = to.shutdown().await;
}

#[tokio::test]
async fn peers_that_send_byte_by_byte_are_understood() {
    for version in VERSIONS {
        let (near, far) = (tcp_pair().await, tcp_pair().await);
        let (left, right) = (near.1.into_split(), far.1.into_split());
        let relay = async { tokio::join!(trickle(left.0, right.1), trickle(right.0, left.1)) };
        let (client, server) = sessions(version);
        let talk = async {
            let (client, server) = tokio::join!(
                Handshake::connect(Socket::Tcp(near.0), Ok(client)),
                Handshake::connect(Socket::Tcp(far.0), Ok(server))
            );
            let (mut client, mut server) = (Io::tls(client.unwrap()), Io::tls(server.unwrap()));
            write_all(&mut client, &pattern(2000)).await.unwrap();
            shutdown(&mut client).await.unwrap();
            assert!(read_to_end(&mut server).await.unwrap() == pattern(2000));
        };
        tokio::join!(relay, talk);
    }
}

#[tokio::test]
async fn anything_but_a_handshake_is_refused() {
    let check = async |bytes: &[u8], expected: &str| {
        let (mut client, server) = tcp_pair().await;
        client.set_nodelay(true).unwrap();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let error = Handshake::connect(Socket::Tcp(server), Ok(sessions(&TLS12).1))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
        client
    };
    let closed = "the peer closed the connection during the TLS handshake";
    check(b"", closed).await;
    // The header of a record that never arrives.
    check(b"\x16\x03\x01\x02\x00\x01", closed).await;
    let not_tls = "the peer does not speak TLS";
    let mut client: TcpStream = check(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", not_tls).await;
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
    let (near, far) = sockets().await;
    // A client that supports only another version.
    let (client, server) = (sessions(&TLS12).0, sessions(&TLS13).1);
    let (client, server) = tokio::join!(
        Handshake::connect(near, Ok(client)),
        Handshake::connect(far, Ok(server))
    );
    assert!(
        matches!(client, Err(HandshakeError::Refused(_))),
        "{client:?}"
    );
    assert!(
        matches!(server, Err(HandshakeError::Failed(_))),
        "{server:?}"
    );
}

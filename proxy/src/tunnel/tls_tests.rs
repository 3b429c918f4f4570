//! Tunnels with TLS on either side, or on both.

use std::future::poll_fn;
use std::time::Duration;

use super::{End as Side, *};
use crate::telemetry::End;
use crate::transport::io::{CloseMode, Io};
use crate::transport::tls::testing::{
    pattern, read, read_to_end, shutdown, sockets, tls13, write_all,
};

/// Transport of one side of the tunnel.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Tls,
}

/// Returns the far end of a connection, and the end that the tunnel uses.
async fn pair(kind: Kind) -> (Io, Io) {
    match kind {
        Kind::Plain => {
            let (far, near) = sockets().await;
            (Io::plain(far), Io::plain(near))
        }
        Kind::Tls => tls13().await,
    }
}

fn tunnel(client: Io, server: Io) -> Tunnel {
    let minute = Duration::from_mins(1);
    let downstream = Downstream {
        stream: Side::Io(client),
        early: b"early in ".as_slice().into(),
        client: minute,
        client_fin: minute,
    };
    let upstream = Upstream {
        stream: Side::Io(server),
        early: b"early out ".as_slice().into(),
        hold: Hold::default(),
        idle: None,
        server: minute,
        server_fin: minute,
    };
    Tunnel::new(downstream, upstream, Scratch::default())
}

const KINDS: [(Kind, Kind); 4] = [
    (Kind::Plain, Kind::Plain),
    (Kind::Plain, Kind::Tls),
    (Kind::Tls, Kind::Plain),
    (Kind::Tls, Kind::Tls),
];

#[tokio::test]
async fn bytes_and_half_closes_are_carried_across() {
    for kinds in KINDS {
        let (mut client, near_client) = pair(kinds.0).await;
        let (mut server, near_server) = pair(kinds.1).await;
        let mut tunnel = tunnel(near_client, near_server);
        let sent = pattern(3_000_000);
        let ask = async {
            write_all(&mut client, &sent).await.unwrap();
            shutdown(&mut client).await.unwrap();
            read_to_end(&mut client).await.unwrap()
        };
        let answer = async {
            let seen = read_to_end(&mut server).await.unwrap();
            // The other direction is still open.
            write_all(&mut server, &sent[..500_000]).await.unwrap();
            shutdown(&mut server).await.unwrap();
            seen
        };
        let (end, back, there) = tokio::join!(poll_fn(|cx| tunnel.poll(cx)), ask, answer);
        assert_eq!(end, End::Tunnel, "{kinds:?}");
        assert!(
            there.strip_prefix(b"early in ").unwrap() == sent,
            "{kinds:?}"
        );
        assert!(back.strip_prefix(b"early out ").unwrap() == &sent[..500_000]);
        assert_eq!((tunnel.inward(), tunnel.outward()), (3_000_009, 500_010));
    }
}

#[tokio::test]
async fn the_last_bytes_go_out_without_another_event() {
    let (mut client, near_client) = pair(Kind::Plain).await;
    let (mut server, near_server) = pair(Kind::Tls).await;
    let mut tunnel = tunnel(near_client, near_server);
    let sent = pattern(8_000_000);
    let talk = async {
        // No side is closed, and a slow reader still receives all the bytes.
        let receive = async {
            let mut seen = Vec::new();
            let mut buffer = vec![0; 50_000];
            while seen.len() < sent.len() + 9 {
                tokio::task::yield_now().await;
                let count = read(&mut server, &mut buffer).await.unwrap();
                seen.extend_from_slice(&buffer[..count]);
            }
            seen
        };
        let (written, seen) = tokio::join!(write_all(&mut client, &sent), receive);
        written.unwrap();
        assert!(seen.strip_prefix(b"early in ").unwrap() == sent);
    };
    tokio::select! {
        end = poll_fn(|cx| tunnel.poll(cx)) => panic!("{end:?}"),
        () = talk => {}
    }
}

#[tokio::test]
async fn a_cut_is_no_half_close() {
    let (mut client, near_client) = pair(Kind::Tls).await;
    let (mut server, near_server) = pair(Kind::Plain).await;
    let mut tunnel = tunnel(near_client, near_server);
    client.set_close_mode(CloseMode::Reset);
    drop(client);
    let end = poll_fn(|cx| tunnel.poll(cx)).await;
    assert_eq!(end, End::Tunnel);
    drop(tunnel);
    read_to_end(&mut server).await.unwrap();
}

//! Tests of the search, over real sockets.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::upstream::health::RETRY_AFTER;
use crate::upstream::testing::Bed;

/// Lets time pass, and stands still no longer.
async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn is_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// An address that answers no SYN: its queue, of one place, is full.
async fn black_hole() -> (tokio::net::TcpListener, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let filler = TcpStream::connect(listener.local_addr().unwrap()).await;
    (listener, filler.unwrap())
}

#[tokio::test]
async fn which_endpoint_serves() {
    // Servers; the sockets that listen; where requests go; connections that failed.
    for (servers, listening, expected, refused) in [
        ("a=1 b=2 c=3", "1 2 3", "1 2 3 1", 0),
        // Addresses of one server are no servers: they do not take turns.
        ("a=1,2 b=3", "1 2 3", "1 3 1 3", 0),
        // A dead address costs one attempt, however many servers there are.
        ("a=1,2", "2", "2 2 2 2", 1),
        ("a=1,2 b=3", "2 3", "2 3 2 3", 1),
        ("a=1 b=2", "2", "2 2 2 2", 1),
        ("a=1 b=2 c=3", "3", "3 3 3 3", 2),
        // With nothing left each is tried again, once by each request.
        ("a=1", "", "- - -", 3),
        ("a=1 b=2", "", "- - -", 6),
    ] {
        let mut bed = Bed::new(servers);
        listening
            .split_whitespace()
            .for_each(|socket| bed.listen(socket));
        let cluster = bed.start();
        let mut seen = Vec::new();
        for _ in expected.split(' ') {
            seen.push(bed.dial(&cluster).await);
        }
        assert_eq!(seen.join(" "), expected, "{servers}, {listening} listening");
        assert_eq!(bed.refused(), refused, "{servers}, {listening} listening");
    }
}

#[tokio::test]
async fn a_lone_server_that_comes_back_is_used_at_once() {
    let mut bed = Bed::new("a=1");
    let cluster = bed.start();
    assert_eq!(bed.dial(&cluster).await, "-");
    bed.listen("1");
    assert_eq!(bed.dial(&cluster).await, "1");
}

#[tokio::test]
async fn a_dead_endpoint_is_tried_again_after_a_while() {
    let mut bed = Bed::new("a=1 b=2");
    bed.listen("2");
    let cluster = bed.start();
    for attempts in 1..4 {
        for _ in 0..4 {
            assert_eq!(bed.dial(&cluster).await, "2");
        }
        assert_eq!(bed.refused(), attempts);
        advance(RETRY_AFTER).await;
    }
    bed.listen("1");
    let served = [bed.dial(&cluster).await, bed.dial(&cluster).await];
    assert!(served.contains(&"1".to_owned()), "{served:?}");
}

#[tokio::test]
async fn a_request_probes_one_endpoint_at_most() {
    let mut bed = Bed::new("a=1,2 b=3,4");
    bed.listen("4");
    let cluster = bed.start();
    assert_eq!(bed.dial(&cluster).await, "4");
    assert_eq!(bed.refused(), 3);
    advance(RETRY_AFTER).await;
    // In turn from `b` and from `a`, each of which is tried from its first address on.
    for attempts in [4, 5, 5, 6, 6] {
        assert_eq!(bed.dial(&cluster).await, "4");
        assert_eq!(bed.refused(), attempts);
    }
}

#[tokio::test]
async fn nobody_waits_for_an_endpoint_that_is_silent() {
    let (hole, _filler) = black_hole().await;
    let mut bed = Bed::new(&format!("a={} b=2", hole.local_addr().unwrap()));
    bed.backend.timeouts.connect = Duration::from_hours(1);
    bed.listen("2");
    let cluster = bed.start();
    // Before anybody knows, some requests wait; not so once the first has for a second.
    let mut first = pin!(bed.dial(&cluster));
    assert!(is_pending(&mut first).await);
    advance(2 * SUSPECT_AFTER).await;
    assert!(is_pending(&mut first).await);
    for _ in 0..4 {
        assert_eq!(bed.dial(&cluster).await, "2");
    }
    // One request probes it when its turn comes, and no other.
    advance(RETRY_AFTER).await;
    assert_eq!(bed.dial(&cluster).await, "2");
    assert_eq!(bed.condition(0), Condition::Due);
    let mut probe = Box::pin(bed.dial(&cluster));
    assert!(is_pending(&mut probe).await);
    assert_eq!(bed.condition(0), Condition::Down);
    for _ in 0..4 {
        assert_eq!(bed.dial(&cluster).await, "2");
    }
    // One that is given up has found out nothing: the next request probes.
    drop(probe);
    assert_eq!(bed.condition(0), Condition::Due);
    assert_eq!(bed.dial(&cluster).await, "2");
    let mut probe = Box::pin(bed.dial(&cluster));
    assert!(is_pending(&mut probe).await);
    assert_eq!(bed.condition(0), Condition::Down);
}

#[tokio::test]
async fn a_full_server_is_waited_for_rather_than_a_dead_one_tried() {
    let mut bed = Bed::new("a=1*1 b=2");
    bed.backend.timeouts.queue = Duration::ZERO;
    bed.listen("1");
    let cluster = bed.start();
    let held = cluster.checkout(Reuse::Safe, Needs::Any).await.unwrap();
    let full = cluster.checkout(Reuse::Safe, Needs::Any).await;
    assert!(matches!(full, Err(CheckoutError::QueueFull(_))), "{full:?}");
    assert_eq!(bed.refused(), 1);
    let full = cluster.checkout(Reuse::Safe, Needs::Any).await;
    assert!(matches!(full, Err(CheckoutError::QueueFull(_))), "{full:?}");
    assert_eq!(bed.refused(), 1);
    drop(held);
    assert!(cluster.checkout(Reuse::Safe, Needs::Any).await.is_ok());
}

#[test]
fn which_requests_take_idle_connections() {
    for (reuse, expected) in [
        // By `never`, `safe` and `always`.
        (Reuse::Safe, [false, true, true]),
        (Reuse::Risky, [false, false, true]),
        (Reuse::Fresh, [false, false, false]),
    ] {
        let policies = [HttpReuse::Never, HttpReuse::Safe, HttpReuse::Always];
        let allowed = policies.map(|policy| reuse.is_allowed(policy));
        assert_eq!(allowed, expected, "{reuse:?}");
    }
}

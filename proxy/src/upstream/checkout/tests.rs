//! Tests of the search, over real sockets.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::net::{TcpSocket, TcpStream};

use std::time::Duration;

use tokio::time::Instant;

use super::search::{MAX_DIALS, SUSPECT_AFTER};
use super::*;
use crate::config::ServerState::{Drain, Maintenance, Ready};
use crate::config::{Balance, HttpReuse, Retry};
use crate::upstream::Condition;
use crate::upstream::testing::{Bed, fresh, safe};

/// Advances the paused clock, then lets time pass normally again.
async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn is_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// Returns an address that answers no SYN, because its backlog of one connection is full.
async fn black_hole() -> (tokio::net::TcpListener, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let filler = TcpStream::connect(listener.local_addr().unwrap()).await;
    (listener, filler.unwrap())
}

#[tokio::test]
async fn the_expected_endpoint_serves() {
    // Servers; sockets that listen; sockets that the requests reach; number of failed connections.
    for (servers, listening, expected, refused) in [
        ("a=1 b=2 c=3", "1 2 3", "1 2 3 1", 0),
        // Each address has its turn, whichever server it belongs to.
        ("a=1,2 b=3", "1 2 3", "1 2 3 1", 0),
        // A dead address costs one attempt, however many requests follow.
        ("a=1,2", "2", "2 2 2 2", 1),
        ("a=1 b=2 c=3", "3", "3 3 3 3", 2),
        // If no other endpoint is left, each request tries each endpoint once.
        ("a=1", "", "- - -", 3),
        ("a=1 b=2", "", "- - -", 6),
    ] {
        let mut bed = Bed::new(servers);
        bed.backend.balance = Balance::RoundRobin;
        bed.backend.retry.attempts = 0;
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

/// A request for one server tries all addresses of that server. Only after that does it go to
/// another server, or fail.
#[tokio::test]
async fn a_chosen_server_is_tried_at_each_of_its_addresses() {
    // Sockets that listen; the socket that the request reaches if it can go to other servers, and
    // if it cannot; number of failed connections.
    for (listening, elsewhere, nowhere, refused) in [
        ("1 2 3", "1", "1", 0),
        ("2 3", "2", "2", 1),
        ("3", "3", "-", 2),
    ] {
        for (bound, expected) in [
            (Bound::Server("a"), elsewhere),
            (Bound::OnlyServer("a"), nowhere),
        ] {
            let mut bed = Bed::new("a=1,2 b=3");
            bed.backend.retry.attempts = 0;
            listening.split(' ').for_each(|socket| bed.listen(socket));
            let cluster = bed.start();
            let demand = Demand {
                bound: Some(bound),
                ..fresh()
            };
            let lease = cluster.checkout(&demand).await;
            let seen = lease.map_or("-".to_owned(), |lease| bed.socket(&lease));
            assert_eq!(seen, expected, "{bound:?}, {listening} listening");
            assert_eq!(bed.refused(), refused, "{bound:?}, {listening} listening");
        }
    }
}

/// A request that is restricted to one server, and has failed there, is sent to another address of
/// that server at once. If the server has no other address, the request is sent to the same address
/// after `retry.pause`.
#[tokio::test(start_paused = true)]
async fn a_request_for_one_server_only_is_repeated_there() {
    for (servers, expected, has_pause) in [("a=1,2 b=3", "2", false), ("a=1 b=3", "1", true)] {
        let mut bed = Bed::new(servers);
        for socket in ["1", "2", "3"] {
            bed.listen(socket);
        }
        let cluster = bed.start();
        let failed = [bed.endpoint(0).id()];
        let demand = Demand {
            bound: Some(Bound::OnlyServer("a")),
            avoid: &failed,
            ..fresh()
        };
        let begin = Instant::now();
        let lease = cluster.checkout(&demand).await.unwrap();
        assert_eq!(bed.socket(&lease), expected, "{servers}");
        let pause = bed.backend.retry.pause;
        assert_eq!(begin.elapsed() >= pause, has_pause, "{servers}");
    }
}

#[tokio::test]
async fn a_request_makes_a_limited_number_of_attempts() {
    let servers: Vec<_> = (0..40)
        .map(|number| format!("s{number}={number}"))
        .collect();
    let mut bed = Bed::new(&servers.join(" "));
    bed.backend.retry.attempts = 0;
    let cluster = bed.start();
    for dials in 1..=5 {
        assert_eq!(bed.dial(&cluster).await, "-");
        assert_eq!(bed.refused(), dials * MAX_DIALS as u64);
    }
}

#[tokio::test]
async fn a_lone_server_that_comes_back_is_used_at_once() {
    let mut bed = Bed::new("a=1");
    bed.backend.retry.attempts = 0;
    let cluster = bed.start();
    assert_eq!(bed.dial(&cluster).await, "-");
    assert_eq!(bed.condition(0), Condition::Unreachable);
    bed.listen("1");
    assert_eq!(bed.dial(&cluster).await, "1");
    assert_eq!(bed.condition(0), Condition::Up);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_server_that_restarts() {
    // Time until the server is back, in milliseconds; number of retries; outcome of the request.
    for (back, attempts, expected) in [
        (0, 3, "1"),
        (1_500, 3, "1"),
        (2_900, 3, "1"),
        (3_500, 3, "-"),
        (1_500, 1, "-"),
        (500, 1, "1"),
        (500, 0, "-"),
    ] {
        let mut bed = Bed::new("a=1");
        bed.backend.retry.attempts = attempts;
        let cluster = bed.start();
        let path = bed.path("1");
        let listen = async {
            tokio::time::sleep(Duration::from_millis(back)).await;
            tokio::net::UnixListener::bind(path).unwrap()
        };
        let (listener, seen) = if back == 0 {
            (listen.await, bed.dial(&cluster).await)
        } else {
            tokio::join!(listen, bed.dial(&cluster))
        };
        drop(listener);
        assert_eq!(seen, expected, "back after {back} ms, {attempts} attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_pause_if_connect_is_not_retried() {
    let mut bed = Bed::new("a=1");
    bed.backend.retry = Retry {
        on: crate::config::Failures::default(),
        ..Retry::default()
    };
    let cluster = bed.start();
    let begin = Instant::now();
    assert_eq!(bed.dial(&cluster).await, "-");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn no_other_request_waits_for_a_silent_endpoint() {
    let (hole, _filler) = black_hole().await;
    let mut bed = Bed::new(&format!("a={} b=2", hole.local_addr().unwrap()));
    bed.backend.balance = Balance::RoundRobin;
    bed.backend.timeouts.connect = Duration::from_hours(1);
    bed.listen("2");
    let cluster = bed.start();
    // Until the endpoint counts as unreachable, requests wait for it. Once the first attempt has
    // taken a second, other requests avoid the endpoint.
    let mut first = pin!(bed.dial(&cluster));
    assert!(is_pending(&mut first).await);
    advance(2 * SUSPECT_AFTER).await;
    assert!(is_pending(&mut first).await);
    assert_eq!(bed.condition(0), Condition::Unreachable);
    for _ in 0..4 {
        assert_eq!(bed.dial(&cluster).await, "2");
    }
}

#[tokio::test]
async fn one_request_tries_an_endpoint_whose_ejection_has_ended() {
    let mut bed = Bed::new("a=1 b=2");
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    let endpoint = bed.endpoint(0);
    endpoint.eject(&bed.backend.outlier, &"a test");
    for _ in 0..4 {
        assert_eq!(bed.dial(&cluster).await, "2");
    }
    let change = endpoint.health().allow_trial();
    endpoint.publish(change, &"a test");
    let mut trial = cluster.checkout(&fresh()).await.unwrap();
    assert_eq!(trial.endpoint().server_name(), "a");
    for _ in 0..4 {
        assert_eq!(bed.dial(&cluster).await, "2");
    }
    // A dropped trial yields no result.
    drop(trial);
    trial = cluster.checkout(&fresh()).await.unwrap();
    assert_eq!(trial.endpoint().server_name(), "a");
    trial.answered(200);
    drop(trial);
    let seen = [bed.dial(&cluster).await, bed.dial(&cluster).await];
    assert!(seen.contains(&"1".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn failures_in_a_row_eject_but_never_the_last_that_is_usable() {
    let mut bed = Bed::new("a=1 b=2");
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    for (server, expected) in [("a", Condition::Ejected), ("b", Condition::Up)] {
        let position = usize::from(server == "b");
        for _ in 0..20 {
            let mut lease = cluster.checkout(&fresh()).await.unwrap();
            if lease.endpoint().server_name() == server {
                lease.failed(crate::upstream::Failure::Timeout);
            } else {
                lease.answered(200);
            }
        }
        assert_eq!(bed.condition(position), expected, "{server}");
    }
}

#[tokio::test]
async fn backups_and_draining_servers() {
    let mut bed = Bed::new("a=1 b=2 c=3");
    for socket in ["1", "2", "3"] {
        bed.listen(socket);
    }
    bed.backend.servers[2].backup = true;
    let cluster = bed.start();
    let set_state = |bed: &Bed, server, state| {
        let shared = &bed.current.as_ref().unwrap().cluster;
        let server_override = crate::upstream::ServerOverride {
            state: Some(state),
            weight: None,
        };
        shared.set_override(server, server_override).unwrap();
        cluster.apply(&shared.current());
    };
    let seen = |count: usize| {
        let (bed, cluster) = (&bed, &cluster);
        async move {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..count {
                seen.insert(bed.dial(cluster).await);
            }
            seen.into_iter().collect::<Vec<_>>().join(" ")
        }
    };
    assert_eq!(seen(6).await, "1 2");
    let session = bed.endpoint(0).id();
    set_state(&bed, "a", Drain);
    assert_eq!(seen(6).await, "2");
    let bound = Demand {
        bound: Some(Bound::Session(session)),
        ..fresh()
    };
    let lease = cluster.checkout(&bound).await.unwrap();
    assert_eq!(lease.endpoint().server_name(), "a", "its sessions stay");
    set_state(&bed, "b", Maintenance);
    assert_eq!(seen(6).await, "3");
    set_state(&bed, "a", Maintenance);
    let lease = cluster.checkout(&bound).await.unwrap();
    assert_eq!(lease.endpoint().server_name(), "c");
    set_state(&bed, "c", Maintenance);
    let none = cluster.checkout(&fresh()).await;
    assert!(matches!(none, Err(CheckoutError::NoneUsable)), "{none:?}");
    set_state(&bed, "b", Ready);
    assert_eq!(seen(6).await, "2");
}

#[tokio::test]
async fn a_server_on_trial_is_tried_even_if_others_wait() {
    let mut bed = Bed::new("a=1*1 b=2*1");
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    let endpoint = bed.endpoint(1);
    endpoint.eject(&bed.backend.outlier, &"a test");
    let held = cluster.checkout(&fresh()).await.unwrap();
    assert_eq!(held.endpoint().server_name(), "a");
    let demand = fresh();
    let mut waiting = pin!(cluster.checkout(&demand));
    assert!(is_pending(&mut waiting).await);
    let change = endpoint.health().allow_trial();
    endpoint.publish(change, &"a test");
    let trial = waiting.await.unwrap();
    assert_eq!(trial.endpoint().server_name(), "b");
    drop(held);
}

#[tokio::test]
async fn a_request_that_waits_gets_a_server_that_is_added() {
    let mut bed = Bed::new("a=1*1");
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    let held = cluster.checkout(&fresh()).await.unwrap();
    let demand = fresh();
    let mut waiting = pin!(cluster.checkout(&demand));
    assert!(is_pending(&mut waiting).await);
    bed.configure("a=1*1 b=2");
    cluster.apply(&bed.reload());
    assert_eq!(waiting.await.unwrap().endpoint().server_name(), "b");
    drop(held);
}

#[tokio::test]
async fn a_bound_request_leaves_a_server_that_is_taken_out() {
    let mut bed = Bed::new("a=1*1 b=2");
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    let bound = Demand {
        bound: Some(Bound::Session(bed.endpoint(0).id())),
        ..fresh()
    };
    let held = cluster.checkout(&bound).await.unwrap();
    assert_eq!(held.endpoint().server_name(), "a");
    let mut waiting = pin!(cluster.checkout(&bound));
    assert!(is_pending(&mut waiting).await);
    let shared = &bed.current.as_ref().unwrap().cluster;
    let server_override = crate::upstream::ServerOverride {
        state: Some(Maintenance),
        weight: None,
    };
    shared.set_override("a", server_override).unwrap();
    cluster.apply(&shared.current());
    assert_eq!(waiting.await.unwrap().endpoint().server_name(), "b");
    drop(held);
}

#[tokio::test]
async fn the_number_of_waiting_requests_is_limited() {
    let mut bed = Bed::new("a=1*1");
    bed.backend.max_queue = 1;
    bed.listen("1");
    let cluster = bed.start();
    let held = cluster.checkout(&safe()).await.unwrap();
    let mut waiting = pin!(bed.dial(&cluster));
    assert!(is_pending(&mut waiting).await);
    let full = cluster.checkout(&safe()).await;
    assert!(matches!(full, Err(CheckoutError::QueueFull)), "{full:?}");
    drop(held);
    assert_eq!(waiting.await, "1");
}

#[tokio::test]
async fn a_backend_has_a_limit_of_its_own() {
    let mut bed = Bed::new("a=1 b=2");
    bed.backend.max_requests = std::num::NonZeroU32::new(3);
    bed.backend.timeouts.queue = Duration::ZERO;
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(cluster.checkout(&safe()).await.unwrap());
    }
    let full = cluster.checkout(&safe()).await;
    assert!(
        matches!(full, Err(CheckoutError::QueueTimeout(_))),
        "{full:?}"
    );
    held.pop();
    assert!(cluster.checkout(&safe()).await.is_ok());
}

#[tokio::test]
async fn a_request_waits_for_a_full_server_rather_than_try_a_dead_one() {
    let mut bed = Bed::new("a=1*1 b=2");
    bed.backend.timeouts.queue = Duration::ZERO;
    bed.backend.balance = Balance::RoundRobin;
    bed.listen("1");
    let cluster = bed.start();
    let held = cluster.checkout(&safe()).await.unwrap();
    let full = cluster.checkout(&safe()).await;
    assert!(
        matches!(full, Err(CheckoutError::QueueTimeout(_))),
        "{full:?}"
    );
    assert_eq!(bed.refused(), 1);
    let full = cluster.checkout(&safe()).await;
    assert!(
        matches!(full, Err(CheckoutError::QueueTimeout(_))),
        "{full:?}"
    );
    assert_eq!(bed.refused(), 1);
    drop(held);
    assert!(cluster.checkout(&safe()).await.is_ok());
}

#[test]
fn reuse_and_policy_decide_about_idle_connections() {
    for (reuse, expected) in [
        // Expected results for `never`, `safe` and `always`.
        (Reuse::Safe, [false, true, true]),
        (Reuse::Risky, [false, false, true]),
        (Reuse::Fresh, [false, false, false]),
    ] {
        let policies = [HttpReuse::Never, HttpReuse::Safe, HttpReuse::Always];
        let allowed = policies.map(|policy| reuse.is_allowed(policy));
        assert_eq!(allowed, expected, "{reuse:?}");
    }
}

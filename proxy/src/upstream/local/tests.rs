//! Tests of a worker's view, over real sockets.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::config::{Balance, HttpReuse};
use crate::upstream::testing::{Bed, closed, fresh, safe};
use crate::upstream::{Lease, Origin};

async fn lease(cluster: &Rc<LocalCluster>) -> Lease {
    cluster.checkout(&safe()).await.unwrap()
}

/// Returns the origin of the connection that another request gets.
async fn origin(cluster: &Rc<LocalCluster>) -> Origin {
    let lease = lease(cluster).await;
    let origin = lease.origin;
    lease.release(Instant::now());
    origin
}

#[tokio::test]
async fn a_reload_keeps_connections_to_unchanged_servers() {
    for (after, expected) in [
        ("a=1", Origin::Pooled),
        ("a=1*7", Origin::Pooled),
        ("a=1,2", Origin::Pooled),
        ("a=3", Origin::Dialled),
        ("b=1", Origin::Dialled),
    ] {
        let mut bed = Bed::new("a=1");
        bed.backend.balance = Balance::First;
        for socket in ["1", "2", "3"] {
            bed.listen(socket);
        }
        let cluster = bed.start();
        lease(&cluster).await.release(Instant::now());
        bed.configure(after);
        cluster.apply(&bed.reload());
        assert_eq!(origin(&cluster).await, expected, "{after}");
    }
}

#[tokio::test]
async fn connections_to_removed_servers_are_closed() {
    let mut bed = Bed::new("a=1");
    bed.listen("1");
    bed.listen("2");
    let cluster = bed.start();
    let (idle, in_use) = (lease(&cluster).await, lease(&cluster).await);
    let (idle_peer, in_use_peer) = (bed.accept("1").await, bed.accept("1").await);
    idle.release(Instant::now());
    bed.configure("a=2");
    cluster.apply(&bed.reload());
    closed(idle_peer).await;
    assert_eq!(in_use.endpoint().server_name(), "a");
    in_use.release(Instant::now());
    closed(in_use_peer).await;
    // Connections of a removed backend are also closed.
    lease(&cluster).await.release(Instant::now());
    let peer = bed.accept("2").await;
    cluster.retire();
    closed(peer).await;
}

#[tokio::test]
async fn without_reuse_nothing_is_kept() {
    // The `http_reuse` setting, a server's limit, and the number of workers; then the origin of the
    // connection that the second request gets.
    for (reuse, limit, workers, expected) in [
        (HttpReuse::Safe, "", 1, Origin::Pooled),
        (HttpReuse::Never, "", 1, Origin::Dialled),
        (HttpReuse::Safe, "*2", 2, Origin::Pooled),
        (HttpReuse::Safe, "*1", 2, Origin::Dialled),
    ] {
        let mut bed = Bed::new(&format!("a=1{limit}"));
        bed.backend.http_reuse = reuse;
        bed.workers = workers;
        bed.listen("1");
        let cluster = bed.start();
        lease(&cluster).await.release(Instant::now());
        let found = origin(&cluster).await;
        assert_eq!(
            found, expected,
            "{reuse:?}, limit {limit}, {workers} workers"
        );
    }
}

#[tokio::test]
async fn idle_connections_make_way_at_a_crowded_server() {
    let mut bed = Bed::new("a=1*2");
    bed.listen("1");
    let cluster = bed.start();
    let (one, two) = (lease(&cluster).await, lease(&cluster).await);
    one.release(Instant::now());
    two.release(Instant::now());
    // A server with as many connections as slots does not count as crowded.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    cluster.sweep();
    tokio::time::resume();
    let in_use = cluster.checkout(&fresh()).await.unwrap();
    let oldest = bed.accept("1").await;
    cluster.sweep();
    closed(oldest).await;
    assert_eq!(origin(&cluster).await, Origin::Pooled);
    drop(in_use);
}

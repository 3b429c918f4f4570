//! Requests that wait for a free slot.

use anyhow::ensure;
use pointsman_tests::{Behavior, Message, Origin, ProgrammableOrigin, Proxy, Setup, Wire};
use tokio::sync::mpsc;

use super::{ADMIN, GET, get_with, queued, set_all};

/// Starts a server with one slot, which holds its first request. Also returns the client of that
/// request.
async fn busy(keys: &str) -> anyhow::Result<(ProgrammableOrigin, Proxy, Wire)> {
    let origin = ProgrammableOrigin::with_name("www").await?;
    let proxy = Setup::before([])
        .top(ADMIN)
        .backend(&format!(
            "server.s = {{ address = \"{}\", max_requests = 1 }}\n{keys}",
            origin.address()
        ))
        .start()
        .await?;
    origin.set(Behavior::Holds);
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    origin.reached(1).await?;
    Ok((origin, proxy, first))
}

/// Checks that a response refuses a request that got no slot, and that the log has this `end`.
async fn refused(proxy: &Proxy, answer: &Message, end: &str) -> anyhow::Result<()> {
    assert_eq!(answer.head.status()?, 503);
    assert_eq!(answer.head.field("retry-after").as_deref(), Some("1"));
    proxy.line_with(&format!(" end={end} ")).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_queue_takes_no_more() -> anyhow::Result<()> {
    for max_queue in [0, 2] {
        let keys = format!("max_queue = {max_queue}");
        let (origin, proxy, mut first) = busy(&keys).await?;
        let mut waiting = Vec::new();
        for number in 1..=max_queue {
            let mut client = Wire::connect(proxy.address()).await?;
            client.send(GET).await?;
            queued(&proxy, number).await?;
            waiting.push(client);
        }
        let mut late = Wire::connect(proxy.address()).await?;
        refused(&proxy, &late.exchange(GET).await?, "queue-full").await?;
        // The waiting requests are served, and then another request of the client that was refused.
        origin.set(Behavior::Answers(200));
        for client in [&mut first].into_iter().chain(&mut waiting) {
            assert_eq!(client.response("GET").await?.body, b"www");
        }
        assert_eq!(late.exchange(GET).await?.body, b"www");
    }
    Ok(())
}

#[tokio::test]
async fn the_wait_for_a_slot_is_limited() -> anyhow::Result<()> {
    for limit in ["0s", "200ms"] {
        let keys = format!("timeout.queue = \"{limit}\"");
        let (origin, proxy, mut first) = busy(&keys).await?;
        let mut late = Wire::connect(proxy.address()).await?;
        refused(&proxy, &late.exchange(GET).await?, "queue-timeout").await?;
        origin.set(Behavior::Answers(200));
        assert_eq!(first.response("GET").await?.body, b"www");
        assert_eq!(origin.requests().len(), 1);
    }
    Ok(())
}

/// Requests are served in the order in which they arrived, even on different workers.
#[tokio::test]
async fn first_come_first_served() -> anyhow::Result<()> {
    let (sender, mut begun) = mpsc::unbounded_channel();
    let (go, going) = tokio::sync::watch::channel(0);
    let origin = Origin::scripted(move |mut wire, _| {
        let (sender, mut going) = (sender.clone(), going.clone());
        async move {
            while let Ok(request) = wire.request().await {
                let number: u32 = request.head.field("x-number").unwrap_or_default().parse()?;
                sender.send(number)?;
                going.wait_for(|last| *last > number).await?;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww")
                    .await?;
            }
            Ok(())
        }
    })
    .await?;
    let proxy = Setup::before([])
        .top(ADMIN)
        .workers(2)
        .backend(&format!(
            "server.s = {{ address = \"{}\", max_requests = 1 }}",
            origin.address()
        ))
        .start()
        .await?;
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = Wire::connect(proxy.address()).await?;
        client
            .send(get_with("/", &format!("X-Number: {number}\r\n")))
            .await?;
        // The first request has the slot and is not in the queue.
        queued(&proxy, number).await?;
        clients.push(client);
    }
    for number in 0..8 {
        assert_eq!(begun.recv().await, Some(number));
        go.send_replace(number + 1);
    }
    for client in &mut clients {
        assert_eq!(client.response("GET").await?.body, b"www");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_makes_room() -> anyhow::Result<()> {
    let (origin, proxy, mut first) = busy("max_queue = 1").await?;
    let mut leaving = Wire::connect(proxy.address()).await?;
    leaving.send(GET).await?;
    queued(&proxy, 1).await?;
    leaving.reset()?;
    queued(&proxy, 0).await?;
    let mut next = Wire::connect(proxy.address()).await?;
    next.send(GET).await?;
    queued(&proxy, 1).await?;
    origin.set(Behavior::Answers(200));
    for client in [&mut first, &mut next] {
        assert_eq!(client.response("GET").await?.body, b"www");
    }
    assert_eq!(origin.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn the_limit_of_a_backend_counts_all_its_servers() -> anyhow::Result<()> {
    let origins = [
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    ];
    set_all(&origins, Behavior::Holds);
    let proxy = Setup::before(origins.iter().map(ProgrammableOrigin::address))
        .top(ADMIN)
        .workers(2)
        .backend("max_requests = 3")
        .start()
        .await?;
    let mut clients = Vec::new();
    for number in 0..5_u64 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        clients.push(client);
        if number >= 3 {
            queued(&proxy, number - 2).await?;
        } else {
            super::active(&proxy, number + 1).await?;
        }
    }
    let begun: usize = origins.iter().map(|origin| origin.requests().len()).sum();
    ensure!(begun <= 3, "{begun}");
    set_all(&origins, Behavior::Answers(200));
    for client in &mut clients {
        assert_eq!(client.response("GET").await?.head.status()?, 200);
    }
    Ok(())
}

/// A server that is ready again serves requests from the queue.
#[tokio::test]
async fn waiting_requests_go_to_a_server_that_is_ready_again() -> anyhow::Result<()> {
    let (a, b) = (
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    );
    a.set(Behavior::Holds);
    let proxy = Setup::before([b.address()])
        .top(ADMIN)
        .backend(&format!(
            "server.a = {{ address = \"{}\", max_requests = 1 }}",
            a.address()
        ))
        .start()
        .await?;
    proxy.ctl(&["server", "www/s0", "maintenance"]).await?;
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    a.reached(1).await?;
    let mut second = Wire::connect(proxy.address()).await?;
    second.send(GET).await?;
    queued(&proxy, 1).await?;
    proxy.ctl(&["server", "www/s0", "ready"]).await?;
    assert_eq!(second.response("GET").await?.body, b"b");
    Ok(())
}

/// Requests wait for an ejected server, as for any other, if it is the only one left.
#[tokio::test]
async fn requests_wait_for_a_server_that_is_ejected() -> anyhow::Result<()> {
    let (a, b) = (
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    );
    let proxy = Setup::before([])
        .top(ADMIN)
        .backend(&format!(
            "server.a = {{ address = \"{}\", max_requests = 1 }}\nserver.b = \"{}\"",
            a.address(),
            b.address()
        ))
        .backend("outlier = { consecutive = 1, on = \"5xx\", ejection = \"5m\" }")
        .start()
        .await?;
    a.set(Behavior::Answers(500));
    assert_eq!(super::answers(proxy.address(), 2).await?, "500 b");
    a.set(Behavior::Holds);
    proxy.ctl(&["server", "www/b", "maintenance"]).await?;
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        a.reached(2).await?;
        queued(&proxy, number).await?;
        clients.push(client);
    }
    a.set(Behavior::Answers(200));
    for client in &mut clients {
        assert_eq!(client.response("GET").await?.body, b"a");
    }
    Ok(())
}

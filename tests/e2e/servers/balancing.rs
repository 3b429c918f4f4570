//! The choice of a server by each of the algorithms.

use anyhow::ensure;
use pointsman_tests::{Behavior, ProgrammableOrigin, Proxy, Setup, Wire};

use super::{ADMIN, GET, answers, became, count, set_all};

/// Returns a setup that balances by this algorithm between servers `a`, `b` and so on, each with
/// its further keys.
pub(super) fn balanced<'a>(
    balance: &str,
    servers: impl IntoIterator<Item = (&'a ProgrammableOrigin, &'a str)>,
) -> Setup {
    let mut setup = Setup::before([])
        .top(ADMIN)
        .backend(&format!("balance = {balance}"));
    for ((origin, keys), name) in servers.into_iter().zip('a'..) {
        let address = origin.address();
        setup = setup.backend(&format!(
            "server.{name} = {{ address = \"{address}\"{keys} }}"
        ));
    }
    setup
}

pub(super) async fn origins<const N: usize>() -> anyhow::Result<[ProgrammableOrigin; N]> {
    let mut origins = Vec::new();
    for name in ('a'..).take(N) {
        origins.push(ProgrammableOrigin::with_name(&name.to_string()).await?);
    }
    Ok(origins.try_into().expect("as many"))
}

/// Sends a request on a new connection, and waits until one of the servers has received it. Returns
/// the client and the server's index.
pub(super) async fn held(
    proxy: &Proxy,
    origins: &[ProgrammableOrigin],
    request: &str,
) -> anyhow::Result<(Wire, usize)> {
    let before: Vec<_> = origins
        .iter()
        .map(|origin| origin.requests().len())
        .collect();
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(request).await?;
    let reached = origins
        .iter()
        .zip(&before)
        .map(|(origin, before)| Box::pin(origin.reached(before + 1)));
    let mut reached: Vec<_> = reached.collect();
    let position = std::future::poll_fn(|cx| {
        let found = reached
            .iter_mut()
            .position(|reached| reached.as_mut().poll(cx).is_ready());
        found.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await;
    Ok((client, position))
}

#[tokio::test]
async fn round_robin_goes_by_the_weights() -> anyhow::Result<()> {
    let [a, b, c] = origins().await?;
    let servers = [
        (&a, ", weight = 1"),
        (&b, ", weight = 2"),
        (&c, ", weight = 5"),
    ];
    let proxy = balanced("\"round_robin\"", servers).start().await?;
    for _ in 0..10 {
        let seen = answers(proxy.address(), 8).await?;
        let counts = ["a", "b", "c"].map(|name| count(&seen, name));
        assert_eq!(counts, [1, 2, 5], "{seen}");
        // Turns are spread evenly: the server with the largest weight never gets all of its turns
        // in a row.
        ensure!(!seen.contains("c c c c"), "{seen}");
    }
    Ok(())
}

/// Two workers take turns independently of each other.
#[tokio::test]
async fn round_robin_of_two_workers() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    let servers = [(&a, ", weight = 1"), (&b, ", weight = 3")];
    let proxy = balanced("\"round_robin\"", servers)
        .workers(2)
        .start()
        .await?;
    let mut all = Vec::new();
    for _ in 0..16 {
        let seen = answers(proxy.address(), 4).await?;
        assert_eq!(count(&seen, "b"), 3, "{seen}");
        all.push(seen);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_of_weight_zero_gets_no_turn() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    for balance in [
        "\"round_robin\"",
        "\"least_requests\"",
        "\"random\"",
        "\"first\"",
        "\"peak_ewma\"",
        "{ hash = \"client\" }",
    ] {
        let proxy = balanced(balance, [(&a, ", weight = 0"), (&b, "")])
            .start()
            .await?;
        assert_eq!(
            answers(proxy.address(), 6).await?,
            "b b b b b b",
            "{balance}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn random_goes_by_the_weights() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    let servers = [(&a, ", weight = 1"), (&b, ", weight = 4")];
    let proxy = balanced("\"random\"", servers).start().await?;
    let seen = answers(proxy.address(), 500).await?;
    // The bounds are more than six standard deviations from the expected 100.
    let of_a = count(&seen, "a");
    ensure!((45..=155).contains(&of_a), "{of_a}");
    Ok(())
}

/// All workers count requests together, so the next request's server is predictable.
#[tokio::test]
async fn least_requests_looks_at_all_workers() -> anyhow::Result<()> {
    for workers in [1, 2] {
        let servers: [ProgrammableOrigin; 2] = origins().await?;
        let [a, b] = &servers;
        let weighed = [(a, ", weight = 1"), (b, ", weight = 2")];
        let proxy = balanced("\"least_requests\"", weighed)
            .workers(workers)
            .start()
            .await?;
        set_all(&servers, Behavior::Holds);
        let mut clients = Vec::new();
        for _ in 0..9 {
            clients.push(held(&proxy, &servers, GET).await?);
        }
        let of_b = clients.iter().filter(|(_, server)| *server == 1).count();
        assert_eq!(of_b, 6, "{workers} workers");
        // Server `a` has requests in progress, so it gets no request while `b` is free.
        b.set(Behavior::Answers(200));
        for (client, _) in clients.iter_mut().filter(|(_, server)| *server == 1) {
            assert_eq!(client.response("GET").await?.body, b"b");
        }
        assert_eq!(answers(proxy.address(), 5).await?, "b b b b b");
    }
    Ok(())
}

#[tokio::test]
async fn peak_ewma_prefers_the_fast_one() -> anyhow::Result<()> {
    let servers: [ProgrammableOrigin; 2] = origins().await?;
    let proxy = balanced("\"peak_ewma\"", servers.iter().map(|server| (server, "")))
        .start()
        .await?;
    set_all(&servers, Behavior::Holds);
    let (mut slow, first) = held(&proxy, &servers, GET).await?;
    let fast = ["b", "a"][first];
    servers[1 - first].set(Behavior::Answers(200));
    // The other server takes so long that the fast one responds to a hundred requests in the
    // meantime.
    let seen = answers(proxy.address(), 100).await?;
    assert_eq!(count(&seen, fast), 100, "{seen}");
    servers[first].set(Behavior::Answers(200));
    assert_eq!(slow.response("GET").await?.head.status()?, 200);
    let seen = answers(proxy.address(), 10).await?;
    assert_eq!(count(&seen, fast), 10, "{seen}");
    Ok(())
}

#[tokio::test]
async fn first_fills_one_after_the_other() -> anyhow::Result<()> {
    let servers: [ProgrammableOrigin; 3] = origins().await?;
    set_all(&servers, Behavior::Holds);
    let keys = servers.iter().map(|server| (server, ", max_requests = 2"));
    let proxy = balanced("\"first\"", keys).start().await?;
    let mut clients = Vec::new();
    for expected in [0, 0, 1, 1, 2] {
        let (client, server) = held(&proxy, &servers, GET).await?;
        assert_eq!(server, expected);
        clients.push(client);
    }
    servers[0].set(Behavior::Answers(200));
    for client in &mut clients[..2] {
        assert_eq!(client.response("GET").await?.body, b"a");
    }
    assert_eq!(answers(proxy.address(), 3).await?, "a a a");
    Ok(())
}

#[tokio::test]
async fn backups_serve_while_no_other_does() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    let spare = ProgrammableOrigin::with_name("spare").await?;
    a.set_checks([Behavior::Answers(200)]);
    let servers = [
        (&a, ""),
        (&b, ""),
        (&spare, ", backup = true, weight = 100"),
    ];
    let proxy = balanced("\"round_robin\"", servers)
        .backend("check = { path = \"/health\", interval = \"20ms\", fall = 1, rise = 1 }")
        .start()
        .await?;
    assert_eq!(answers(proxy.address(), 4).await?, "a b a b");
    a.checked(1).await?;
    b.checked(1).await?;
    a.set_checks([Behavior::Answers(503)]);
    became(&proxy, "a", "down", 1).await?;
    assert_eq!(answers(proxy.address(), 3).await?, "b b b");
    b.set_checks([Behavior::Answers(503)]);
    became(&proxy, "b", "down", 1).await?;
    assert_eq!(answers(proxy.address(), 2).await?, "spare spare");
    a.set_checks([Behavior::Answers(200)]);
    became(&proxy, "a", "up", 1).await?;
    assert_eq!(answers(proxy.address(), 3).await?, "a a a");
    Ok(())
}

#[tokio::test]
async fn a_server_that_comes_back_starts_slowly() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    let proxy = balanced("\"round_robin\"", [(&a, ""), (&b, "")])
        .backend("check = { path = \"/health\", interval = \"20ms\", rise = 1 }")
        .backend("slow_start = \"1d\"")
        .start()
        .await?;
    // At startup, all servers have their full weight.
    assert_eq!(count(&answers(proxy.address(), 10).await?, "a"), 5);
    a.set_checks([Behavior::Answers(503)]);
    became(&proxy, "a", "down", 1).await?;
    a.set_checks([Behavior::Answers(200)]);
    became(&proxy, "a", "up", 1).await?;
    // After a failure, the weight starts at a tenth.
    assert_eq!(count(&answers(proxy.address(), 44).await?, "a"), 4);
    Ok(())
}

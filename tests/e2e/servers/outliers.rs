//! Servers whose requests fail: they are ejected for a while, tried with one request, and
//! readmitted.

use anyhow::ensure;
use pointsman_tests::{Behavior, ProgrammableOrigin, Proxy, Setup, Wire};

use super::{ADMIN, GET, answer, answers, became, changes, changes_in, count, set_all, state};

async fn origins(names: &[&str]) -> anyhow::Result<Vec<ProgrammableOrigin>> {
    let mut origins = Vec::new();
    for name in names {
        origins.push(ProgrammableOrigin::with_name(name).await?);
    }
    Ok(origins)
}

/// Starts a proxy that ejects servers as these keys configure.
async fn proxy(origins: &[ProgrammableOrigin], outlier: &str) -> anyhow::Result<Proxy> {
    Setup::before(origins.iter().map(ProgrammableOrigin::address))
        .top(ADMIN)
        .backend("balance = \"round_robin\"")
        .backend("timeout.server = \"300ms\"")
        .backend(&format!("outlier = {{ {outlier} }}"))
        .start()
        .await
}

/// Counts the servers in a state.
async fn count_in(
    proxy: &Proxy,
    origins: &[ProgrammableOrigin],
    word: &str,
) -> anyhow::Result<usize> {
    let mut found = 0;
    for number in 0..origins.len() {
        found += usize::from(state(proxy, &format!("s{number}")).await? == word);
    }
    Ok(found)
}

#[tokio::test]
async fn a_server_that_never_answers_is_ejected() -> anyhow::Result<()> {
    let origins = origins(&["a", "b"]).await?;
    let proxy = proxy(&origins, "consecutive = 3, ejection = \"2s\"").await?;
    origins[0].set(Behavior::Silent);
    let first = answers(proxy.address(), 6).await?;
    assert_eq!(
        (count(&first, "504"), count(&first, "b")),
        (3, 3),
        "{first}"
    );
    let line = became(&proxy, "s0", "ejected", 1).await?;
    ensure!(line.contains("no answer in time"), "{line}");
    let later = answers(proxy.address(), 40).await?;
    assert_eq!(count(&later, "b"), 40, "{later}");
    assert_eq!(origins[0].requests().len(), 3);
    // One request tries the server while other requests go elsewhere. A single failure ejects the
    // server again.
    became(&proxy, "s0", "trial", 1).await?;
    let mut trying = Wire::connect(proxy.address()).await?;
    trying.send(GET).await?;
    origins[0].reached(4).await?;
    assert_eq!(answers(proxy.address(), 5).await?, "b b b b b");
    assert_eq!(trying.response("GET").await?.head.status()?, 504);
    became(&proxy, "s0", "ejected", 2).await?;
    // The next trial succeeds.
    origins[0].set(Behavior::Answers(200));
    became(&proxy, "s0", "trial", 2).await?;
    assert_eq!(answer(&mut trying, GET).await?, "a");
    let states = ["up", "ejected", "trial", "ejected", "trial", "up"];
    changes(&proxy, "s0", &states).await?;
    assert_eq!(count(&answers(proxy.address(), 4).await?, "a"), 2);
    Ok(())
}

#[tokio::test]
async fn statuses_and_resets_count_as_configured() -> anyhow::Result<()> {
    // The server's behavior, the client's status, the configured keys, and the reason for an
    // ejection if there is one.
    for (behavior, status, on, reason) in [
        (
            Behavior::Answers(500),
            "500",
            "on = [\"5xx\"]",
            Some("status 500"),
        ),
        (
            Behavior::Answers(429),
            "429",
            "on = \"429\"",
            Some("status 429"),
        ),
        (Behavior::Answers(500), "500", "on = [\"503\"]", None),
        (Behavior::Answers(503), "503", "ejection = \"10s\"", None),
        (
            Behavior::Closes,
            "502",
            "ejection = \"10s\"",
            Some("closed without"),
        ),
        (Behavior::Closes, "502", "on = [\"timeout\"]", None),
    ] {
        let origins = origins(&["a", "b"]).await?;
        let proxy = proxy(&origins, &format!("consecutive = 2, {on}")).await?;
        origins[0].set(behavior);
        let seen = answers(proxy.address(), 20).await?;
        let failed = if reason.is_some() { 2 } else { 10 };
        assert_eq!(count(&seen, status), failed, "{behavior:?} {on}: {seen}");
        if let Some(reason) = reason {
            let line = became(&proxy, "s0", "ejected", 1).await?;
            ensure!(line.contains(reason), "{line}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_failures_in_a_row_count() -> anyhow::Result<()> {
    let origins = origins(&["a", "b"]).await?;
    let proxy = proxy(&origins, "consecutive = 2, on = \"5xx\"").await?;
    for _ in 0..3 {
        origins[0].set(Behavior::Answers(500));
        assert_eq!(answers(proxy.address(), 2).await?, "500 b");
        origins[0].set(Behavior::Answers(200));
        assert_eq!(answers(proxy.address(), 2).await?, "a b");
    }
    ensure!(changes_in(&proxy.log(), "s0").is_empty());
    Ok(())
}

#[tokio::test]
async fn the_last_usable_server_is_never_ejected() -> anyhow::Result<()> {
    const KEYS: &str = "consecutive = 1, on = \"5xx\", max_ejected = \"100%\"";
    let origins = origins(&["a", "b"]).await?;
    set_all(&origins, Behavior::Answers(500));
    for count in [1, 2] {
        let proxy = proxy(&origins[..count], KEYS).await?;
        assert_eq!(answers(proxy.address(), 3).await?, "500 500 500");
        let last = format!("s{}", count - 1);
        assert_eq!(state(&proxy, &last).await?, "up");
        assert_eq!(
            count_in(&proxy, &origins[..count], "ejected").await?,
            count - 1
        );
    }
    Ok(())
}

#[tokio::test]
async fn no_more_servers_are_ejected_than_allowed() -> anyhow::Result<()> {
    for (max_ejected, expected) in [("0%", 0), ("10%", 1), ("50%", 2), ("75%", 3), ("100%", 3)] {
        let origins = origins(&["a", "b", "c", "d"]).await?;
        set_all(&origins, Behavior::Answers(500));
        let keys = format!("consecutive = 1, on = \"5xx\", max_ejected = \"{max_ejected}\"");
        let proxy = proxy(&origins, &keys).await?;
        answers(proxy.address(), 16).await?;
        let ejected = count_in(&proxy, &origins, "ejected").await?;
        assert_eq!(ejected, expected, "{max_ejected}");
    }
    Ok(())
}

#[tokio::test]
async fn all_servers_are_used_in_a_panic() -> anyhow::Result<()> {
    for (panic, is_used) in [("50%", false), ("51%", true)] {
        let origins = origins(&["a", "b", "c", "d"]).await?;
        for origin in &origins[..2] {
            origin.set(Behavior::Answers(500));
        }
        let keys =
            format!("consecutive = 1, on = \"5xx\", max_ejected = \"50%\", panic = \"{panic}\"");
        let proxy = proxy(&origins, &keys).await?;
        answers(proxy.address(), 4).await?;
        assert_eq!(count_in(&proxy, &origins, "ejected").await?, 2);
        let seen = answers(proxy.address(), 8).await?;
        let failed = if is_used { 4 } else { 0 };
        assert_eq!(count(&seen, "500"), failed, "{panic}: {seen}");
    }
    Ok(())
}

/// An ejected server still serves requests if no other server can.
#[tokio::test]
async fn an_ejected_server_serves_requests_that_no_other_can() -> anyhow::Result<()> {
    let origins = origins(&["a", "b"]).await?;
    let proxy = proxy(&origins, "consecutive = 1, on = \"5xx\", ejection = \"1s\"").await?;
    origins[0].set(Behavior::Answers(500));
    assert_eq!(answers(proxy.address(), 2).await?, "500 b");
    origins[0].set(Behavior::Holds);
    proxy.ctl(&["server", "www/s1", "maintenance"]).await?;
    let mut clients = Vec::new();
    for number in 1..=2 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        origins[0].reached(1 + number).await?;
        clients.push(client);
    }
    // It also does so while another request tries the server.
    became(&proxy, "s0", "trial", 1).await?;
    for number in 3..=5 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        clients.push(client);
        origins[0].reached(1 + number).await?;
    }
    Ok(())
}

/// An ejected backup server is not tried while other servers can serve.
#[tokio::test]
async fn a_backup_is_not_tried_while_others_serve() -> anyhow::Result<()> {
    let origins = origins(&["a", "b"]).await?;
    let proxy = Setup::before([origins[0].address()])
        .top(ADMIN)
        .backend(&format!(
            "server.spare = {{ address = \"{}\", backup = true }}",
            origins[1].address()
        ))
        .backend("timeout.server = \"300ms\"")
        .backend("outlier = { consecutive = 1, ejection = \"100ms\" }")
        .start()
        .await?;
    proxy.ctl(&["server", "www/s0", "maintenance"]).await?;
    origins[1].set(Behavior::Silent);
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    origins[1].reached(1).await?;
    proxy.ctl(&["server", "www/s0", "ready"]).await?;
    assert_eq!(client.response("GET").await?.head.status()?, 504);
    became(&proxy, "spare", "trial", 1).await?;
    assert_eq!(answers(proxy.address(), 4).await?, "a a a a");
    assert_eq!(origins[1].requests().len(), 1);
    Ok(())
}

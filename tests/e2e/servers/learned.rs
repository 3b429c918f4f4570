//! Sessions that servers name in their responses, from which the proxy learns them.

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Setup, Wire};

use super::{ADMIN, GET, answer, answers, count, get_with};

/// Starts an origin that names a new session in its response to a request without one, as MCP
/// servers do.
async fn sessions(name: &'static str) -> anyhow::Result<Origin> {
    Origin::scripted(move |mut wire, connection| async move {
        let mut number = 0;
        while let Ok(request) = wire.request().await {
            let session = match request.head.field("mcp-session-id") {
                Some(_) => String::new(),
                None => format!("Mcp-Session-Id: {name}-{connection}-{number}\r\n"),
            };
            number += 1;
            let length = name.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{session}\r\n");
            wire.send(head + name).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn sessions_are_learned_by_all_workers() -> anyhow::Result<()> {
    let (a, b) = (sessions("a").await?, sessions("b").await?);
    let proxy = Setup::before([a.address(), b.address()])
        .top(ADMIN)
        .backend("balance = \"round_robin\"")
        .backend("affinity = { learn = \"mcp-session-id\" }")
        .workers(2)
        .start()
        .await?;
    let mut known = Vec::new();
    for _ in 0..8 {
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(GET).await?;
        let session = answer.head.field("mcp-session-id").context("a session")?;
        known.push((session, String::from_utf8(answer.body)?));
    }
    let servers: String = known.iter().map(|(_, server)| server.as_str()).collect();
    ensure!(servers.contains('a') && servers.contains('b'), "{servers}");
    for (session, server) in &known {
        let request = get_with("/", &format!("Mcp-Session-Id: {session}\r\n"));
        // There are several connections, so that both workers serve the session.
        for _ in 0..8 {
            let mut client = Wire::connect(proxy.address()).await?;
            assert_eq!(answer(&mut client, &request).await?, *server, "{session}");
        }
    }
    // A reload keeps all sessions. A session that no server has named does not belong to any
    // server.
    proxy.ctl(&["reload"]).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for (session, server) in &known {
        let request = get_with("/", &format!("Mcp-Session-Id: {session}\r\n"));
        assert_eq!(answer(&mut client, &request).await?, *server, "{session}");
    }
    let mut seen = String::new();
    for _ in 0..4 {
        seen += &answer(&mut client, get_with("/", "Mcp-Session-Id: unknown\r\n")).await?;
        seen += " ";
    }
    assert_eq!(count(&seen, "a"), 2, "{seen}");
    // A draining server keeps its sessions.
    proxy.ctl(&["server", "www/s0", "drain"]).await?;
    for (session, server) in &known {
        let request = get_with("/", &format!("Mcp-Session-Id: {session}\r\n"));
        assert_eq!(answer(&mut client, &request).await?, *server, "{session}");
    }
    assert_eq!(answers(proxy.address(), 4).await?, "b b b b");
    Ok(())
}

//! Sessions: requests that belong to one session go to one server.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, ensure};
use pointsman_tests::{Authority, Behavior, Origin, ProgrammableOrigin, Proxy, Setup, Wire};

use super::{ADMIN, answer, answers, get_with};

fn setup(servers: impl IntoIterator<Item = SocketAddr>, affinity: &str) -> Setup {
    Setup::before(servers)
        .top(ADMIN)
        .backend("balance = \"round_robin\"")
        .backend(&format!("affinity = {{ {affinity} }}"))
}

async fn proxy(origins: &[ProgrammableOrigin], affinity: &str) -> anyhow::Result<Proxy> {
    setup(origins.iter().map(ProgrammableOrigin::address), affinity)
        .workers(2)
        .start()
        .await
}

async fn origins() -> anyhow::Result<[ProgrammableOrigin; 2]> {
    Ok([
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    ])
}

/// Sends a request with these field lines over a new connection. Returns the server's name and
/// `Set-Cookie`.
async fn visit(proxy: &Proxy, lines: &str) -> anyhow::Result<(String, Option<String>)> {
    let mut client = Wire::connect(proxy.address()).await?;
    let answer = client.exchange(get_with("/", lines)).await?;
    ensure!(answer.head.status()? == 200, "{answer:?}");
    let cookie = answer.head.field("set-cookie");
    Ok((String::from_utf8(answer.body)?, cookie))
}

/// Returns the field line that sends a cookie back.
fn sent_back(set_cookie: &str) -> String {
    let pair = set_cookie.split(';').next().unwrap_or_default();
    format!("Cookie: theme=dark; {pair}\r\n")
}

#[tokio::test]
async fn a_client_with_its_cookie_stays() -> anyhow::Result<()> {
    let origins = origins().await?;
    let proxy = proxy(&origins, "cookie = \"server\"").await?;
    let mut seen = String::new();
    for _ in 0..8 {
        let (server, cookie) = visit(&proxy, "").await?;
        let cookie = sent_back(&cookie.context("a cookie")?);
        for _ in 0..4 {
            // Every worker accepts the cookie, and sets no further one.
            assert_eq!(visit(&proxy, &cookie).await?, (server.clone(), None));
        }
        seen += &server;
    }
    ensure!(seen.contains('a') && seen.contains('b'), "{seen}");
    Ok(())
}

#[tokio::test]
async fn cookies_have_the_attributes_that_are_configured() -> anyhow::Result<()> {
    let origins = origins().await?;
    for (keys, attributes) in [
        ("", "Path=/; HttpOnly; SameSite=Lax"),
        (
            ", secure = \"always\"",
            "Path=/; HttpOnly; Secure; SameSite=Lax",
        ),
        (
            ", max_age = \"1d\", same_site = \"strict\"",
            "Path=/; Max-Age=86400; HttpOnly; SameSite=Strict",
        ),
        (
            ", http_only = false, same_site = \"none\", secure = \"always\"",
            "Path=/; Secure; SameSite=None",
        ),
    ] {
        let proxy = proxy(&origins, &format!("cookie = \"server\"{keys}")).await?;
        let cookie = visit(&proxy, "").await?.1.context("a cookie")?;
        let (pair, found) = cookie.split_once("; ").context("attributes")?;
        assert_eq!(found, attributes, "{keys}");
        let value = pair.strip_prefix("server=").context("its name")?;
        ensure!(value.len() == 16, "{value}");
        ensure!(
            value.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{value}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn wrong_and_forged_cookies_are_replaced() -> anyhow::Result<()> {
    let origins = origins().await?;
    let with = |secret: &str| format!("cookie = \"server\", secret = \"{secret}\"");
    let ours = proxy(&origins, &with("one")).await?;
    let theirs = proxy(&origins, &with("two")).await?;
    let foreign = visit(&theirs, "").await?.1.context("a cookie")?;
    for lines in [
        "Cookie: server=\r\n",
        "Cookie: server=a\r\n",
        "Cookie: server=0000000000000000\r\n",
        "Cookie: server=zzzzzzzzzzzzzzzz\r\n",
        "Cookie: server=00112233445566778899aabbccddeeff\r\n",
        &sent_back(&foreign),
    ] {
        let (server, cookie) = visit(&ours, lines).await?;
        let cookie = sent_back(&cookie.with_context(|| lines.to_owned())?);
        assert_eq!(visit(&ours, &cookie).await?, (server, None), "{lines}");
    }
    // Proxies with the same secret accept each other's cookies.
    let (server, cookie) = visit(&ours, "").await?;
    let other = proxy(&origins, &with("one")).await?;
    let cookie = sent_back(&cookie.context("a cookie")?);
    for _ in 0..4 {
        assert_eq!(visit(&other, &cookie).await?, (server.clone(), None));
    }
    Ok(())
}

#[tokio::test]
async fn cookies_over_tls_are_secure() -> anyhow::Result<()> {
    let [a, _] = origins().await?;
    let directory = tempfile::tempdir()?;
    let authority = Authority::new("Test authority")?;
    std::fs::write(directory.path().join("ca.pem"), authority.pem())?;
    authority.issue(directory.path(), "site", &["www.test.tld"])?;
    let config = format!(
        "[frontend.f]\nbind = {{ address = \"127.0.0.1:0\", tls = \"site\" }}\n\
         default_backend = \"www\"\n[tls.site]\ncertificate = \"site.pem\"\nkey = \"site.key\"\n\
         [backend.www]\nserver.a = \"{}\"\naffinity = {{ cookie = \"server\" }}\n",
        a.address()
    );
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    let address = proxy.address();
    let mut curl = Command::new("curl");
    curl.current_dir(proxy.directory())
        .args([
            "--silent",
            "--show-error",
            "--cacert",
            "ca.pem",
            "-D",
            "-",
            "--resolve",
        ])
        .arg(format!("www.test.tld:{}:127.0.0.1", address.port()))
        .arg(format!("https://www.test.tld:{}/", address.port()));
    let output = tokio::task::spawn_blocking(move || curl.output()).await??;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        text.contains("; Path=/; HttpOnly; Secure; SameSite=Lax"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_draining_server_keeps_its_sessions() -> anyhow::Result<()> {
    let origins = origins().await?;
    let proxy = proxy(&origins, "cookie = \"server\"").await?;
    let mut cookies = [None, None];
    while let Some(missing) = cookies.iter().position(Option::is_none) {
        let (server, cookie) = visit(&proxy, "").await?;
        let found = usize::from(server == "b");
        ensure!(found == missing || cookies[found].is_some() || missing == 0);
        cookies[found] = cookie.as_deref().map(sent_back);
    }
    let [of_a, of_b] = cookies.map(Option::unwrap_or_default);
    proxy.ctl(&["server", "www/s0", "drain"]).await?;
    assert_eq!(visit(&proxy, &of_a).await?, ("a".to_owned(), None));
    assert_eq!(visit(&proxy, &of_b).await?, ("b".to_owned(), None));
    assert_eq!(answers(proxy.address(), 6).await?, "b b b b b b");
    // A server in maintenance keeps no sessions; they move to another server.
    proxy.ctl(&["server", "www/s0", "maintenance"]).await?;
    let (server, cookie) = visit(&proxy, &of_a).await?;
    ensure!(
        server == "b" && cookie.as_deref().map(sent_back) == Some(of_b),
        "{cookie:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_of_weight_zero_keeps_its_sessions() -> anyhow::Result<()> {
    let origins = origins().await?;
    let proxy = proxy(&origins, "cookie = \"server\"").await?;
    let mut of_a = None;
    while of_a.is_none() {
        let (server, cookie) = visit(&proxy, "").await?;
        of_a = cookie.filter(|_| server == "a");
    }
    proxy.ctl(&["server", "www/s0", "weight", "0"]).await?;
    let of_a = sent_back(&of_a.unwrap_or_default());
    assert_eq!(visit(&proxy, &of_a).await?, ("a".to_owned(), None));
    assert_eq!(answers(proxy.address(), 6).await?, "b b b b b b");
    Ok(())
}

/// If the server of a session cannot be reached, another server serves the session and sets a new
/// cookie.
#[tokio::test]
async fn a_session_moves_when_its_server_is_gone() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    let proxy = setup([a.address(), b.address()], "cookie = \"server\"")
        .start()
        .await?;
    let (server, cookie) = visit(&proxy, "").await?;
    let cookie = sent_back(&cookie.context("a cookie")?);
    let (gone, left) = if server == "a" { (a, "b") } else { (b, "a") };
    gone.stop().await;
    let (server, new) = visit(&proxy, &cookie).await?;
    assert_eq!(server, left);
    let new = sent_back(&new.context("another cookie")?);
    assert_eq!(visit(&proxy, &new).await?, (server, None));
    Ok(())
}

/// A session waits for its own server, even while other servers are free.
#[tokio::test]
async fn a_session_waits_for_a_slot_of_its_server() -> anyhow::Result<()> {
    let [a, b] = origins().await?;
    let mut setup = Setup::before([])
        .top(ADMIN)
        .backend("affinity = { cookie = \"server\" }");
    for (name, origin) in [("a", &a), ("b", &b)] {
        let address = origin.address();
        setup = setup.backend(&format!(
            "server.{name} = {{ address = \"{address}\", max_requests = 1, max_queue = 1 }}"
        ));
    }
    let proxy = setup.start().await?;
    let (server, cookie) = visit(&proxy, "").await?;
    let origin = if server == "a" { &a } else { &b };
    let request = get_with("/", &sent_back(&cookie.context("a cookie")?));
    origin.set(Behavior::Holds);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(&request).await?;
        clients.push(client);
        origin.reached(2).await?;
    }
    super::queued(&proxy, 1).await?;
    // The queue has no room for a third request.
    let mut third = Wire::connect(proxy.address()).await?;
    let refused = third.exchange(&request).await?.head;
    assert_eq!(refused.status()?, 503);
    assert_eq!(refused.field("retry-after").as_deref(), Some("1"));
    origin.set(Behavior::Answers(200));
    for mut client in clients {
        assert_eq!(client.response("GET").await?.body, server.as_bytes());
    }
    Ok(())
}

/// With the PROXY protocol, a connection to a server belongs to one client, and can carry several
/// sessions of that client.
#[tokio::test]
async fn sessions_of_one_connection_with_the_proxy_protocol() -> anyhow::Result<()> {
    let named = async |name: &'static str| {
        Origin::scripted(move |mut wire, _| async move {
            wire.until(b"\r\n").await?;
            while wire.request().await.is_ok() {
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}"
                ))
                .await?;
            }
            Ok(())
        })
        .await
    };
    let (a, b) = (named("a").await?, named("b").await?);
    let mut setup = setup([], "cookie = \"server\"");
    for (name, origin) in [("a", &a), ("b", &b)] {
        let address = origin.address();
        setup = setup.backend(&format!(
            "server.{name} = {{ address = \"{address}\", proxy_protocol = \"v1\" }}"
        ));
    }
    let proxy = setup.start().await?;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let (server, cookie) = visit(&proxy, "").await?;
        let cookie = sent_back(&cookie.context("a cookie")?);
        sessions.push((server, get_with("/", &cookie)));
    }
    ensure!(sessions[0].0 != sessions[1].0);
    let mut client = Wire::connect(proxy.address()).await?;
    for (server, request) in sessions.iter().cycle().take(6) {
        assert_eq!(answer(&mut client, request).await?, *server);
    }
    Ok(())
}

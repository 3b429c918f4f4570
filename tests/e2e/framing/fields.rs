//! Fields that the proxy removes, adds or rewrites, and heads of every size and version.

use anyhow::{Context as _, ensure};
use pointsman_tests::{Head, Origin, Setup, Wire};

use super::get;

/// Sends a request, and returns its head as the server sees it.
async fn forwarded(setup: impl Fn(Setup) -> Setup, request: &str) -> anyhow::Result<Head> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(Setup::before([origin.address()])).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let response = client.exchange(request).await?;
    ensure!(response.head.status()? == 200, "{response:?}");
    Ok(origin.requests().swap_remove(0).head)
}

/// Checks the values of each field, joined by `, `. `None` means that the field must be absent.
#[track_caller]
fn same(head: &Head, expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        assert_eq!(head.field(name).as_deref(), *value, "{name} in {head:?}");
    }
}

#[tokio::test]
async fn fields_for_this_hop_go_no_further() -> anyhow::Result<()> {
    let head = forwarded(
        |setup| setup,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nConnection: x-other\r\n\
         X-Hop: 1\r\nX-Other: 2\r\nX-End: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
         TE: gzip, trailers\r\nUpgrade: h2c\r\nAuthorization: b\r\n\r\n",
    )
    .await?;
    same(
        &head,
        &[
            ("x-hop", None),
            ("x-other", None),
            ("x-end", Some("3")),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("upgrade", None),
            ("te", Some("trailers")),
            ("connection", Some("te")),
            ("authorization", Some("b")),
        ],
    );
    Ok(())
}

#[tokio::test]
async fn a_plugin_sees_the_fields_that_the_server_will_see() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let seen = |name: &str| format!("{{ header.{name}.present = true, respond.status = 403 }}");
    let names = ["connection", "keep-alive", "te", "upgrade", "x-hop"];
    let rules = names.map(seen).join(", ");
    let proxy = Setup::before([origin.address()])
        .frontend("router.plugin = \"header-match\"")
        .frontend(&format!("router.config.rules = [{rules}]"))
        .start()
        .await?;
    for (lines, expected) in [
        ("X-End: 1", 200),
        ("X-Hop: 1", 403),
        ("X-Hop: 1\r\nConnection: close, X-hop", 200),
        ("x-hop: 1\r\nConnection: a\r\nConnection: X-Hop", 200),
        ("Connection: keep-alive\r\nKeep-Alive: timeout=5", 200),
        ("TE: gzip\r\nConnection: TE", 200),
        ("TE: gzip, trailers\r\nConnection: TE", 403),
        ("Upgrade: echo", 200),
        ("Upgrade: echo\r\nConnection: Upgrade", 403),
        ("Upgrade: h2c\r\nConnection: Upgrade", 200),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
        let response = client.exchange(request).await?;
        ensure!(
            response.head.status()? == expected,
            "{lines:?}: {response:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn fields_of_the_servers_hop_go_no_further() -> anyhow::Result<()> {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nServer: b\r\nSet-Cookie: c=1\r\n\
         Set-Cookie: d=2\r\nContent-Length: 0\r\n\r\n",
    )
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let head = client.exchange(get("/")).await?.head;
    same(
        &head,
        &[
            ("x-hop", None),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("upgrade", None),
            ("connection", None),
            ("server", Some("b")),
            ("content-length", Some("0")),
        ],
    );
    let cookies: Vec<_> = head.values("set-cookie").collect();
    assert_eq!(cookies, [b"c=1", b"d=2"]);
    Ok(())
}

const CLAIMED: &str = "GET / HTTP/1.1\r\nHost: a:81\r\nVia: 1.0 first\r\nX-Forwarded-For: 192.0.2.1\r\n\
                       X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n\r\n";

#[tokio::test]
async fn fields_of_an_untrusted_client_are_replaced() -> anyhow::Result<()> {
    let head = forwarded(|setup| setup, CLAIMED).await?;
    same(
        &head,
        &[
            ("host", Some("a:81")),
            ("via", Some("1.0 first, 1.1 pointsman")),
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("a:81")),
        ],
    );
    Ok(())
}

#[tokio::test]
async fn fields_of_a_trusted_proxy_are_kept() -> anyhow::Result<()> {
    let trusting = |setup: Setup| setup.frontend("forwarded.trusted_proxies = \"127.0.0.0/8\"");
    let head = forwarded(trusting, CLAIMED).await?;
    same(
        &head,
        &[
            ("x-forwarded-for", Some("192.0.2.1, 127.0.0.1")),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-host", Some("b")),
        ],
    );
    let lines = head.values("x-forwarded-for").count();
    ensure!(lines == 1, "{lines} lines of X-Forwarded-For: {head:?}");
    // This client is not in the network that the proxy trusts.
    let other = |setup: Setup| setup.frontend("forwarded.trusted_proxies = \"10.0.0.0/8\"");
    let head = forwarded(other, CLAIMED).await?;
    same(&head, &[("x-forwarded-for", Some("127.0.0.1"))]);
    Ok(())
}

#[tokio::test]
async fn disabled_fields_are_not_added() -> anyhow::Result<()> {
    let off = |setup: Setup| {
        setup
            .frontend("forwarded.x_forwarded = false")
            .frontend("forwarded.via = false")
    };
    let head = forwarded(off, &get("/")).await?;
    same(
        &head,
        &[
            ("via", None),
            ("x-forwarded-for", None),
            ("x-forwarded-proto", None),
            ("x-forwarded-host", None),
        ],
    );
    Ok(())
}

/// Checks the target and the Host that the server sees for each target and Host that the client
/// sends.
#[tokio::test]
async fn targets() -> anyhow::Result<()> {
    let check = async |sent: &str, line: &str, host: &str| -> anyhow::Result<()> {
        let head = forwarded(|setup| setup, &format!("{sent}\r\n\r\n")).await?;
        assert_eq!(head.start_line, line, "{sent:?}");
        same(&head, &[("host", Some(host))]);
        Ok(())
    };
    let origin_form = "GET /a//b/../c?d=%2F&e HTTP/1.1";
    check(
        &format!("{origin_form}\r\nHost: A.b:8"),
        origin_form,
        "A.b:8",
    )
    .await?;
    check(
        "GET http://c:8/d?e HTTP/1.1\r\nHost: a",
        "GET /d?e HTTP/1.1",
        "c:8",
    )
    .await?;
    check("GET http://c HTTP/1.1\r\nHost: a", "GET / HTTP/1.1", "c").await?;
    check("OPTIONS * HTTP/1.1\r\nHost: a", "OPTIONS * HTTP/1.1", "a").await?;
    check("BREW /a HTTP/1.1\r\nHost: a", "BREW /a HTTP/1.1", "a").await
}

/// A request without Host gets the server's configured address, because HTTP/1.1 needs a Host (RFC
/// 9112, section 3.2).
#[tokio::test]
async fn an_old_request_without_host() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.exchange("GET /a HTTP/1.0\r\n\r\n").await?;
    let requests = origin.requests();
    let head = &requests.first().context("a request")?.head;
    assert_eq!(head.start_line, "GET /a HTTP/1.1");
    let address = origin.address().to_string();
    same(head, &[("host", Some(&address))]);
    Ok(())
}

#[tokio::test]
async fn twenty_requests_in_one_write() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        while let Ok(request) = wire.request().await {
            let line = request.head.start_line;
            let length = line.len();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{line}"
            ))
            .await?;
        }
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let all: String = (0..20).map(|number| get(&format!("/{number}"))).collect();
    client.send(all).await?;
    for number in 0..20 {
        let body = client.response("GET").await?.body;
        assert_eq!(body, format!("GET /{number} HTTP/1.1").as_bytes());
    }
    // Requests are served one after another, so each of them uses the connection that the one
    // before has returned to the pool.
    assert_eq!(origin.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn an_old_client_gets_chunks_until_close() -> anyhow::Result<()> {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    )
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await?;
    let response = client.response("GET").await?;
    same(
        &response.head,
        &[("transfer-encoding", None), ("content-length", None)],
    );
    assert_eq!(response.body, b"hello");
    Ok(())
}

#[tokio::test]
async fn an_old_client_is_kept_alive_where_it_asks() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..2 {
        let response = client
            .exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await?;
        assert_eq!(response.body, b"www");
        // Without `keep-alive`, a client of HTTP/1.0 would expect the connection to end (RFC 9112,
        // section 9.3).
        same(&response.head, &[("connection", Some("keep-alive"))]);
    }
    let first = client.exchange("GET / HTTP/1.0\r\n\r\n").await?;
    assert_eq!(first.body, b"www");
    client.end().await?;
    Ok(())
}

#[tokio::test]
async fn large_heads() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let lines = "X: y\r\n".repeat(90);
    let check = async |target: String, fields: String, status| -> anyhow::Result<()> {
        let mut client = Wire::connect(proxy.address()).await?;
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let size = request.len();
        let response = client.exchange(request).await?;
        assert_eq!(response.head.status()?, status, "{size} bytes");
        if status != 200 {
            client.end().await?;
        }
        Ok(())
    };
    let cookie = format!("Cookie: {}\r\n", "c".repeat(32 * 1024));
    check("/".into(), cookie.clone(), 200).await?;
    check("/".into(), lines, 200).await?;
    check(format!("/{}", "t".repeat(8 * 1024)), String::new(), 200).await?;
    let seen = origin.requests().len();
    check("/".into(), cookie.repeat(3), 431).await?;
    check(
        "/".into(),
        format!("X: {}\r\n", "x".repeat(1024 * 1024)),
        431,
    )
    .await?;
    check("/".into(), "X: y\r\n".repeat(2000), 431).await?;
    check(format!("/{}", "t".repeat(70 * 1024)), String::new(), 414).await?;
    assert_eq!(origin.requests().len(), seen, "what was refused went on");
    Ok(())
}

/// A client's Connection cannot remove the fields that the proxy itself adds.
#[tokio::test]
async fn connection_cannot_name_what_the_proxy_says() -> anyhow::Result<()> {
    let head = forwarded(
        |setup| setup,
        "GET / HTTP/1.1\r\nHost: a\r\n\
         Connection: X-Forwarded-For, X-Forwarded-Host, Via, Host, Content-Length\r\n\r\n",
    )
    .await?;
    same(
        &head,
        &[
            ("host", Some("a")),
            ("via", Some("1.1 pointsman")),
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-host", Some("a")),
            ("connection", None),
        ],
    );
    Ok(())
}

/// Fields that the proxy does not know pass unchanged, in their order.
#[tokio::test]
async fn other_fields_pass_untouched() -> anyhow::Result<()> {
    let fields = b"X-Bytes: \xe9\xff \x80\r\nX-Empty:\r\nX_Under: 1\r\nX-Two: b\r\nX-Two: a\r\n\
                   X-Tab: a\tb\r\n";
    let answer = [
        b"HTTP/1.1 200 Fine by me\r\nContent-Length: 0\r\n".as_slice(),
        fields,
        b"\r\n",
    ];
    let origin = Origin::answering(answer.concat()).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let request = [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), fields, b"\r\n"];
    let response = client.exchange(request.concat()).await?.head;
    assert_eq!(response.start_line, "HTTP/1.1 200 Fine by me");
    for head in [&origin.requests()[0].head, &response] {
        let values = |name| head.values(name).collect::<Vec<_>>();
        assert_eq!(values("x-bytes"), [b"\xe9\xff \x80"]);
        assert_eq!(values("x-empty"), [b""]);
        assert_eq!(values("x_under"), [b"1"]);
        assert_eq!(values("x-two"), [b"b", b"a"]);
        assert_eq!(values("x-tab"), [b"a\tb"]);
    }
    Ok(())
}

/// Trailers never affect the framing or routing of a message (RFC 9110, section 6.5.1).
#[tokio::test]
async fn trailers_frame_and_route_nothing() -> anyhow::Result<()> {
    let named = "Trailer: X-Sum, Content-Length, Transfer-Encoding, Host";
    let body = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
                Content-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nX-Sum: 1\r\n\r\n";
    let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\n{named}\r\n{body}")).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n{named}\r\n{body}");
    let response = client.exchange(request).await?;
    for message in [&origin.requests()[0], &response] {
        assert_eq!(message.body, b"hello");
        for (name, _) in &message.trailers {
            assert!(name.eq_ignore_ascii_case("x-sum"), "trailer {name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn http2_is_no_way_past_the_router() -> anyhow::Result<()> {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let response = client
        .exchange(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await?;
    assert_eq!(response.head.status()?, 200);
    let requests = origin.requests();
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(requests[0].head.field(name), None, "{name}");
    }
    Ok(())
}

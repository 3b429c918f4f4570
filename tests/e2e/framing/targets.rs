//! Request lines and fields as the server receives them: targets are in origin form, and everything
//! else is unchanged.

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Proxy, Setup, Wire};

/// The request line and Host that the server sees. `None` means that the proxy responds with 400
/// and sends nothing to a server.
type Seen = Option<(&'static str, &'static str)>;

/// Method, target as sent, and outcome.
// One row per line.
#[rustfmt::skip]
const TARGETS: &[(&str, &str, Seen)] = &[
    // An empty path, with and without a query (RFC 9112, section 3.2.1).
    ("GET", "http://b", Some(("GET / HTTP/1.1", "b"))),
    ("GET", "http://b?x", Some(("GET /?x HTTP/1.1", "b"))),
    ("GET", "http://b?x/y", Some(("GET /?x/y HTTP/1.1", "b"))),
    ("GET", "http://b?", Some(("GET /? HTTP/1.1", "b"))),
    ("GET", "http://b:8080", Some(("GET / HTTP/1.1", "b:8080"))),
    ("GET", "http://[::1]?x", Some(("GET /?x HTTP/1.1", "[::1]"))),
    ("OPTIONS", "http://b", Some(("OPTIONS * HTTP/1.1", "b"))),
    ("OPTIONS", "http://b?x", Some(("OPTIONS /?x HTTP/1.1", "b"))),
    // A client must not send a fragment (section 3.2), so the proxy refuses such a target.
    ("GET", "http://b#x", None),
    ("GET", "http://b#", None),
    ("GET", "http://b?#", None),
    ("GET", "http://b/#x", None),
    ("OPTIONS", "http://b#x", None),
    ("OPTIONS", "*#", None),
    ("GET", "/#", None),
    ("GET", "/a?b#c", None),
    // RFC 3986 requires these characters to be encoded, but clients send them unencoded.
    ("GET", "/?ids=[\"a\",\"b\"]", Some(("GET /?ids=[\"a\",\"b\"] HTTP/1.1", "a"))),
    ("GET", "/query?query={app=\"foo\"}", Some(("GET /query?query={app=\"foo\"} HTTP/1.1", "a"))),
    ("GET", "/<b>?<b>", Some(("GET /<b>?<b> HTTP/1.1", "a"))),
    ("GET", "/a`b|c^d\\e", Some(("GET /a`b|c^d\\e HTTP/1.1", "a"))),
    ("GET", "/?a|b%zz%", Some(("GET /?a|b%zz% HTTP/1.1", "a"))),
    ("GET", "/\u{e9}?\u{fc}", Some(("GET /\u{e9}?\u{fc} HTTP/1.1", "a"))),
    ("GET", "http://b/{\"<>|}", Some(("GET /{\"<>|} HTTP/1.1", "b"))),
    // Paths that could be mistaken for something else.
    ("GET", "//b/c", Some(("GET //b/c HTTP/1.1", "a"))),
    ("GET", "/http://b/", Some(("GET /http://b/ HTTP/1.1", "a"))),
    ("GET", "/?http://b/", Some(("GET /?http://b/ HTTP/1.1", "a"))),
    // These targets are neither in origin form nor in absolute form with `http`.
    ("GET", "b", None),
    ("GET", "?x", None),
    ("GET", "http:///", None),
    ("GET", "http://", None),
    ("GET", "http:b", None),
    ("GET", "ftp://b/", None),
    ("GET", "http://user@b/", None),
    ("GET", "http://b,c/", None),
];

#[tokio::test]
async fn targets() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut wrong = Vec::new();
    for (method, target, expected) in TARGETS {
        let before = origin.requests().len();
        let mut client = Wire::connect(proxy.address()).await?;
        let response = client
            .exchange(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await?;
        let requests = origin.requests();
        let seen = requests.get(before).map(|request| {
            let host = request.head.field("host").unwrap_or_default();
            (request.head.start_line.as_str(), host)
        });
        let expected = expected.map(|(line, host)| (line, host.to_owned()));
        let status = if expected.is_some() { 200 } else { 400 };
        if seen != expected || response.head.status()? != status {
            let line = &response.head.start_line;
            wrong.push(format!("{method} {target:?}: {seen:?}, {line}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// With normalization, no spelling of a path evades a rule. The rule is the example in the README
/// of `header-match`. The paths are spellings that servers treat as the same path.
#[tokio::test]
async fn no_spelling_of_a_path_passes_a_rule() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([origin.address()])
        .frontend("router.plugin = \"header-match\"")
        .frontend(
            "router.config.rules = [{ path.prefix = \"/admin/\", \
             header.x-token = { exact = \"s3cret\", not = true }, respond.status = 403 }]",
        );
    let off = setup.clone().start().await?;
    let on = setup.frontend("http.normalize_path = true").start().await?;
    // The target, and the statuses without and with normalization.
    for (target, statuses) in [
        ("/admin/x", [403, 403]),
        ("/%61dmin/x", [200, 403]),
        ("//admin/x", [200, 403]),
        ("/./admin/x", [200, 403]),
        ("/a/../admin/x", [200, 403]),
        ("/a/%2e%2E/admin/x", [200, 403]),
        ("http://b//admin/x", [200, 403]),
        ("/%2561dmin/x", [200, 200]),
        ("/%%36%31dmin/x", [200, 400]),
        ("/?//admin/%", [200, 200]),
    ] {
        for (proxy, expected) in [&off, &on].into_iter().zip(statuses) {
            let mut client = Wire::connect(proxy.address()).await?;
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.exchange(request).await?;
            assert_eq!(answer.head.status()?, expected, "{target}");
        }
    }
    // The server receives the normalized path, which the plugin has seen.
    let mut client = Wire::connect(on.address()).await?;
    let request = "GET /a//b/./%7e%2f/../c%2f?d=//%61 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.exchange(request).await?.head.status()?, 200);
    let seen = origin.requests().pop().context("a request")?;
    assert_eq!(seen.head.start_line, "GET /a/b/c%2F?d=//%61 HTTP/1.1");
    Ok(())
}

/// A configuration of `HAProxy` 2.6 with the normalization rules that the manual names.
const NORMALIZING_HAPROXY: &str = "
global
    log stderr format raw local0 notice
    expose-experimental-directives

defaults
    mode http

frontend http-in
    bind fd@0
    http-request normalize-uri percent-decode-unreserved strict
    http-request normalize-uri percent-to-uppercase
    http-request normalize-uri path-merge-slashes
    http-request normalize-uri path-strip-dot
    http-request normalize-uri path-strip-dotdot full
    default_backend www

backend www
";

#[tokio::test]
async fn paths_are_normalized_as_by_haproxy() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let server = format!("    server a {}\n", origin.address());
    let proxies = [
        Setup::before([origin.address()])
            .frontend("http.normalize_path = true")
            .start()
            .await?,
        Proxy::haproxy(&format!("{NORMALIZING_HAPROXY}{server}"))?,
    ];
    for target in [
        "/",
        "/%61dmin/%7euser%2fa%c3%a4%20",
        "/%2561dmin",
        "//admin///x//",
        "/./admin/.",
        "/x/%2e%2E/admin",
        "/../../admin/x/..",
        "/a//../b",
        "/..",
        "/.a/..b/c./...",
        "/a/..;/b",
        "//?//..",
        "/%",
        "/%zz",
        "/%%36%31dmin",
    ] {
        let mut seen = Vec::new();
        for proxy in &proxies {
            let before = origin.requests().len();
            let mut client = Wire::connect(proxy.address()).await?;
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let status = client.exchange(request).await?.head.status()?;
            let line = origin
                .requests()
                .get(before)
                .map(|request| request.head.start_line.clone());
            seen.push((status, line));
        }
        assert_eq!(seen[0], seen[1], "{target}");
    }
    Ok(())
}

/// Field names keep their case and order; fields that the proxy adds come last.
#[tokio::test]
async fn names_keep_case_and_order() -> anyhow::Result<()> {
    let fields = "x-lower: 1\r\nX-UPPER: 2\r\nX-mIxEd: 3\r\nAccept:a\r\nx-lower:  4 \r\n\
                  COOKIE: c\r\nacCept: b\r\n";
    let lines = [
        ("x-lower", "1"),
        ("X-UPPER", "2"),
        ("X-mIxEd", "3"),
        ("Accept", "a"),
        ("x-lower", "4"),
        ("COOKIE", "c"),
        ("acCept", "b"),
    ];
    let origin = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nsERVER: s\r\n{fields}Date: d\r\ncontent-LENGTH: 0\r\n\r\n"
    ))
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let answer = client
        .exchange(format!("GET / HTTP/1.1\r\nhOST: a\r\n{fields}\r\n"))
        .await?;
    let request = origin.requests().pop().context("a request")?;
    for (head, first) in [
        (&request.head, ("hOST", "a")),
        (&answer.head, ("sERVER", "s")),
    ] {
        let seen: Vec<_> = head
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value)))
            .take(1 + lines.len())
            .collect();
        let seen: Vec<_> = seen.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(seen[0], first);
        assert_eq!(seen[1..], lines);
    }
    Ok(())
}

/// The proxy parses a length and writes it again without leading zeros, so that no server reads it
/// as an octal number.
#[tokio::test]
async fn lengths_are_written_anew() -> anyhow::Result<()> {
    for (sent, body) in [("010", "0123456789"), ("0002", "ok"), ("00", "")] {
        let origin = Origin::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {sent}\r\nContent-Length: {sent}\r\n\r\n{body}"
        ))
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let expected = body.len().to_string();
        for _ in 0..2 {
            let answer = client
                .exchange(format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {sent}\r\n\r\n{body}"
                ))
                .await?;
            let request = origin.requests().pop().context("a request")?;
            for message in [&answer, &request] {
                let length = message.head.field("content-length");
                assert_eq!(length.as_deref(), Some(&*expected), "{sent}");
                assert_eq!(message.body, body.as_bytes());
            }
        }
        let head = client
            .exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await?
            .head;
        assert_eq!(head.field("content-length").as_deref(), Some(&*expected));
    }
    Ok(())
}

/// Each hop decrements `Max-Forwards`, and the last one responds (RFC 9110, section 7.6.2).
#[tokio::test]
async fn max_forwards() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for (method, sent, passed) in [
        ("TRACE", "0", None),
        ("OPTIONS", "0", None),
        ("OPTIONS", "00", None),
        ("TRACE", "1", Some("0")),
        ("OPTIONS", "10", Some("9")),
        ("OPTIONS", "x", Some("x")),
        ("GET", "0", Some("0")),
        ("HEAD", "5", Some("5")),
    ] {
        let before = origin.requests().len();
        let answer = client
            .exchange(format!(
                "{method} /t HTTP/1.1\r\nHost: a\r\nMax-Forwards: {sent}\r\n\
                 Cookie: secret\r\nAuthorization: secret\r\n\r\n"
            ))
            .await;
        if method == "HEAD" {
            // The origin also sends a body in response to HEAD, which breaks the connection. Only
            // the count matters here.
            client = Wire::connect(proxy.address()).await?;
        } else {
            let answer = answer?;
            ensure!(answer.head.status()? == 200, "{answer:?}");
            if passed.is_none() {
                ensure!(
                    method == "OPTIONS" || answer.body.starts_with(b"TRACE /t HTTP/1.1\r\n"),
                    "{answer:?}"
                );
                let text = String::from_utf8_lossy(&answer.body);
                ensure!(!text.contains("secret"), "{text}");
            }
        }
        let requests = origin.requests();
        let seen = requests.get(before).map(|request| {
            let value = request.head.field("max-forwards");
            value.unwrap_or_default()
        });
        assert_eq!(seen.as_deref(), passed, "{method} {sent}");
    }
    Ok(())
}

/// A plugin sees the same `X-Forwarded-*` fields as the server.
#[tokio::test]
async fn a_plugin_sees_what_the_proxy_says_of_the_client() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let rule = |name: &str, value: &str, status: u16| {
        format!("{{ header.{name}.exact = \"{value}\", respond.status = {status} }}")
    };
    let rules = [
        rule("x-forwarded-host", "stranger", 400),
        rule("x-forwarded-for", "192.0.2.1", 400),
        rule("x-forwarded-for", "127.0.0.1", 403),
    ];
    let setup = Setup::before([origin.address()])
        .frontend("router.plugin = \"header-match\"")
        .frontend(&format!("router.config.rules = [{}]", rules.join(", ")));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: stranger\r\n\
                   X-Forwarded-For: 192.0.2.1\r\n\r\n";
    for (line, expected) in [
        ("", 403),
        // Without `x_forwarded`, the proxy adds no fields, but it still removes those of an
        // untrusted client.
        ("forwarded.x_forwarded = false", 200),
        ("forwarded.trusted_proxies = \"127.0.0.0/8\"", 400),
    ] {
        let proxy = setup.clone().frontend(line).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(request).await?;
        assert_eq!(answer.head.status()?, expected, "{line:?}");
    }
    Ok(())
}

//! The backend for each form of Host and target. The tests send every row of the table that the
//! project promises, as raw bytes, to Pointsman and to `HAProxy`.

use std::process::Command;

use anyhow::Context;
use pointsman_tests::path_with_sbin;

use crate::routing::Outcome::{self, Node, Refused, Www};
use crate::routing::{Backends, outcome};

/// A request, and its outcome with each proxy.
struct Row {
    request: &'static str,
    /// Outcome with `HAProxy` 2.6.
    haproxy_2: Outcome,
    /// Outcome with `HAProxy` 3.4.
    haproxy_3: Outcome,
    pointsman: Outcome,
}

const fn row(
    request: &'static str,
    haproxy_2: Outcome,
    haproxy_3: Outcome,
    pointsman: Outcome,
) -> Row {
    Row {
        request,
        haproxy_2,
        haproxy_3,
        pointsman,
    }
}

/// Returns a row with the same outcome for all proxies.
const fn all(request: &'static str, everywhere: Outcome) -> Row {
    row(request, everywhere, everywhere, everywhere)
}

const TABLE: &[Row] = &[
    all("GET / HTTP/1.1\r\nHost: io.test.tld\r\n\r\n", Node),
    // `-i` in the HAProxy rule: the case of ASCII letters is ignored.
    all("GET / HTTP/1.1\r\nHost: IO.TEST.TLD\r\n\r\n", Node),
    all("GET / HTTP/1.1\r\nHost: foo.io.test.tld\r\n\r\n", Node),
    // The suffix is compared as text, so it can start in the middle of a label.
    all("GET / HTTP/1.1\r\nHost: evilio.test.tld\r\n\r\n", Node),
    all("GET / HTTP/1.1\r\nHost: other.tld\r\n\r\n", Www),
    all("GET / HTTP/1.1\r\nHost: io.test.tld.evil.com\r\n\r\n", Www),
    // The port is part of the value, so the value does not end with the suffix.
    all("GET / HTTP/1.1\r\nHost: io.test.tld:8080\r\n\r\n", Www),
    all("GET / HTTP/1.1\r\nHost: io.test.tld:\r\n\r\n", Www),
    all("GET / HTTP/1.1\r\nHost: io.test.tld.\r\n\r\n", Www),
    // Blanks around a value are not part of it.
    all("GET / HTTP/1.1\r\nHost: io.test.tld \t \r\n\r\n", Node),
    all("GET / HTTP/1.1\r\nHost:io.test.tld\r\n\r\n", Node),
    all("GET / HTTP/1.1\r\nHost: \t io.test.tld\r\n\r\n", Node),
    all("GET / HTTP/1.1\r\nhOsT: io.test.tld\r\n\r\n", Node),
    // Not a valid uri-host (RFC 9112, section 3.2).
    row(
        "GET / HTTP/1.1\r\nHost: io.test.tld,other.tld\r\n\r\n",
        Node,
        Refused,
        Refused,
    ),
    row(
        "GET / HTTP/1.1\r\nHost: other.tld, io.test.tld\r\n\r\n",
        Node,
        Refused,
        Refused,
    ),
    row(
        "GET / HTTP/1.1\r\nHost: user@io.test.tld\r\n\r\n",
        Node,
        Refused,
        Refused,
    ),
    row(
        "GET / HTTP/1.1\r\nHost: a/b.io.test.tld\r\n\r\n",
        Node,
        Refused,
        Refused,
    ),
    row(
        "GET / HTTP/1.1\r\nHost: a b.io.test.tld\r\n\r\n",
        Node,
        Refused,
        Refused,
    ),
    // More than one Host line: the response MUST be a 400 (RFC 9112, section 3.2).
    all(
        "GET / HTTP/1.1\r\nHost: io.test.tld\r\nHost: other.tld\r\n\r\n",
        Refused,
    ),
    row(
        "GET / HTTP/1.1\r\nHost: io.test.tld\r\nHost: io.test.tld\r\n\r\n",
        Node,
        Node,
        Refused,
    ),
    all("GET / HTTP/1.0\r\n\r\n", Www),
    all("GET / HTTP/1.0\r\nHost: io.test.tld\r\n\r\n", Node),
    // HTTP/1.1 without Host: the response MUST be a 400 (RFC 9112, section 3.2).
    row("GET / HTTP/1.1\r\n\r\n", Www, Www, Refused),
    row(
        "GET http://io.test.tld/ HTTP/1.1\r\n\r\n",
        Www,
        Www,
        Refused,
    ),
    // An empty Host is allowed if the target has no authority.
    all("GET / HTTP/1.1\r\nHost:\r\n\r\n", Www),
    all("GET / HTTP/1.1\r\nHost: \r\n\r\n", Www),
    all(
        "GET http://io.test.tld/ HTTP/1.1\r\nHost: io.test.tld\r\n\r\n",
        Node,
    ),
    // The target's authority replaces Host (RFC 9112, section 3.2.2).
    row(
        "GET http://io.test.tld/ HTTP/1.1\r\nHost: other.tld\r\n\r\n",
        Refused,
        Refused,
        Node,
    ),
    row(
        "GET http://other.tld/ HTTP/1.1\r\nHost: io.test.tld\r\n\r\n",
        Refused,
        Refused,
        Www,
    ),
    // The default port of the scheme is removed from the authority.
    all(
        "GET http://io.test.tld:80/ HTTP/1.1\r\nHost: io.test.tld\r\n\r\n",
        Node,
    ),
    all("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", Www),
    // A reg-name can contain underscores.
    all("GET / HTTP/1.1\r\nHost: x_y.io.test.tld\r\n\r\n", Node),
    // A value that is folded over two lines (RFC 9112, section 5.2).
    row(
        "GET / HTTP/1.1\r\nHost:\r\n io.test.tld\r\n\r\n",
        Node,
        Node,
        Refused,
    ),
    // A blank before the colon: the response MUST be a 400 (RFC 9112, section 5.1).
    all("GET / HTTP/1.1\r\nHost : io.test.tld\r\n\r\n", Refused),
    // Lines that end with a bare LF: a recipient MAY accept them (RFC 9112, section 2.2).
    all("GET / HTTP/1.1\nHost: io.test.tld\n\n", Node),
];

#[tokio::test]
async fn pointsman_goes_where_the_table_says() -> anyhow::Result<()> {
    let backends = Backends::start().await?;
    let proxy = backends.pointsman().await?;
    let mut wrong = Vec::new();
    for row in TABLE {
        let seen = outcome(proxy.address(), row.request.as_bytes())
            .await
            .with_context(|| format!("{:?}", row.request))?;
        if seen != row.pointsman {
            wrong.push(format!(
                "{:?}: expected {:?}, saw {seen:?}",
                row.request, row.pointsman
            ));
        }
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A refused request never reaches a server.
#[tokio::test]
async fn refused_requests_reach_no_backend() -> anyhow::Result<()> {
    let backends = Backends::start().await?;
    let proxy = backends.pointsman().await?;
    for row in TABLE.iter().filter(|row| row.pointsman == Refused) {
        outcome(proxy.address(), row.request.as_bytes())
            .await
            .with_context(|| format!("{:?}", row.request))?;
    }
    assert_eq!(backends.www.connections(), 0, "connections to www");
    assert_eq!(backends.node.connections(), 0, "connections to node");
    Ok(())
}

#[tokio::test]
async fn haproxy_goes_where_the_table_says() -> anyhow::Result<()> {
    let version = Command::new("haproxy")
        .env("PATH", path_with_sbin())
        .arg("-v")
        .output()
        .context("haproxy")?;
    let is_2 = String::from_utf8_lossy(&version.stdout).starts_with("HAProxy version 2.");
    let backends = Backends::start().await?;
    let proxy = backends.haproxy()?;
    for row in TABLE {
        let seen = outcome(proxy.address(), row.request.as_bytes())
            .await
            .with_context(|| format!("{:?}", row.request))?;
        // Releases between 2.6 and 3.4 behave like one or the other.
        let expected = seen == row.haproxy_2 || !is_2 && seen == row.haproxy_3;
        assert!(expected, "{:?}: saw {seen:?}", row.request);
    }
    Ok(())
}

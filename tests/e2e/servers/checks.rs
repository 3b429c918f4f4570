//! Active checks over HTTP, TCP and gRPC, and the servers that fail them.

use anyhow::ensure;
use pointsman_tests::{
    Behavior, GrpcOrigin, Origin, ProgrammableOrigin, ReservedPort, Setup, Wire,
};

use super::{ADMIN, GET, answers, became, changes, changes_in};
use crate::metrics::Metrics;

const GOOD: Behavior = Behavior::Answers(200);
const BAD: Behavior = Behavior::Answers(503);

/// A response that names the server `a`.
const A: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";

/// Returns a setup with frequent checks of the path `/health` and these further keys.
fn checked(servers: &[&ProgrammableOrigin], keys: &str) -> Setup {
    let keys = format!("check = {{ path = \"/health\", interval = \"20ms\"{keys} }}");
    Setup::before(servers.iter().map(|server| server.address()))
        .top(ADMIN)
        .backend(&keys)
}

#[tokio::test]
async fn checks_in_a_row_change_the_state() -> anyhow::Result<()> {
    let (a, b) = (
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    );
    a.set_checks([GOOD, BAD, BAD, GOOD, BAD, BAD, BAD, GOOD, BAD, GOOD, GOOD]);
    let proxy = checked(&[&a, &b], ", fall = 3, rise = 2").start().await?;
    let states = ["up", "going-down", "up", "going-down", "down", "up"];
    changes(&proxy, "s0", &states).await?;
    // Each change is counted. The other server has had none.
    let metrics = Metrics::of(&proxy).await?;
    let changed = |server: &str| {
        let label = format!("server=\"{server}\"");
        metrics.count("pointsman_server_state_changes_total", &[&label])
    };
    assert_eq!((changed("s0")?, changed("s1")?), (5, 0));
    for (state, expected) in [("up", 1), ("down", 0), ("going-down", 0)] {
        let labels = ["server=\"s0\"".to_owned(), format!("state=\"{state}\"")];
        let labels = labels.each_ref().map(String::as_str);
        let is_in = metrics.count("pointsman_endpoint_state", &labels)?;
        assert_eq!(is_in, expected, "{state}");
    }
    assert_eq!(answers(proxy.address(), 4).await?, "a b a b");
    let line = became(&proxy, "s0", "down", 1).await?;
    ensure!(
        line.contains("status 503") && line.contains("WARN"),
        "{line}"
    );
    Ok(())
}

#[tokio::test]
async fn a_first_check_that_fails_is_enough() -> anyhow::Result<()> {
    let (a, b) = (
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    );
    a.set_checks([BAD]);
    let proxy = checked(&[&a, &b], ", fall = 100").start().await?;
    changes(&proxy, "s0", &["up", "down"]).await?;
    assert_eq!(answers(proxy.address(), 6).await?, "b b b b b b");
    // If the only server is down, requests fail.
    b.set_checks([GOOD, BAD]);
    let other = checked(&[&a], "").start().await?;
    became(&other, "s0", "down", 1).await?;
    let mut client = Wire::connect(other.address()).await?;
    for _ in 0..2 {
        assert_eq!(client.exchange(GET).await?.head.status()?, 503);
    }
    other.line_with(" end=no-server ").await?;
    assert_eq!(a.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn no_server_serves_until_one_is_up() -> anyhow::Result<()> {
    let (a, b) = (
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    );
    let proxy = checked(&[&a, &b], ", fall = 1, rise = 1").start().await?;
    a.checked(1).await?;
    b.checked(1).await?;
    a.set_checks([BAD]);
    b.set_checks([BAD]);
    became(&proxy, "s0", "down", 1).await?;
    became(&proxy, "s1", "down", 1).await?;
    assert_eq!(answers(proxy.address(), 2).await?, "503 503");
    b.set_checks([GOOD]);
    became(&proxy, "s1", "up", 1).await?;
    assert_eq!(answers(proxy.address(), 3).await?, "b b b");
    Ok(())
}

#[tokio::test]
async fn what_a_check_of_http_asks_and_expects() -> anyhow::Result<()> {
    let a = ProgrammableOrigin::with_name("a").await?;
    a.set_checks([204, 299, 401, 503].map(Behavior::Answers));
    let keys = ", host = \"health.test.tld\", expect = [\"2xx\", \"401\"]";
    let proxy = checked(&[&a], keys).start().await?;
    let line = became(&proxy, "s0", "going-down", 1).await?;
    ensure!(line.contains("status 503"), "{line}");
    let check = a.checks().swap_remove(0).head;
    assert_eq!(check.start_line, "GET /health HTTP/1.1");
    assert_eq!(check.field("host").as_deref(), Some("health.test.tld"));
    let agent = check.field("user-agent").unwrap_or_default();
    ensure!(agent.starts_with("pointsman/"), "{agent}");
    // Without a configured host name, Host is the server's address.
    let proxy = checked(&[&a], "").start().await?;
    became(&proxy, "s0", "down", 1).await?;
    let check = a.checks().pop().expect("a check").head;
    assert_eq!(check.field("host"), Some(a.address().to_string()));
    Ok(())
}

#[tokio::test]
async fn a_check_without_an_answer_fails_in_time() -> anyhow::Result<()> {
    let a = ProgrammableOrigin::with_name("a").await?;
    for (behavior, reason) in [
        (Behavior::Silent, "no answer within 0.05 s"),
        (Behavior::Closes, "HTTP"),
    ] {
        a.set_checks([behavior]);
        let proxy = checked(&[&a], ", timeout = \"50ms\"").start().await?;
        let line = became(&proxy, "s0", "down", 1).await?;
        ensure!(line.contains(reason), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_check_that_is_taken_out_of_the_configuration() -> anyhow::Result<()> {
    let (a, b) = (
        ProgrammableOrigin::with_name("a").await?,
        ProgrammableOrigin::with_name("b").await?,
    );
    a.set_checks([BAD]);
    b.set_checks([GOOD, BAD]);
    let setup = checked(&[&a, &b], ", fall = 100");
    let proxy = setup.start().await?;
    became(&proxy, "s0", "down", 1).await?;
    became(&proxy, "s1", "going-down", 1).await?;
    let without = Setup::before([a.address(), b.address()]).top(ADMIN);
    proxy.configure(&without.config())?;
    proxy.ctl(&["reload"]).await?;
    changes(&proxy, "s0", &["up", "down", "up"]).await?;
    changes(&proxy, "s1", &["up", "going-down", "up"]).await?;
    assert_eq!(answers(proxy.address(), 4).await?, "a b a b");
    Ok(())
}

#[tokio::test]
async fn a_check_of_tcp_connects() -> anyhow::Result<()> {
    let port = ReservedPort::new()?;
    let b = Origin::with_name("b").await?;
    let proxy = Setup::before([port.address(), b.address()])
        .backend("check = { kind = \"tcp\", interval = \"20ms\" }")
        .start()
        .await?;
    let line = became(&proxy, "s0", "down", 1).await?;
    ensure!(line.contains("refused"), "{line}");
    assert_eq!(answers(proxy.address(), 3).await?, "b b b");
    let a = Origin::answering_at(port.address(), A).await?;
    changes(&proxy, "s0", &["up", "down", "up"]).await?;
    assert_eq!(answers(proxy.address(), 4).await?.matches('a').count(), 2);
    a.stop().await;
    became(&proxy, "s0", "down", 2).await?;
    Ok(())
}

#[tokio::test]
async fn checks_of_grpc() -> anyhow::Result<()> {
    const SERVICE: &str = "example.Greeter";
    let (a, b) = (
        GrpcOrigin::with_name("a").await?,
        GrpcOrigin::with_name("b").await?,
    );
    for origin in [&a, &b] {
        origin.set_serving(SERVICE, true);
        // The health of another service does not affect these checks.
        origin.set_serving("", false);
    }
    let server = |name: &str, origin: &GrpcOrigin| {
        let address = origin.address();
        format!("server.{name} = {{ address = \"{address}\", protocol = \"h2c\" }}")
    };
    let proxy = Setup::before([])
        .backend(&server("a", &a))
        .backend(&server("b", &b))
        .backend(&format!(
            "check = {{ kind = \"grpc\", service = \"{SERVICE}\", interval = \"20ms\", fall = 2 }}"
        ))
        .start()
        .await?;
    a.set_serving(SERVICE, false);
    let line = became(&proxy, "a", "down", 1).await?;
    ensure!(line.contains("the service is not serving"), "{line}");
    assert_eq!(answers(proxy.address(), 4).await?, "b b b b");
    a.set_serving(SERVICE, true);
    became(&proxy, "a", "up", 1).await?;
    let both = answers(proxy.address(), 2).await?;
    ensure!(both == "a b" || both == "b a", "{both}");
    ensure!(changes_in(&proxy.log(), "b").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_check_of_grpc_at_another_port() -> anyhow::Result<()> {
    let (www, health) = (
        Origin::with_name("www").await?,
        GrpcOrigin::with_name("").await?,
    );
    let setup = |service: &str| {
        let port = health.address().port();
        let kind = format!("kind = \"grpc\", service = \"{service}\", port = {port}");
        Setup::before([www.address()])
            .top(ADMIN)
            .backend(&format!("check = {{ {kind}, interval = \"20ms\" }}"))
    };
    let proxy = setup("unknown").start().await?;
    let line = became(&proxy, "s0", "down", 1).await?;
    ensure!(line.contains("gRPC status 5"), "{line}");
    // The empty name stands for the server as a whole.
    health.set_serving("", true);
    proxy.configure(&setup("").config())?;
    proxy.ctl(&["reload"]).await?;
    changes(&proxy, "s0", &["up", "down", "up"]).await?;
    assert_eq!(answers(proxy.address(), 1).await?, "www");
    assert_eq!(www.connections(), 1);
    Ok(())
}

/// A server that listens again is used without another check: after a failed connection, the proxy
/// does not wait for the next check to try the server again.
#[tokio::test]
async fn a_server_that_listens_again_needs_no_check() -> anyhow::Result<()> {
    let (port, b) = (ReservedPort::new()?, Origin::with_name("b").await?);
    let proxy = Setup::before([port.address(), b.address()])
        .backend("check = { kind = \"tcp\", interval = \"1h\" }")
        .start()
        .await?;
    assert_eq!(answers(proxy.address(), 4).await?, "b b b b");
    became(&proxy, "s0", "unreachable", 1).await?;
    let _a = Origin::answering_at(port.address(), A).await?;
    changes(&proxy, "s0", &["up", "unreachable", "up"]).await?;
    assert_eq!(answers(proxy.address(), 4).await?.matches('a').count(), 2);
    Ok(())
}

#[tokio::test]
async fn a_check_of_another_port_does_not_make_a_server_reachable() -> anyhow::Result<()> {
    let (port, b) = (ReservedPort::new()?, Origin::with_name("b").await?);
    let health = ProgrammableOrigin::with_name("").await?;
    let check = format!(
        "check = {{ path = \"/health\", interval = \"20ms\", port = {} }}",
        health.address().port()
    );
    let proxy = Setup::before([port.address(), b.address()])
        .backend(&check)
        .start()
        .await?;
    assert_eq!(answers(proxy.address(), 4).await?, "b b b b");
    became(&proxy, "s0", "unreachable", 1).await?;
    health.checked(health.checks().len() + 10).await?;
    changes(&proxy, "s0", &["up", "unreachable"]).await?;
    let _a = Origin::answering_at(port.address(), A).await?;
    changes(&proxy, "s0", &["up", "unreachable", "up"]).await?;
    Ok(())
}

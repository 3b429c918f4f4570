//! Retries: requests that are sent again, usually to another server, as the configuration allows.

use std::time::Duration;

use anyhow::ensure;
use pointsman_tests::{Behavior, Origin, ProgrammableOrigin, Proxy, ReservedPort, Setup, Wire};
use tokio::task::JoinSet;

use super::{ADMIN, GET, answer, answers, count, get_with, server, set_all};

const POST: &str = "POST / HTTP/1.1\r\nHost: www.test.tld\r\nContent-Length: 0\r\n\r\n";
const POST_BODY: &str = "POST / HTTP/1.1\r\nHost: www.test.tld\r\nContent-Length: 5\r\n\r\nhello";
const PUT_BODY: &str = "PUT / HTTP/1.1\r\nHost: www.test.tld\r\nContent-Length: 5\r\n\r\nhello";

/// Two servers, the first of which fails. They take turns with new requests, and neither is ever
/// ejected.
struct Site {
    bad: ProgrammableOrigin,
    good: ProgrammableOrigin,
    proxy: Proxy,
}

impl Site {
    async fn start(behavior: Behavior, retry: &str) -> anyhow::Result<Self> {
        let bad = ProgrammableOrigin::with_name("bad").await?;
        let good = ProgrammableOrigin::with_name("good").await?;
        bad.set(behavior);
        let proxy = Setup::before([bad.address(), good.address()])
            .top(ADMIN)
            .backend("balance = \"round_robin\"\noutlier.consecutive = 0")
            .backend("timeout.server = \"300ms\"")
            .backend(&format!("retry = {{ {retry} }}"))
            .start()
            .await?;
        Ok(Self { bad, good, proxy })
    }

    /// Returns the response to a request that goes to the failing server first.
    async fn answer(&self, request: &str) -> anyhow::Result<String> {
        let mut client = Wire::connect(self.proxy.address()).await?;
        let (bad, good) = (self.bad.requests().len(), self.good.requests().len());
        let found = answer(&mut client, request).await?;
        if self.bad.requests().len() > bad {
            return Ok(found);
        }
        ensure!(self.good.requests().len() > good);
        // The first request was the other server's turn.
        answer(&mut client, request).await
    }
}

#[tokio::test]
async fn listed_failures_are_retried() -> anyhow::Result<()> {
    for (behavior, on, failed) in [
        (Behavior::Answers(503), "503", "503"),
        (Behavior::Answers(502), "5xx", "502"),
        (Behavior::Answers(429), "429", "429"),
        (Behavior::Closes, "reset", "502"),
        (Behavior::Silent, "timeout", "504"),
    ] {
        let site = Site::start(behavior, &format!("on = [\"{on}\"]")).await?;
        for _ in 0..3 {
            assert_eq!(site.answer(GET).await?, "good", "{on}");
        }
        let retries = server(&site.proxy, "s0").await?["retries"].clone();
        assert_eq!(retries, site.bad.requests().len(), "{on}");
        // Other failures are not retried; by default, none of these are.
        for retry in ["on = [\"connect\", \"500\"]", ""] {
            let site = Site::start(behavior, retry).await?;
            assert_eq!(site.answer(GET).await?, failed, "{on}: {retry}");
            assert_eq!(site.bad.requests().len(), 1, "{on}: {retry}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_requests_that_are_safe_to_repeat_are_retried() -> anyhow::Result<()> {
    for (behavior, on) in [
        (Behavior::Answers(503), "503"),
        (Behavior::Closes, "reset"),
        (Behavior::Silent, "timeout"),
    ] {
        let failed = match behavior {
            Behavior::Answers(_) => "503",
            Behavior::Closes => "502",
            _ => "504",
        };
        for (request, methods, expected) in [
            (POST, "", failed),
            (POST, ", methods = [\"PATCH\"]", failed),
            (POST, ", methods = [\"POST\"]", "good"),
            (POST_BODY, ", methods = [\"POST\"]", failed),
            (PUT_BODY, "", failed),
        ] {
            let site = Site::start(behavior, &format!("on = [\"{on}\"]{methods}")).await?;
            assert_eq!(
                site.answer(request).await?,
                expected,
                "{on}{methods}: {request}"
            );
            assert_eq!(site.bad.requests().len(), 1, "{on}{methods}: {request}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_budget_limits_retries() -> anyhow::Result<()> {
    // The share applies to 100 requests. The reserve allows ten retries per second, some of which
    // may be restored during the test.
    for (budget, least, most) in [("0%", 0, 0), ("20%", 25, 80), ("100%", 100, 100)] {
        let keys = format!("on = \"503\", budget = \"{budget}\"");
        let site = Site::start(Behavior::Answers(503), &keys).await?;
        let seen = answers(site.proxy.address(), 200).await?;
        let good = count(&seen, "good") - 100;
        ensure!((least..=most).contains(&good), "{budget}: {good}");
    }
    Ok(())
}

#[tokio::test]
async fn the_last_failure_is_returned_after_all_attempts() -> anyhow::Result<()> {
    for (attempts, expected) in [(0, 1), (1, 2), (2, 3)] {
        let origins = [
            ProgrammableOrigin::with_name("a").await?,
            ProgrammableOrigin::with_name("b").await?,
            ProgrammableOrigin::with_name("c").await?,
        ];
        set_all(&origins, Behavior::Answers(503));
        let proxy = Setup::before(origins.iter().map(ProgrammableOrigin::address))
            .backend("outlier.consecutive = 0")
            .backend(&format!(
                "retry = {{ on = \"503\", attempts = {attempts} }}"
            ))
            .start()
            .await?;
        assert_eq!(answers(proxy.address(), 1).await?, "503");
        // Each attempt goes to another server.
        let tried = origins.iter().map(|origin| origin.requests().len());
        let tried: Vec<_> = tried.filter(|count| *count > 0).collect();
        assert_eq!(tried, vec![1; expected], "{attempts}");
    }
    Ok(())
}

/// If there is only one server, it gets the request again after a pause.
#[tokio::test]
async fn a_lone_server_is_tried_again() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, connection| async move {
        while wire.request().await.is_ok() {
            let status = if connection < 2 { 503 } else { 404 };
            wire.send(format!(
                "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n"
            ))
            .await?;
        }
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .backend("retry = { on = \"503\", pause = \"10ms\" }")
        .start()
        .await?;
    assert_eq!(answers(proxy.address(), 1).await?, "404");
    assert_eq!(origin.connections(), 3);
    Ok(())
}

/// A server that refuses connections is tried as often as configured, even if `timeout.connect` is
/// very short.
#[tokio::test]
async fn a_server_that_refuses_is_tried_as_often_as_configured() -> anyhow::Result<()> {
    let port = ReservedPort::new()?;
    for (keys, attempts) in [
        (
            "retry = { attempts = 3, pause = \"300ms\" }\ntimeout.connect = \"10ms\"",
            4,
        ),
        ("retry = { attempts = 2, pause = \"10ms\" }", 3),
        ("retry.attempts = 0", 1),
        ("retry.on = \"reset\"", 1),
    ] {
        let proxy = Setup::before([port.address()])
            .top(ADMIN)
            .backend(keys)
            .start()
            .await?;
        assert_eq!(answers(proxy.address(), 1).await?, "503");
        let errors = server(&proxy, "s0").await?["connect_errors"].clone();
        assert_eq!(errors, attempts, "{keys}");
    }
    Ok(())
}

/// Number of ticks at which clients send requests while a server restarts: a second and a half in
/// all.
const TICKS: u32 = 30;
const TICK: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_server_that_restarts_causes_no_error() -> anyhow::Result<()> {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww";
    let port = ReservedPort::new()?;
    let origin = Origin::answering_at(port.address(), OK).await?;
    let proxy = Setup::before([port.address()]).workers(2).start().await?;
    let mut kept = Wire::connect(proxy.address()).await?;
    assert_eq!(answer(&mut kept, GET).await?, "www");
    origin.stop().await;
    let mut requests = JoinSet::new();
    let address = proxy.address();
    let mut ticks = tokio::time::interval(TICK);
    for _ in 0..TICKS {
        ticks.tick().await;
        // A request with a body is also retried, because none of the body was sent.
        for request in [GET, POST_BODY] {
            requests.spawn(async move {
                let mut client = Wire::connect(address).await?;
                answer(&mut client, request).await
            });
        }
    }
    requests.spawn(async move { answer(&mut kept, get_with("/kept", "")).await });
    let origin = Origin::answering_at(port.address(), OK).await?;
    let count = requests.len();
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer??, "www");
    }
    assert_eq!(origin.requests().len(), count);
    Ok(())
}

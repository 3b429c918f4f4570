//! The log of a whole process: causes of failures, log lines from plugins, and an output that
//! stalls.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pointsman_tests::{BlackHole, Origin, Proxy, ReservedPort, Setup, Wire, log_field, pointsman};
use tokio::time::Instant;

use crate::metrics::{Metrics, with_address};
use crate::swaps::{config, directory, status};

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Returns the access log record of a request that cannot reach any server of this setup.
async fn record(setup: &Setup) -> anyhow::Result<String> {
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    ensure!(client.exchange(GET).await?.head.status()? == 503);
    proxy.line_with(" access: ").await
}

#[tokio::test]
async fn causes_of_failed_connections_are_distinguished() -> anyhow::Result<()> {
    // This port is bound, but nothing listens on it.
    let closed = ReservedPort::new()?;
    let hole = BlackHole::new().await?;
    let check = async |servers: &[SocketAddr], end: &str, reasons: &[&str]| {
        let setup = Setup::before(servers.iter().copied()).backend("timeout.connect = \"200ms\"");
        let line = record(&setup).await?;
        assert_eq!(log_field(&line, " end"), Some(end), "{line}");
        for reason in reasons {
            assert!(line.contains(reason), "{reason}: {line}");
        }
        anyhow::Ok(())
    };
    let (closed, hole) = (closed.address(), hole.address());
    let refused = format!("`s0` at {closed}: Connection refused");
    let silent = format!("`s1` at {hole}: no answer within 0.2 s");
    check(&[closed], "connect-refused", &[&refused]).await?;
    check(&[hole], "connect-timeout", &["no answer within 0.2 s"]).await?;
    check(&[closed, hole], "no-server", &[&refused, &silent]).await?;
    let absent = Setup::before([]).backend("server.s0 = \"unix:/nonexistent/socket\"");
    let line = record(&absent).await?;
    assert_eq!(log_field(&line, " end"), Some("connect-refused"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_request_that_nothing_matches_has_no_route() -> anyhow::Result<()> {
    let proxy = Proxy::pointsman(
        "[frontend.http-in]\nbind = \"127.0.0.1:0\"\nrouter.plugin = \"host-suffix\"\n\
         router.config.rules = []\n[backend.www]\nserver.www = \"127.0.0.1:1\"\n",
    )
    .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.head.status()?, 503);
    let line = proxy.line_with(" access: ").await?;
    assert_eq!(log_field(&line, " end"), Some("no-route"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_truncated_body_is_distinguished_from_an_invalid_one() -> anyhow::Result<()> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, end) in [
        ("5\r\nhello", "server-closed"),
        ("5\r\nhello\r\nzz\r\n", "server-invalid"),
    ] {
        let response = format!("{chunked}{body}");
        let origin = Origin::scripted(move |mut wire, _| {
            let response = response.clone();
            async move {
                wire.request().await?;
                wire.send(response).await
            }
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        client.rest().await?;
        let line = proxy.line_with(" access: ").await?;
        assert_eq!(log_field(&line, " end"), Some(end), "{line}");
    }
    let origin = Origin::scripted(async |mut wire, _| {
        // The request is never complete, so the origin does not respond.
        wire.rest().await?;
        Ok(())
    })
    .await?;
    for (body, end) in [("5\r\nhel", "client-closed"), ("zz\r\n", "refused")] {
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}")).await?;
        client.finish().await?;
        client.rest().await?;
        let line = proxy.line_with(" access: ").await?;
        assert_eq!(log_field(&line, " end"), Some(end), "{line}");
    }
    Ok(())
}

/// A shell script that passes the log on until the proxy serves. Then it stops reading until
/// something is written to the pipe `GATE`.
const STALL: &str = r#"
"$0" "$@" 2>&1 >/dev/null | {
    while [ "$listens$answers" != yesyes ] && read -r line; do
        printf '%s\n' "$line"
        case $line in
            *"admin interface, read-only"*) answers=yes ;;
            *listening*) listens=yes ;;
        esac
    done
    read -r _ < "$GATE"
    cat
}
"#;

#[tokio::test]
async fn a_log_that_stalls_holds_up_no_request() -> anyhow::Result<()> {
    const REQUESTS: u64 = 3000;
    let directory = directory()?;
    let gate = directory.path().join("gate");
    mkfifo(&gate, Mode::S_IRWXU)?;
    let binary = pointsman()?;
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", STALL])
        .arg(binary.get_program())
        .env("GATE", &gate)
        .env("NO_COLOR", "1");
    let config = "workers = 1\nadmin.socket = \"admin.sock\"\n[frontend.http-in]\n\
                  bind = \"127.0.0.1:0\"\nrouter.plugin = \"maintenance\"\n\
                  router.config.status = 200\n[backend.www]\nserver.www = \"127.0.0.1:1\"\n";
    let proxy = Proxy::pointsman_by(command, directory, &with_address(config)).await?;
    let before = Metrics::of(&proxy).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{e9}".repeat(15_000)
    );
    for number in 0..REQUESTS {
        let status = client.exchange(&request).await?.head.status()?;
        ensure!(status == 200, "request {number}: {status}");
    }
    let after = Metrics::of(&proxy).await?;
    let lost = |metrics: &Metrics| metrics.count("pointsman_log_lines_lost_total", &[]);
    assert!(lost(&after)? > 0);
    // The memory is for the queue, for the batch that is being written, and for the requests
    // themselves.
    let memory = |metrics: &Metrics| metrics.sum("process_resident_memory_bytes", &[]);
    let grown = memory(&after) - memory(&before);
    assert!(grown < 32.0 * 1024.0 * 1024.0, "{grown}");

    tokio::task::spawn_blocking(move || fs::write(gate, "\n")).await??;
    let reported = proxy
        .wait_for("every line, written or counted", |lines| {
            let counts = lines
                .iter()
                .filter(|line| line.contains("log lines were lost"));
            let reported = counts.filter_map(|line| log_field(line, "count")?.parse::<u64>().ok());
            let reported: u64 = reported.sum();
            let written = lines
                .iter()
                .filter(|line| line.contains(" access: "))
                .count() as u64;
            (written + reported == REQUESTS).then_some(reported)
        })
        .await?;
    assert_eq!(reported, lost(&Metrics::of(&proxy).await?)?);
    let line = proxy.line_with(" access: ").await?;
    assert_eq!(log_field(&line, "target_length"), Some("30001"));
    assert_eq!(
        line.matches("\\xc3").count(),
        512,
        "1,024 bytes of the target"
    );
    Ok(())
}

/// The limit of 100 log lines per second applies to each version, with either kind of isolation.
#[tokio::test]
async fn lines_of_a_plugin_are_bounded_for_each_version() -> anyhow::Result<()> {
    const REQUESTS: u64 = 20;
    const LINES: u64 = 50;
    for isolation in ["instance", "request"] {
        let www = Origin::with_name("www").await?;
        let keys = format!("router.isolation = \"{isolation}\"");
        let config = with_address(&config("log-flood", &keys, &www)).replace(
            "spare_probe = true",
            &format!("spare_probe = true, value = {LINES}"),
        );
        let proxy = Proxy::pointsman_in(directory()?, &config).await?;
        let dropped = async || {
            let metrics = Metrics::of(&proxy).await?;
            metrics.count("pointsman_plugin_log_lines_dropped_total", &[])
        };
        // Lines below the log level are not written, and do not count toward the limit.
        proxy.ctl(&["log-level", "warn"]).await?;
        for _ in 0..REQUESTS {
            assert_eq!(status(&proxy).await?, 200);
        }
        assert_eq!(dropped().await?, 0, "{isolation}");
        proxy.ctl(&["log-level", "info"]).await?;
        let start = Instant::now();
        for _ in 0..REQUESTS {
            assert_eq!(status(&proxy).await?, 200);
        }
        let seconds = start.elapsed().as_secs() + 1;
        let all = REQUESTS * LINES - dropped().await?;
        let written = proxy
            .wait_for(&format!("{all} lines"), |lines| {
                let lines = lines.iter().filter(|line| {
                    line.contains(" plugin: \"line ") || line.contains(" plugin: line ")
                });
                let written = lines.count() as u64;
                (written == all).then_some(written)
            })
            .await?;
        assert!(
            (100..=100 * seconds).contains(&written),
            "{isolation}: {written} in {seconds} s"
        );
    }
    Ok(())
}

#[tokio::test]
async fn lines_about_a_request_have_its_id() -> anyhow::Result<()> {
    for (mode, part, isolation) in [
        ("log-forged", " plugin: first", "instance"),
        ("log-forged", " plugin: first", "request"),
        ("trap-unreachable", "plugin fault", "instance"),
    ] {
        let is_fault = mode.starts_with("trap");
        let www = Origin::with_name("www").await?;
        let keys =
            format!("router.isolation = \"{isolation}\"\nrouter.on_fault = \"default-backend\"");
        let proxy = Proxy::pointsman_in(directory()?, &config(mode, &keys, &www)).await?;
        status(&proxy).await?;
        let line = proxy.line_with(part).await?;
        let id = log_field(&line, "id").with_context(|| line.clone())?;
        let record = proxy.line_with(" access: ").await?;
        assert_eq!(log_field(&record, "id"), Some(id), "{line}\n{record}");
        let fault = log_field(&record, " fault");
        assert_eq!(fault, is_fault.then_some("trap"), "{record}");
    }
    Ok(())
}

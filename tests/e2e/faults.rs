//! Plugins that misbehave: each fault fails only its own request.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use pointsman_tests::{Origin, Proxy, Wire, guest, pointsman};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::swaps::Load;
use crate::tunnels::{echo_or_www, handshake, passes};

const REQUEST: &str = "GET /path HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The default backend's response.
    Served,
    /// A 503, with these words of the reason in the log.
    Fault(&'static str),
    /// The plugin's own response, with this status.
    Own(u16),
}
use Answer::{Fault, Own, Served};

/// A mode of the hostile guest, its value, and the outcomes of the first and the second request on
/// the same connection.
const MODES: &[(&str, usize, Answer, Answer)] = &[
    ("affinity-huge", 4096, Served, Served),
    ("affinity-huge", 100_000, Served, Served),
    ("append-header", 10, Served, Served),
    (
        "append-header",
        129,
        Fault("more than 128 edits"),
        Fault("more than 128 edits"),
    ),
    ("ask-undefined", 0, Served, Served),
    (
        "ask-undefined",
        2,
        Fault("was not defined"),
        Fault("was not defined"),
    ),
    (
        "ask-number-of-value",
        0,
        Fault("question 1"),
        Fault("question 1"),
    ),
    (
        "ask-value-of-number",
        0,
        Fault("question 0"),
        Fault("question 0"),
    ),
    ("by-number", 0, Fault("question 0"), Fault("question 0")),
    ("by-undefined", 0, Fault("question 2"), Fault("question 2")),
    (
        "define-late",
        0,
        Fault("outside of `configure`"),
        Fault("outside of `configure`"),
    ),
    ("tags-many", 16, Served, Served),
    ("tags-many", 17, Fault("16 tags"), Fault("16 tags")),
    ("timeout-zero", 0, Fault("0 ms"), Fault("0 ms")),
    ("tries", 16, Served, Served),
    ("tries", 17, Fault("17 tries"), Fault("17 tries")),
    ("unknown-server", 0, Served, Served),
    // The guest builds the name of a backend from the state that it has read.
    (
        "backends-state",
        0,
        Fault("not in the configuration"),
        Fault("not in the configuration"),
    ),
    ("edit-forbidden", 0, Served, Served),
    ("edit-invalid", 0, Served, Served),
    ("error", 1, Fault("reported"), Fault("reported")),
    ("error", 10_000, Fault("reported"), Fault("reported")),
    (
        "grow",
        0,
        Fault("bytes of memory"),
        Fault("bytes of memory"),
    ),
    ("harmless", 0, Served, Served),
    ("invalid-utf8", 0, Fault("trapped"), Fault("trapped")),
    ("keep-handles", 0, Served, Served),
    ("log-flood", 1000, Served, Served),
    ("log-forged", 0, Served, Served),
    ("log-huge", 100_000, Served, Served),
    (
        "log-huge",
        8 << 20,
        Fault("in one call"),
        Fault("in one call"),
    ),
    ("read-huge", 100_000, Served, Served),
    (
        "read-huge",
        8 << 20,
        Fault("in one call"),
        Fault("in one call"),
    ),
    ("read-many", 1000, Served, Served),
    ("respond", 404, Own(404), Own(404)),
    ("respond", 101, Fault("status 101"), Fault("status 101")),
    ("respond", 999, Fault("status 999"), Fault("status 999")),
    ("respond-body", 200, Own(200), Own(200)),
    ("respond-body", 204, Fault("body"), Fault("body")),
    (
        "respond-field-forbidden",
        2,
        Fault("Transfer-Encoding"),
        Fault("Transfer-Encoding"),
    ),
    (
        "respond-field-name",
        0,
        Fault("the field"),
        Fault("the field"),
    ),
    (
        "respond-field-value",
        0,
        Fault("the field"),
        Fault("the field"),
    ),
    ("respond-fields", 1000, Fault("field"), Fault("field")),
    (
        "respond-huge",
        100_000,
        Fault("over the limit"),
        Fault("over the limit"),
    ),
    ("respond-then-edit", 0, Own(404), Own(404)),
    ("set-header", 100, Served, Served),
    ("set-header", 100_000, Fault("edits"), Fault("edits")),
    ("spin", 0, Fault("deadline"), Fault("deadline")),
    // The second call uses the handle of the first call's request.
    ("stale-handle", 0, Served, Fault("after route returned")),
    (
        "stale-handle-edit",
        0,
        Served,
        Fault("after route returned"),
    ),
    ("trap-bounds", 0, Fault("trapped"), Fault("trapped")),
    ("trap-stack", 0, Fault("trapped"), Fault("trapped")),
    (
        "trap-unreachable",
        0,
        Fault("unreachable"),
        Fault("unreachable"),
    ),
    (
        "unknown-backend",
        1,
        Fault("not in the configuration"),
        Fault("not in the configuration"),
    ),
    (
        "unknown-backend",
        10_000,
        Fault("not in the configuration"),
        Fault("not in the configuration"),
    ),
    ("wild-pointer", 0, Fault("trapped"), Fault("trapped")),
];

/// Returns a frontend whose plugin is the hostile guest in this mode. Most callers set a deadline
/// of 20 s in `keys`. Within that time, an unoptimized proxy on a busy machine finishes everything
/// except an endless loop.
fn frontend(name: &str, mode: &str, value: usize, keys: &str) -> String {
    format!(
        r#"
[frontend.{name}]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "./hostile.wasm"
router.config = {{ mode = "{mode}", value = {value}, spare_probe = true }}
{keys}
"#
    )
}

fn backend(server: &Origin) -> String {
    format!("\n[backend.www]\nserver.www = \"{}\"\n", server.address())
}

/// Creates a folder with the hostile guest.
fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    std::fs::write(
        directory.path().join("hostile.wasm"),
        guest("guest-hostile")?,
    )?;
    Ok(directory)
}

/// Returns the status of a response, after checking that the response contains none of the guest's
/// own messages.
async fn request(client: &mut Wire) -> anyhow::Result<u16> {
    let response = client.exchange(REQUEST).await?;
    let status = response.head.status()?;
    let body = String::from_utf8(response.body)?;
    if status == 503 {
        let id = body
            .strip_prefix("503 Service Unavailable (request ")
            .and_then(|rest| rest.strip_suffix(")\n"));
        let is_number = id.is_some_and(|id| id.chars().all(|char| char.is_ascii_hexdigit()));
        ensure!(is_number, "more than a short line: {body:?}");
        let head = String::from_utf8_lossy(&response.head.raw).into_owned();
        ensure!(head.len() < 300 && !head.contains("no"), "{head:?}");
    }
    Ok(status)
}

#[tokio::test]
async fn a_fault_fails_only_its_own_request() -> anyhow::Result<()> {
    let server = echo_or_www().await?;
    let mut config = String::from("plugin_cache_dir = \"cache\"\n");
    config += &frontend("good", "harmless", 0, "");
    for (index, (mode, value, ..)) in MODES.iter().enumerate() {
        let deadline = if *mode == "spin" { "50ms" } else { "20s" };
        let keys = format!("router.limits.deadline = \"{deadline}\"");
        config += &frontend(&format!("f{index}"), mode, *value, &keys);
    }
    config += &backend(&server);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let good = proxy.addresses_of("good").next().context("good")?;
    let mut tunnel = Wire::connect(good).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let mut neighbour = Wire::connect(good).await?;

    let mut wrong = String::new();
    for (index, (mode, value, first, second)) in MODES.iter().enumerate() {
        let name = format!("f{index}");
        let address = proxy.addresses_of(&name).next().context("no address")?;
        let mut client = Wire::connect(address).await?;
        for expected in [first, second] {
            let seen = request(&mut client)
                .await
                .with_context(|| format!("{mode} {value}"))?;
            let wanted = match expected {
                Served => 200,
                Own(status) => *status,
                Fault(_) => 503,
            };
            if seen != wanted {
                writeln!(wrong, "{mode} {value}: expected {expected:?}, saw {seen}")?;
            }
        }
        let faults = [first, second]
            .into_iter()
            .filter_map(|answer| match answer {
                Fault(words) => Some(*words),
                _ => None,
            });
        let faults: Vec<_> = faults.collect();
        let mark = format!("frontend={name} ");
        let lines = proxy
            .wait_for("two access lines", |lines| {
                let lines: Vec<_> = lines
                    .iter()
                    .filter(|line| line.contains(&mark) && line.contains(" access: "))
                    .cloned()
                    .collect();
                (lines.len() == 2).then_some(lines)
            })
            .await?;
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("end=plugin-fault"))
            .collect();
        let is_told = told.len() == faults.len()
            && told
                .iter()
                .zip(&faults)
                .all(|(line, words)| line.contains(words));
        if !is_told {
            writeln!(
                wrong,
                "{mode} {value}: expected {faults:?} in the log, saw {told:?}"
            )?;
        }
        // Other clients' requests and tunnels are unaffected.
        assert_eq!(request(&mut neighbour).await?, 200, "after {mode} {value}");
        passes(&mut tunnel)
            .await
            .with_context(|| format!("after {mode} {value}"))?;
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// Under load, the proxy survives each kind of fault. Requests that fail follow `on_fault`, all
/// others are unaffected, and the proxy rolls back to the version before.
#[tokio::test]
async fn under_load_each_kind_of_fault_is_outlived() -> anyhow::Result<()> {
    let kinds = [
        ("trap-unreachable", 0, "kind=trap"),
        ("spin", 0, "kind=deadline"),
        ("error", 1, "kind=error"),
        ("unknown-backend", 1, "kind=unknown-backend"),
        ("grow", 0, "kind=out-of-memory"),
        ("read-huge", 8 << 20, "kind=host-memory"),
    ];
    let server = echo_or_www().await?;
    let config = |mode: &str, value| {
        let deadline = if mode == "spin" { "50ms" } else { "20s" };
        let keys = format!(
            "router.on_fault = \"default-backend\"\nrouter.max_faults = 3\n\
             router.limits.deadline = \"{deadline}\""
        );
        let top =
            "plugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\nlog.access = false\n";
        let frontends = frontend("bad", mode, value, &keys) + &frontend("good", "harmless", 0, "");
        format!("{top}{frontends}{}", backend(&server))
    };
    let proxy = Proxy::pointsman_in(directory()?, &config("harmless", 0)).await?;
    let [bad, good] = ["bad", "good"].map(|name| proxy.addresses_of(name).next());
    let (bad, good) = (bad.context("bad")?, good.context("good")?);
    let mut tunnels = [Wire::connect(bad).await?, Wire::connect(good).await?];
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    }
    let loads = [Load::start(bad), Load::start(good)];
    for (count, (mode, value, kind)) in kinds.into_iter().enumerate() {
        proxy.configure(&config(mode, value))?;
        proxy.ctl(&["reload"]).await?;
        proxy.line_with(kind).await?;
        let is_back = |line: &&String| line.contains("rolled back to the previous version");
        proxy
            .wait_for("the version before", |lines| {
                (lines.iter().filter(is_back).count() > count).then_some(())
            })
            .await
            .with_context(|| format!("after {mode}"))?;
        for tunnel in &mut tunnels {
            passes(tunnel).await?;
        }
    }
    for load in loads {
        load.stop().await?;
    }
    Ok(())
}

/// Requests to a guest that never drops their handles are served. The handles are counted, and the
/// instance is replaced in time.
#[tokio::test]
async fn handles_that_are_kept_are_counted() -> anyhow::Result<()> {
    let server = echo_or_www().await?;
    let top = "plugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\nworkers = 1\n";
    let config = frontend(
        "leaky",
        "keep-handles",
        0,
        "router.limits.deadline = \"20s\"",
    );
    let config = format!("{top}{config}{}", backend(&server));
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let mut served = 0;
    while served < 150 {
        // On a busy machine the next instance is not ready in time, and requests follow `on_fault`
        // until then.
        match request(&mut client).await? {
            200 => served += 1,
            status => assert_eq!(status, 503),
        }
    }
    let plugins: serde_json::Value =
        serde_json::from_str(&proxy.ctl(&["plugins", "--json"]).await?)?;
    // An instance lasts for 64 requests whose handles are kept, plus the request that exceeds this
    // number.
    assert_eq!(
        plugins["versions"][0]["faults"]["handle-leak"], 2,
        "{plugins}"
    );
    proxy.line_with("kind=handle-leak").await?;
    Ok(())
}

#[tokio::test]
async fn on_fault_leads_to_the_default_backend() -> anyhow::Result<()> {
    let server = echo_or_www().await?;
    let mut config = String::from("plugin_cache_dir = \"cache\"\n");
    let kinds = [
        ("trap-unreachable", 0, "kind=trap"),
        ("spin", 0, "kind=deadline"),
        ("grow", 0, "kind=out-of-memory"),
        ("read-huge", 8 << 20, "kind=host-memory"),
        ("error", 1, "kind=error"),
        ("unknown-backend", 1, "kind=unknown-backend"),
        ("respond", 999, "kind=status"),
        ("respond-field-name", 0, "kind=response-header"),
        ("respond-body", 204, "kind=response-body"),
        ("respond-huge", 100_000, "kind=response-too-large"),
    ];
    for (index, (mode, value, _)) in kinds.iter().enumerate() {
        let deadline = if *mode == "spin" { "50ms" } else { "20s" };
        let keys = format!(
            "router.on_fault = \"default-backend\"\nrouter.limits.deadline = \"{deadline}\""
        );
        config += &frontend(&format!("f{index}"), mode, *value, &keys);
    }
    config += &backend(&server);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for (index, (mode, _, kind)) in kinds.iter().enumerate() {
        let name = format!("f{index}");
        let address = proxy.addresses_of(&name).next().context("no address")?;
        let mut client = Wire::connect(address).await?;
        for _ in 0..2 {
            assert_eq!(request(&mut client).await.context(*mode)?, 200, "{mode}");
        }
        let mark = format!("frontend={name} ");
        proxy
            .wait_for(kind, |lines| {
                lines
                    .iter()
                    .find(|line| line.contains(&mark) && line.contains(kind))
                    .map(|_| ())
            })
            .await?;
        if *mode == "trap-unreachable" {
            // The log has function names as in the source, not as in the symbol table.
            proxy.line_with("::trap_unreachable").await?;
        }
        // A tunnel can be opened through the default backend as well.
        let answer = client.exchange(handshake("www")).await?;
        assert_eq!(answer.head.status()?, 101, "{mode}");
        passes(&mut client).await?;
    }
    Ok(())
}

/// A guest that keeps the handle of its first request can use that handle in its second request,
/// unless each request has its own instance.
#[tokio::test]
async fn with_an_instance_for_each_request_nothing_outlives_it() -> anyhow::Result<()> {
    let server = echo_or_www().await?;
    let deadline = "router.limits.deadline = \"20s\"\n";
    let config = frontend("reused", "stale-handle", 0, deadline)
        + &frontend(
            "fresh",
            "stale-handle",
            0,
            &format!("{deadline}router.isolation = \"request\""),
        )
        + &backend(&server);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for (name, expected) in [("reused", [200, 503]), ("fresh", [200, 200])] {
        let address = proxy.addresses_of(name).next().context("no address")?;
        let mut client = Wire::connect(address).await?;
        for status in expected {
            assert_eq!(request(&mut client).await?, status, "{name}");
        }
    }
    Ok(())
}

/// With an instance for each request, a fault ends only that instance, and the next request gets
/// another one.
#[tokio::test]
async fn with_an_instance_for_each_request_a_fault_costs_that_one() -> anyhow::Result<()> {
    // The guest does not misbehave for this host.
    let harmless = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let kinds = [
        ("trap-unreachable", 0, "kind=trap"),
        ("spin", 0, "kind=deadline"),
        ("error", 1, "kind=error"),
        ("unknown-backend", 1, "kind=unknown-backend"),
        ("grow", 0, "kind=out-of-memory"),
        ("read-huge", 8 << 20, "kind=host-memory"),
    ];
    let server = echo_or_www().await?;
    let mut config = String::from("workers = 1\nplugin_cache_dir = \"cache\"\n");
    for (mode, value, _) in kinds {
        let deadline = if mode == "spin" { "50ms" } else { "20s" };
        let keys =
            format!("router.isolation = \"request\"\nrouter.limits.deadline = \"{deadline}\"");
        config += &frontend(mode, mode, value, &keys);
    }
    config += &backend(&server);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for (mode, _, kind) in kinds {
        let address = proxy.addresses_of(mode).next().context("no address")?;
        let mut client = Wire::connect(address).await?;
        for _ in 0..3 {
            assert_eq!(request(&mut client).await?, 503, "{mode}");
            let response = client.exchange(harmless).await?;
            assert_eq!(response.head.status()?, 200, "after {mode}");
        }
        proxy.line_with(kind).await?;
    }
    Ok(())
}

/// An endless loop uses about as much processor time as its deadline. The test does not measure
/// wall-clock time. Each request waits for its own instance, which may be late, so wall-clock time
/// would depend on the load of the machine. Deadlines are counted in milliseconds, the first of
/// which may have started before the call.
#[tokio::test]
async fn an_endless_loop_costs_about_its_deadline() -> anyhow::Result<()> {
    const TIMES: u32 = 5;
    const RESOLUTION: Duration = Duration::from_millis(1);
    let deadline = Duration::from_millis(500);
    let server = echo_or_www().await?;
    let keys = "router.isolation = \"request\"\nrouter.limits.deadline = \"500ms\"\n\
                router.max_faults = 1000";
    let config = frontend("a", "spin", 0, keys) + &backend(&server);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let before = processor_time(&proxy)?;
    for _ in 0..TIMES {
        let since = Instant::now();
        assert_eq!(request(&mut client).await?, 503);
        let passed = since.elapsed();
        assert!(passed + RESOLUTION >= deadline, "{passed:?}");
    }
    let used = processor_time(&proxy)?.saturating_sub(before) / TIMES;
    let about = deadline * 9 / 10..deadline * 5 / 4;
    assert!(about.contains(&used), "{used:?}");
    Ok(())
}

/// Returns the processor time of all threads of the proxy.
fn processor_time(proxy: &Proxy) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{}/task", proxy.id()))? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let nanoseconds = stat.split_whitespace().next().context("schedstat")?;
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

/// [`MODES`] covers every mode of the guest. For the mode `modes`, the guest fails with an error
/// that lists all of its modes.
#[tokio::test]
async fn every_mode_of_the_guest_is_tried() -> anyhow::Result<()> {
    let server = Origin::with_name("www").await?;
    let config = frontend("a", "modes", 0, "") + &backend(&server);
    let refusal = Proxy::refused_by(pointsman()?, &directory()?, &config).await?;
    let named = refusal
        .log
        .split(|char: char| !char.is_ascii_alphanumeric() && char != '-')
        .skip_while(|word| *word != "configure-error")
        .take_while(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    let named: Vec<_> = named
        .filter(|mode| !mode.starts_with("configure-"))
        .collect();
    assert!(named.len() > 25, "{}", refusal.log);
    for mode in named {
        let is_tried = MODES.iter().any(|(tried, ..)| *tried == mode);
        assert!(is_tried, "{mode}: {}", refusal.log);
    }
    Ok(())
}

/// Sends requests without a pause until `stop` is set, and returns the times of each request and
/// its response.
async fn send_repeatedly(
    mut client: Wire,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Vec<(Instant, Instant)>> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        ensure!(request(&mut client).await? == 200);
        answered.push((asked, Instant::now()));
    }
    Ok(answered)
}

/// While one of two workers is in a plugin's loop, the other one serves.
#[tokio::test]
async fn a_loop_delays_only_one_worker() -> anyhow::Result<()> {
    let deadline = Duration::from_secs(3);
    let server = echo_or_www().await?;
    let config = String::from("workers = 2\nlog.access = false\n")
        + &frontend("spin", "spin", 0, "router.limits.deadline = \"3s\"")
        + &frontend("good", "harmless", 0, "router.limits.deadline = \"20s\"")
        + &backend(&server);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let good = proxy.addresses_of("good").next().context("good")?;
    // The clients are spread over both workers.
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = Wire::connect(good).await?;
        assert_eq!(request(&mut client).await?, 200);
        clients.spawn(send_repeatedly(client, Arc::clone(&stop)));
    }
    let spin = proxy.addresses_of("spin").next().context("spin")?;
    let mut slow = Wire::connect(spin).await?;
    assert_eq!(request(&mut slow).await?, 503);
    stop.store(true, Ordering::Relaxed);
    let answers: anyhow::Result<Vec<_>> = clients.join_all().await.into_iter().collect();
    let answers = answers?.concat();
    let longest = answers.iter().max_by_key(|(asked, at)| *at - *asked);
    let (asked, at) = *longest.context("no answers")?;
    assert!(
        at - asked > deadline / 2,
        "nobody waited for the loop: {:?}",
        at - asked
    );
    // The longest wait was for the loop. During its middle half, clients of the other worker got
    // responses.
    let (begin, end) = (asked + (at - asked) / 4, at - (at - asked) / 4);
    let others = answers.iter().filter(|(_, at)| (begin..end).contains(at));
    assert!(others.count() > 0, "all waited for the loop");
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_cannot_serve_never_starts() -> anyhow::Result<()> {
    let server = Origin::with_name("www").await?;
    let directory = directory()?;
    std::fs::write(directory.path().join("text.wasm"), "not a component")?;
    std::fs::write(directory.path().join("empty.wasm"), "")?;
    // An empty component is not a plugin.
    std::fs::write(directory.path().join("hollow.wasm"), b"\0asm\x0d\0\x01\0")?;
    // The plugin has enough time to exceed the memory limit, even on a busy machine.
    let limits = "router.limits.configure_deadline = \"2s\"";
    let mode = |mode: &str| frontend("a", mode, 1, limits) + &backend(&server);
    let hasty = |name: &str| mode(name).replace(", spare_probe = true", "");
    let file = |name: &str| mode("harmless").replace("./hostile.wasm", name);
    for (config, line, key, words) in [
        (mode("configure-error"), 0, "router", "a\\nb"),
        (mode("configure-trap"), 5, "router.plugin", "trap"),
        (mode("configure-spin"), 5, "router.plugin", "deadline"),
        (mode("configure-grow"), 5, "router.plugin", "memory"),
        (mode("no-such-mode"), 0, "router", "no such mode"),
        (file("./text.wasm"), 5, "router.plugin", ""),
        (file("./empty.wasm"), 5, "router.plugin", ""),
        (file("./hollow.wasm"), 5, "router.plugin", ""),
        (file("./absent.wasm"), 5, "router.plugin", "No such file"),
        // These fail on the host's own first request, before any client's.
        (hasty("spin"), 5, "router.plugin", "deadline"),
        (
            hasty("trap-unreachable"),
            5,
            "router.plugin",
            "first request",
        ),
    ] {
        let refusal = Proxy::refused_by(pointsman()?, &directory, &config).await?;
        let log = &refusal.log;
        assert_eq!(refusal.code, Some(64), "{log}");
        // Line 5 names the plugin, and line 6 contains its configuration.
        let place = if line == 0 {
            "pointsman.toml:".to_owned()
        } else {
            format!("pointsman.toml:{line}:")
        };
        for part in [place.as_str(), key, words, "frontend.a"] {
            assert!(log.contains(part), "{part:?} is not in:\n{log}");
        }
        assert!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}

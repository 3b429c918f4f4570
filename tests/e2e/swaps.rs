//! Other versions of a plugin, other configurations, while requests and tunnels go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire, guest, log_field, pointsman};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::tunnels::{echo, handshake, passes};

/// Answers 404 where the first release leaves the request to the default backend.
const OTHER: &[u8; 12] = b"release: two";
/// Traps there.
const BROKEN: &[u8; 12] = b"release: bad";

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// A component that does as the other does, and is another file: a section that nobody reads.
fn variant(component: &[u8], mark: &str) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let name = b"mark";
    let length = 1 + name.len() + mark.len();
    bytes.extend([0, u8::try_from(length).expect("a short mark"), 4]);
    bytes.extend(name);
    bytes.extend(mark.as_bytes());
    bytes
}

/// The hostile guest in another release: one that is harmless in another way, or is not.
fn release(name: &[u8; 12]) -> anyhow::Result<Vec<u8>> {
    let mut component = guest("guest-hostile")?;
    let mark = b"release: one";
    let place = component
        .windows(mark.len())
        .position(|bytes| bytes == mark);
    let place = place.context("the guest has no release")?;
    component[place..place + mark.len()].copy_from_slice(name);
    Ok(component)
}

/// The hostile guest in one of its modes, with a copy of its own in the directory.
fn config(mode: &str, keys: &str, www: &Origin) -> String {
    format!(
        r#"
cache_dir = "cache"
log.access = true
admin.socket = "admin.sock"

[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "./plugin.wasm"
router.config = {{ mode = "{mode}", is_patient = true }}
router.limits.deadline = "20s"
{keys}

[backend.www]
server.www = "{}"
"#,
        www.address()
    )
}

fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    put(&directory.path().join("plugin.wasm"), "1")?;
    Ok(directory)
}

fn put(path: &Path, mark: &str) -> anyhow::Result<()> {
    Ok(fs::write(path, variant(&guest("guest-hostile")?, mark))?)
}

async fn start(mode: &str, keys: &str) -> anyhow::Result<(Origin, Proxy)> {
    let www = echo_or_www().await?;
    let proxy = Proxy::pointsman_in(directory()?, &config(mode, keys, &www)).await?;
    Ok((www, proxy))
}

/// Answers requests, and echoes in tunnels.
async fn echo_or_www() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        while let Ok(request) = wire.request().await {
            if request.head.field("upgrade").is_some() {
                wire.send(crate::tunnels::SWITCHED).await?;
                while let Ok(bytes) = wire.exactly(4).await {
                    wire.send(bytes).await?;
                }
                return Ok(());
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww")
                .await?;
        }
        Ok(())
    })
    .await
}

async fn status(proxy: &Proxy) -> anyhow::Result<u16> {
    let mut client = Wire::connect(proxy.address()).await?;
    client.exchange(GET).await?.head.status()
}

/// Waits until this version is in service.
async fn in_service(proxy: &Proxy, number: u32) -> anyhow::Result<()> {
    let mark = format!("version={number} ");
    let is_it = |line: &&String| line.contains("plugin in service") && line.contains(&mark);
    proxy
        .wait_for(&format!("version {number}"), |lines| {
            lines.iter().find(is_it).map(|_| ())
        })
        .await
}

/// The version that decided about a request that is made now.
async fn deciding(proxy: &Proxy) -> anyhow::Result<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // By its target its record is told from those of other requests.
    let target = format!("/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut client = Wire::connect(proxy.address()).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: www.test.tld\r\n\r\n");
    ensure!(client.exchange(request).await?.head.status()? == 200);
    let record = proxy.line_with(&format!(" target={target} ")).await?;
    let version = log_field(&record, "version").context("no version")?;
    Ok(version.to_owned())
}

#[tokio::test]
async fn a_new_file_is_put_into_service() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    let directory = proxy.directory().to_owned();
    let plugin = directory.join("plugin.wasm");
    assert_eq!(deciding(&proxy).await?, "1");
    // Renamed onto the old one.
    put(&directory.join("new"), "2")?;
    fs::rename(directory.join("new"), &plugin)?;
    in_service(&proxy, 2).await?;
    assert_eq!(deciding(&proxy).await?, "2");
    // Written in its place.
    put(&plugin, "3")?;
    in_service(&proxy, 3).await?;
    // Links, swung as Kubernetes does: the file is a link through a link to a directory.
    for release in ["a", "b"] {
        fs::create_dir(directory.join(release))?;
        put(&directory.join(release).join("plugin.wasm"), release)?;
    }
    symlink("a", directory.join("data"))?;
    symlink("data/plugin.wasm", directory.join("link"))?;
    fs::rename(directory.join("link"), &plugin)?;
    in_service(&proxy, 4).await?;
    symlink("b", directory.join("next"))?;
    fs::rename(directory.join("next"), directory.join("data"))?;
    in_service(&proxy, 5).await?;
    assert_eq!(deciding(&proxy).await?, "5");
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_serve_changes_nothing() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    let plugin = proxy.directory().join("plugin.wasm");
    fs::write(&plugin, "no component")?;
    let line = proxy.line_with("the new plugin is refused").await?;
    assert!(line.contains("not WebAssembly"), "{line}");
    assert_eq!(deciding(&proxy).await?, "1");
    // Half of a file that is still being written is no plugin either.
    let whole = variant(&guest("guest-hostile")?, "2");
    fs::write(&plugin, &whole[..whole.len() / 2])?;
    assert_eq!(deciding(&proxy).await?, "1");
    fs::write(&plugin, whole)?;
    in_service(&proxy, 2).await
}

/// Requests on kept connections and on new ones, and a tunnel, while versions come and go.
#[tokio::test]
async fn no_request_fails_while_versions_change() -> anyhow::Result<()> {
    const SWAPS: u32 = 30;
    let (_www, proxy) = start("harmless", "").await?;
    let address = proxy.address();
    let mut tunnel = Wire::connect(address).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let stopped = stopped.clone();
        clients.spawn(async move {
            let mut answered = 0_u32;
            let mut client = Wire::connect(address).await?;
            while !*stopped.borrow() {
                let response = client.exchange(GET).await?;
                ensure!(response.head.status()? == 200, "after {answered}");
                answered += 1;
                if answered.is_multiple_of(50) {
                    client = Wire::connect(address).await?;
                }
            }
            Ok(answered)
        });
    }
    for number in 2..=SWAPS {
        put(&proxy.directory().join("next.wasm"), &number.to_string())?;
        proxy.ctl(&["swap", "http-in", "next.wasm"]).await?;
        if number.is_multiple_of(10) {
            passes(&mut tunnel).await?;
        }
    }
    stop.send(true)?;
    while let Some(answered) = clients.join_next().await {
        assert!(answered?? > 0);
    }
    passes(&mut tunnel).await?;
    assert_eq!(deciding(&proxy).await?, SWAPS.to_string());
    // The configured file is one swap away.
    proxy.ctl(&["swap", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, (SWAPS + 1).to_string());
    Ok(())
}

#[tokio::test]
async fn a_version_that_fails_gives_way_to_the_one_before() -> anyhow::Result<()> {
    let (www, proxy) = start("harmless", "router.max_faults = 3").await?;
    // The same file with a configuration that breaks it, but not on the first request.
    let broken = config("trap-unreachable", "router.max_faults = 3", &www);
    proxy.configure(&broken)?;
    proxy.signal(Signal::SIGHUP)?;
    proxy.line_with("configuration in force").await?;
    // Each fault costs its request; the requests after the last go by the policy until the
    // version before is back.
    let mut faults = 0;
    let gave_way = async {
        while status(&proxy).await? == 503 {
            faults += 1;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(DEADLINE, gave_way).await??;
    assert!(faults >= 3, "{faults}");
    proxy.line_with("the version before decides again").await?;
    assert_eq!(deciding(&proxy).await?, "1");
    // A log that is rotated must not bring it back.
    proxy.ctl(&["reload"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    let plugins = proxy.ctl(&["plugins", "--json"]).await?;
    let plugins: serde_json::Value = serde_json::from_str(&plugins)?;
    let states: Vec<_> = (0..2)
        .map(|index| &plugins["versions"][index])
        .map(|version| (version["number"].as_u64(), version["state"].as_str()))
        .collect();
    assert_eq!(
        states,
        [(Some(1), Some("active")), (Some(2), Some("failed"))]
    );
    assert!(plugins["versions"][1]["faults"]["trap"].as_u64() >= Some(3));
    // By hand it can be had.
    proxy.ctl(&["rollback", "http-in", "2"]).await?;
    assert_eq!(status(&proxy).await?, 503);
    Ok(())
}

/// There is nothing to go back to: requests go by `on_fault`, and the plugin is let alone.
#[tokio::test]
async fn a_first_version_that_fails_is_left_alone() -> anyhow::Result<()> {
    let keys = "router.max_faults = 3\nrouter.on_fault = \"default-backend\"";
    let (_www, proxy) = start("trap-unreachable", keys).await?;
    let left_alone = async {
        while !proxy
            .log()
            .iter()
            .any(|line| line.contains("kind=suspended"))
        {
            ensure!(status(&proxy).await? == 200);
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, left_alone).await??;
    proxy.line_with("there is no version before it").await?;
    let refused = proxy.ctl(&["rollback", "http-in"]).await;
    assert!(
        format!("{refused:?}").contains("no such version"),
        "{refused:?}"
    );
    // A file that works ends that.
    let plugins = proxy.ctl(&["plugins"]).await?;
    assert!(plugins.contains("failing"), "{plugins}");
    Ok(())
}

/// Whatever a swap was at when the process was killed: the next start serves.
#[tokio::test]
async fn a_process_killed_in_a_swap_starts_again() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let shared = tempfile::tempdir()?;
    let place = |name: &str| shared.path().join(name).display().to_string();
    let config = config("harmless", "", &www)
        .replace("./plugin.wasm", &place("plugin.wasm"))
        .replace(
            "cache_dir = \"cache\"",
            &format!("cache_dir = \"{}\"", place("cache")),
        );
    put(&shared.path().join("plugin.wasm"), "first")?;
    for round in 0..8_u32 {
        let mut proxy = Proxy::pointsman(&config).await?;
        assert_eq!(status(&proxy).await?, 200, "{round}");
        put(&shared.path().join("next"), &round.to_string())?;
        fs::rename(
            shared.path().join("next"),
            shared.path().join("plugin.wasm"),
        )?;
        // Each time the kill comes a little later: before it is read, while it is compiled,
        // while the compiled code is kept, after all of that.
        let swap = proxy.ctl(&["swap", "http-in"]);
        let _ = tokio::time::timeout(Duration::from_millis(30) * round, swap).await;
        proxy.signal(Signal::SIGKILL)?;
        proxy.ended().await?;
    }
    let proxy = Proxy::pointsman(&config).await?;
    assert_eq!(status(&proxy).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_shadow_is_compared_and_decides_nothing() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    proxy
        .ctl(&["swap", "http-in", "other.wasm", "--shadow", "50%"])
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let request = "GET /secret HTTP/1.1\r\nHost: www.test.tld\r\nCookie: token\r\nX-A: b\r\n\r\n";
    for _ in 0..20 {
        assert_eq!(client.exchange(request).await?.body, b"www");
    }
    let trials = proxy.ctl(&["trials", "--json"]).await?;
    let trials: serde_json::Value = serde_json::from_str(&trials)?;
    let trial = &trials["trials"][0];
    assert_eq!(
        (&trial["asked"], &trial["differing"]),
        (&10.into(), &10.into())
    );
    let example = &trial["examples"][0];
    assert_eq!(example["active"], "the default backend");
    assert_eq!(example["trial"], "answer 404");
    let fields = example["fields"].to_string();
    assert!(fields.contains(r#"["cookie",null]"#), "{fields}");
    assert!(fields.contains(r#"["x-a","b"]"#), "{fields}");
    let text = proxy.ctl(&["trials"]).await?;
    assert!(
        text.contains("(not shown)") && !text.contains("token"),
        "{text}"
    );
    assert_eq!(deciding(&proxy).await?, "1");
    // It takes over with all that it has learnt.
    proxy.ctl(&["promote", "http-in"]).await?;
    assert_eq!(status(&proxy).await?, 404);
    let refused = proxy.ctl(&["abort", "http-in"]).await;
    assert!(
        format!("{refused:?}").contains("no version on trial"),
        "{refused:?}"
    );
    // And can be taken back.
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_canary_decides_for_its_share_and_harms_nobody() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "router.max_faults = 3").await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    let swap = ["swap", "http-in", "other.wasm", "--canary"];
    // All clients here have one address: all of them are in it, or none.
    proxy.ctl(&[&swap[..], &["100"]].concat()).await?;
    assert_eq!(status(&proxy).await?, 404);
    proxy.ctl(&["abort", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    for share in ["0", "101", "-1", "some"] {
        assert!(
            proxy.ctl(&[&swap[..], &[share]].concat()).await.is_err(),
            "{share}"
        );
    }
    Ok(())
}

/// What a version on trial does wrong, no client sees; too much of it ends the trial.
#[tokio::test]
async fn a_canary_that_fails_is_taken_back() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "router.max_faults = 3").await?;
    fs::write(proxy.directory().join("broken.wasm"), release(BROKEN)?)?;
    proxy
        .ctl(&["swap", "http-in", "broken.wasm", "--canary", "100%"])
        .await?;
    let ended = async {
        while !proxy
            .log()
            .iter()
            .any(|line| line.contains("its trial has ended"))
        {
            ensure!(status(&proxy).await? == 200);
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, ended).await??;
    let trials = proxy.ctl(&["trials"]).await?;
    assert!(trials.contains("no version is on trial"), "{trials}");
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_new_configuration_takes_over() -> anyhow::Result<()> {
    let (www, proxy) = start("harmless", "").await?;
    let other = Origin::naming("other").await?;
    let mut tunnel = Wire::connect(proxy.address()).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let mut kept = Wire::connect(proxy.address()).await?;
    assert_eq!(kept.exchange(GET).await?.body, b"www");

    // Another backend, and another frontend.
    let more = config("harmless", "", &www)
        .replace(&www.address().to_string(), &other.address().to_string())
        + "\n[frontend.more]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n";
    proxy.configure(&more)?;
    proxy.signal(Signal::SIGHUP)?;
    proxy.line_with("configuration in force").await?;
    // The next request of an open connection goes by it; the tunnel stays where it is.
    assert_eq!(kept.exchange(GET).await?.body, b"other");
    passes(&mut tunnel).await?;
    let line = proxy.line_with("listening frontend=more").await?;
    let address: std::net::SocketAddr = log_field(&line, "address").context("address")?.parse()?;
    let mut new = Wire::connect(address).await?;
    assert_eq!(new.exchange(GET).await?.body, b"other");

    // One with a mistake changes nothing, and says where it is.
    proxy.configure(&more.replace("[backend.www]", "[backend.ww]"))?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("a mistake");
    assert!(refused.to_string().contains("pointsman.toml:"), "{refused}");
    assert_eq!(kept.exchange(GET).await?.body, b"other");
    let status = proxy.ctl(&["status", "--json"]).await?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    assert_eq!(
        (&status["reloads"], &status["reloads_refused"]),
        (&1.into(), &1.into())
    );

    // Neither does an address that somebody has, and the reason is told.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let bind = format!("bind = \"{}\"", taken.local_addr()?);
    let elsewhere = more.replacen(
        "[frontend.more]\nbind = \"127.0.0.1:0\"",
        &format!("[frontend.else]\n{bind}"),
        1,
    );
    proxy.configure(&elsewhere)?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("a taken address");
    assert!(refused.to_string().contains("in use"), "{refused}");
    assert_eq!(new.exchange(GET).await?.body, b"other");

    // A frontend that goes lets its idle clients go; the others keep theirs.
    proxy.configure(&config("harmless", "", &www))?;
    proxy.ctl(&["reload"]).await?;
    new.end().await?;
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.exchange(GET).await?.body, b"www");
    passes(&mut tunnel).await
}

#[tokio::test]
async fn a_service_manager_is_told() -> anyhow::Result<()> {
    let www = Origin::naming("www").await?;
    let directory = directory()?;
    let manager = tokio::net::UnixDatagram::bind(directory.path().join("notify"))?;
    let mut command = pointsman()?;
    command.env("NOTIFY_SOCKET", directory.path().join("notify"));
    let configuration = config("harmless", "", &www);
    let proxy = Proxy::pointsman_by(command, directory, &configuration).await?;
    let told = async || {
        let mut message = [0; 200];
        let length = manager.recv(&mut message).await?;
        anyhow::Ok(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    assert_eq!(told().await?, "READY=1");
    proxy.signal(Signal::SIGHUP)?;
    assert!(told().await?.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told().await?, "READY=1");
    proxy.signal(Signal::SIGTERM)?;
    assert_eq!(told().await?, "STOPPING=1");
    Ok(())
}

#[tokio::test]
async fn the_admin_socket_is_its_users_alone() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let www = echo().await?;
    let config = config("harmless", "", &www) + "";
    let config = config.replace(
        "admin.socket = \"admin.sock\"",
        "admin.socket = \"admin.sock\"\nadmin.address = \"127.0.0.1:0\"",
    );
    let mut proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let socket = proxy.directory().join("admin.sock");
    assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
    let line = proxy.line_with("for questions").await?;
    let address: std::net::SocketAddr = log_field(&line, "address").context("address")?.parse()?;
    let ask = async |request: &str| -> anyhow::Result<_> {
        Wire::connect(address).await?.exchange(request).await
    };
    let host = "Host: localhost\r\n\r\n";
    for (request, status) in [
        (format!("GET /v1/status HTTP/1.1\r\n{host}"), 200),
        (format!("GET /metrics HTTP/1.1\r\n{host}"), 200),
        (format!("GET /v1/nothing HTTP/1.1\r\n{host}"), 404),
        (format!("GET /v1/config HTTP/1.1\r\n{host}"), 403),
        (format!("GET /v1/trials HTTP/1.1\r\n{host}"), 403),
        (
            format!("POST /v1/status HTTP/1.1\r\nContent-Length: 0\r\n{host}"),
            405,
        ),
        // Changes are not for everybody on the machine, nor for a page in a browser.
        (
            format!("POST /v1/drain HTTP/1.1\r\nContent-Length: 0\r\n{host}"),
            403,
        ),
        (
            "GET /v1/status HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(),
            403,
        ),
        (
            format!("GET /v1/status HTTP/1.1\r\nOrigin: http://evil.test\r\n{host}"),
            403,
        ),
    ] {
        let found = ask(&request).await?.head.status()?;
        assert_eq!(found, status, "{request}");
    }
    let metrics = ask(&format!("GET /metrics HTTP/1.1\r\n{host}")).await?;
    let metrics = String::from_utf8(metrics.body)?;
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let line = "pointsman_plugin_active{frontend=\"http-in\",plugin=\"plugin\",version=\"1\"";
    assert!(metrics.contains(line), "{metrics}");
    for (arguments, words) in [
        (&["swap", "nowhere"][..], "no frontend `nowhere`"),
        (
            &["swap", "http-in", "absent.wasm"],
            "cannot find absent.wasm",
        ),
        (&["swap", "http-in", "pointsman.toml"], "not WebAssembly"),
        (&["log-level", "loud"], "none of error"),
    ] {
        let refused = proxy.ctl(arguments).await.expect_err("a mistake");
        assert!(
            refused.to_string().contains(words),
            "{arguments:?}: {refused}"
        );
    }
    proxy.ctl(&["log-level", "warn"]).await?;
    assert!(proxy.ctl(&["status"]).await?.contains("serving"));
    assert!(proxy.ctl(&["config"]).await?.contains("[frontend.http-in]"));
    proxy.ctl(&["drain"]).await?;
    assert_eq!(proxy.ended().await?.code(), Some(0));
    assert!(!socket.exists());
    Ok(())
}

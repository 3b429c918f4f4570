//! New versions of a plugin, and new configurations, while requests and tunnels continue.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire, guest, log_field};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::tunnels::{echo_or_www, handshake, passes};

/// Release that responds with 404. The first release leaves such a request to the default backend.
pub(crate) const OTHER: &[u8; 12] = b"release: two";
/// Release that traps. The first release does not.
pub(crate) const BROKEN: &[u8; 12] = b"release: bad";

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Returns a component that behaves the same, but has an additional section that nothing reads, so
/// that the file is different.
pub(crate) fn variant(component: &[u8], mark: &str) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let name = b"mark";
    let length = 1 + name.len() + mark.len();
    bytes.extend([0, u8::try_from(length).expect("a short mark"), 4]);
    bytes.extend(name);
    bytes.extend(mark.as_bytes());
    bytes
}

/// Returns the hostile guest as another release: [`OTHER`], which behaves differently, or
/// [`BROKEN`], which traps.
pub(crate) fn release(name: &[u8; 12]) -> anyhow::Result<Vec<u8>> {
    let mut component = guest("guest-hostile")?;
    let mark = b"release: one";
    let place = component
        .windows(mark.len())
        .position(|bytes| bytes == mark);
    let place = place.context("the guest has no release")?;
    component[place..place + mark.len()].copy_from_slice(name);
    Ok(component)
}

/// Returns a configuration whose plugin is the directory's copy of the hostile guest, in this mode.
pub(crate) fn config(mode: &str, keys: &str, www: &Origin) -> String {
    format!(
        r#"
plugin_cache_dir = "cache"
log.access = true
admin.socket = "admin.sock"

[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "./plugin.wasm"
router.config = {{ mode = "{mode}", spare_probe = true }}
router.limits.deadline = "20s"
{keys}

[backend.www]
server.www = "{}"
"#,
        www.address()
    )
}

pub(crate) fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    put(&directory.path().join("plugin.wasm"), "1")?;
    Ok(directory)
}

pub(crate) fn put(path: &Path, mark: &str) -> anyhow::Result<()> {
    Ok(fs::write(path, variant(&guest("guest-hostile")?, mark))?)
}

pub(crate) async fn start(mode: &str, keys: &str) -> anyhow::Result<(Origin, Proxy)> {
    let www = echo_or_www().await?;
    let proxy = Proxy::pointsman_in(directory()?, &config(mode, keys, &www)).await?;
    Ok((www, proxy))
}

pub(crate) async fn status(proxy: &Proxy) -> anyhow::Result<u16> {
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

/// Sends a request, and returns the version that decides about it.
pub(crate) async fn deciding(proxy: &Proxy) -> anyhow::Result<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // The target identifies the access log record of this request.
    let target = format!("/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut client = Wire::connect(proxy.address()).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: www.test.tld\r\n\r\n");
    ensure!(client.exchange(request).await?.head.status()? == 200);
    let record = proxy.line_with(&format!(" target={target} ")).await?;
    let version = log_field(&record, "version").context("no version")?;
    Ok(version.to_owned())
}

/// Clients that send requests without a pause, some on kept-alive connections and some on new ones.
/// Every response must be 200, and none may be missing.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<anyhow::Result<u32>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Load {
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            clients.spawn(ask(address, stopped.clone()));
        }
        Load { stop, clients }
    }

    /// Stops the clients, and fails unless every request succeeded.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send(true)?;
        while let Some(answered) = self.clients.join_next().await {
            ensure!(answered?? > 0, "a client has asked nothing");
        }
        Ok(())
    }
}

async fn ask(address: SocketAddr, stopped: watch::Receiver<bool>) -> anyhow::Result<u32> {
    let mut answered = 0;
    let mut client = Wire::connect(address).await?;
    while !*stopped.borrow() {
        let response = client.exchange(GET).await?;
        ensure!(response.head.status()? == 200, "after {answered}");
        answered += 1;
        let is_last = response.head.field("connection").as_deref() == Some("close");
        if is_last || answered % 50 == 0 {
            client = Wire::connect(address).await?;
        }
    }
    Ok(answered)
}

#[tokio::test]
async fn a_new_file_is_put_into_service() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    let directory = proxy.directory().to_owned();
    let plugin = directory.join("plugin.wasm");
    assert_eq!(deciding(&proxy).await?, "1");
    // The new file is renamed onto the old one.
    put(&directory.join("new"), "2")?;
    fs::rename(directory.join("new"), &plugin)?;
    in_service(&proxy, 2).await?;
    assert_eq!(deciding(&proxy).await?, "2");
    // The new file is written in place.
    put(&plugin, "3")?;
    in_service(&proxy, 3).await?;
    // Kubernetes replaces files in this way: the file is a link through a link to a directory.
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
    // A file that is only half written is not a plugin either.
    let whole = variant(&guest("guest-hostile")?, "2");
    fs::write(&plugin, &whole[..whole.len() / 2])?;
    let line = refusal(&proxy, 2).await?;
    assert!(line.contains("end"), "{line}");
    assert_eq!(deciding(&proxy).await?, "1");
    fs::write(&plugin, whole)?;
    in_service(&proxy, 2).await?;
    assert_eq!(deciding(&proxy).await?, "2");
    Ok(())
}

/// Waits until the configured file has been refused this number of times, and returns the last log
/// line about it.
async fn refusal(proxy: &Proxy, count: usize) -> anyhow::Result<String> {
    let is_refusal = |line: &&String| line.contains("the new plugin is refused");
    proxy
        .wait_for(&format!("{count} refusals"), |lines| {
            lines.iter().filter(is_refusal).nth(count - 1).cloned()
        })
        .await
}

/// While versions change, no request fails on kept-alive or new connections, and the tunnel stays
/// open.
#[tokio::test]
async fn no_request_fails_while_versions_change() -> anyhow::Result<()> {
    const SWAPS: u32 = 10;
    let (_www, proxy) = start("harmless", "").await?;
    let address = proxy.address();
    let mut tunnel = Wire::connect(address).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let load = Load::start(address);
    for number in 2..=SWAPS {
        put(&proxy.directory().join("next.wasm"), &number.to_string())?;
        proxy.ctl(&["swap", "http-in", "next.wasm"]).await?;
        passes(&mut tunnel).await?;
    }
    load.stop().await?;
    passes(&mut tunnel).await?;
    assert_eq!(deciding(&proxy).await?, SWAPS.to_string());
    // A swap without a file returns to the file in the configuration.
    proxy.ctl(&["swap", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, (SWAPS + 1).to_string());
    Ok(())
}

#[tokio::test]
async fn a_version_that_fails_gives_way_to_the_one_before() -> anyhow::Result<()> {
    let (www, proxy) = start("harmless", "router.max_faults = 3").await?;
    // The file is the same, but this configuration makes it trap, except on the host's own first
    // request.
    let broken = config("trap-unreachable", "router.max_faults = 3", &www);
    proxy.configure(&broken)?;
    proxy.signal(Signal::SIGHUP)?;
    proxy.line_with("configuration in force").await?;
    // Each fault fails its request. After the last fault, requests follow `on_fault` until the
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
    proxy
        .line_with("rolled back to the previous version")
        .await?;
    assert_eq!(deciding(&proxy).await?, "1");
    // A reload for log rotation must not bring the failed version back.
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
    // A manual rollback can still select the failed version.
    proxy.ctl(&["rollback", "http-in", "2"]).await?;
    assert_eq!(status(&proxy).await?, 503);
    Ok(())
}

/// If the first version fails, there is no version to roll back to. Requests follow `on_fault`, and
/// the plugin is not called for a while.
#[tokio::test]
async fn a_first_version_that_fails_is_left_alone() -> anyhow::Result<()> {
    let keys = "router.max_faults = 3\nrouter.on_fault = \"default-backend\"";
    let (www, proxy) = start("trap-unreachable", keys).await?;
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
    proxy.line_with("there is no previous version").await?;
    let refused = proxy.ctl(&["rollback", "http-in"]).await;
    assert!(
        format!("{refused:?}").contains("no good version before"),
        "{refused:?}"
    );
    let plugins = proxy.ctl(&["plugins"]).await?;
    assert!(plugins.contains("failing"), "{plugins}");
    // A new version that works ends the suspension.
    proxy.configure(&config("harmless", keys, &www))?;
    proxy.ctl(&["reload"]).await?;
    let plugins = proxy.ctl(&["plugins"]).await?;
    assert!(!plugins.contains("failing"), "{plugins}");
    assert_eq!(deciding(&proxy).await?, "2");
    Ok(())
}

/// A process that is killed at any point of a swap serves again after the next start.
#[tokio::test]
async fn a_process_killed_in_a_swap_starts_again() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let shared = tempfile::tempdir()?;
    let place = |name: &str| shared.path().join(name).display().to_string();
    let config = config("harmless", "", &www)
        .replace("./plugin.wasm", &place("plugin.wasm"))
        .replace(
            "plugin_cache_dir = \"cache\"",
            &format!("plugin_cache_dir = \"{}\"", place("cache")),
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
        // The kill comes a little later in each round: before the file is read, while it is
        // compiled, while the compiled code is stored, or after all of that.
        let swap = proxy.ctl(&["swap", "http-in"]);
        let _ = tokio::time::timeout(Duration::from_millis(30) * round, swap).await;
        proxy.signal(Signal::SIGKILL)?;
        proxy.ended().await?;
    }
    let proxy = Proxy::pointsman(&config).await?;
    assert_eq!(status(&proxy).await?, 200);
    Ok(())
}

/// Returns the component with an additional module that is never instantiated. Its `functions` take
/// long to compile: some seconds per thousand.
pub(crate) fn slow_to_compile(component: &[u8], functions: usize) -> Vec<u8> {
    // local.get 0, i32.const 3, i32.mul, local.set 0
    let work = [0x20, 0, 0x41, 3, 0x6c, 0x21, 0].repeat(500);
    // One local of type i32, the work, and the end.
    let body = [&[1, 1, 0x7f], &work[..], &[0x0b]].concat();
    let body = [leb(body.len()), body].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(functions), vec![0; functions]].concat()),
        section(10, &[leb(functions), body.repeat(functions)].concat()),
    ];
    [component.to_vec(), section(1, &module.concat())].concat()
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [vec![id], leb(contents.len()), contents.to_vec()].concat()
}

/// Encodes a number in WebAssembly's format (LEB128).
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// If a compiler is killed, for example by the kernel when memory runs out, only its own swap
/// fails.
#[tokio::test]
async fn a_killed_compiler_harms_nothing_else() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    proxy.ctl(&["log-level", "debug"]).await?;
    let heavy = slow_to_compile(&guest("guest-hostile")?, 3000);
    fs::write(proxy.directory().join("heavy.wasm"), heavy)?;
    let kill = async {
        let line = proxy.line_with("compiling process=").await?;
        let process = log_field(&line, "process").context("no process")?;
        // The compiler has the same low priority as the thread that waits for it. The priority is
        // the field `nice` of proc(5), counted from the end of the name in parentheses.
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        assert_eq!(fields.split_whitespace().nth(16), Some("5"), "{stat}");
        nix::sys::signal::kill(Pid::from_raw(process.parse()?), Signal::SIGKILL)?;
        anyhow::Ok(())
    };
    let (swapped, killed) = tokio::join!(proxy.ctl(&["swap", "http-in", "heavy.wasm"]), kill);
    killed?;
    let refused = format!("{:?}", swapped.err());
    assert!(refused.contains("SIGKILL"), "{refused}");
    assert_eq!(deciding(&proxy).await?, "1");
    // The next swap starts another compiler.
    put(&proxy.directory().join("next.wasm"), "2")?;
    proxy.ctl(&["swap", "http-in", "next.wasm"]).await?;
    assert_eq!(deciding(&proxy).await?, "2");
    Ok(())
}

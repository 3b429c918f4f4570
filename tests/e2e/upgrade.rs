//! Upgrades, in which a new process inherits the sockets, and sockets that a service manager has
//! bound. No client is refused.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::Command;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire, guest, pointsman};
use tempfile::TempDir;

use crate::starting;
use crate::swaps::{GET, Load};
use crate::tunnels::{echo_or_www, handshake, passes};

/// Returns a configuration with three frontends. One also has a Unix socket, and the plugin of
/// another one responds by itself.
fn config(www: &Origin) -> String {
    format!(
        r#"
plugin_cache_dir = "cache"
workers = 2
admin.socket = "admin.sock"

[frontend.http-in]
bind = ["127.0.0.1:0", "unix:http.sock"]
default_backend = "www"
router.plugin = "host-suffix"
router.config.rules = [{{ suffix = "io.test.tld", backend = "www" }}]

[frontend.more]
bind = "127.0.0.1:0"
default_backend = "www"

[frontend.own]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "./hostile.wasm"
router.config = {{ mode = "respond-body", value = 200, spare_probe = true }}
router.limits.deadline = "20s"

[backend.www]
server.www = "{}"
"#,
        www.address()
    )
}

fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let hostile = guest("guest-hostile")?;
    fs::write(directory.path().join("hostile.wasm"), hostile)?;
    Ok(directory)
}

async fn start(www: &Origin) -> anyhow::Result<Proxy> {
    Proxy::pointsman_in(directory()?, &config(www)).await
}

/// Returns the ID of the process that responds on the admin socket.
async fn pid(proxy: &Proxy) -> anyhow::Result<u64> {
    let status = proxy.ctl(&["status", "--json"]).await?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    status["pid"].as_u64().context("no number")
}

async fn answer(proxy: &Proxy) -> anyhow::Result<Vec<u8>> {
    let mut client = Wire::connect(proxy.address()).await?;
    Ok(client.exchange(GET).await?.body)
}

#[tokio::test]
async fn no_request_fails_while_processes_change() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let mut proxy = start(&www).await?;
    let first = u64::from(proxy.id());
    assert_eq!(pid(&proxy).await?, first);
    let mut tunnel = Wire::connect(proxy.address()).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let load = Load::start(proxy.address());
    let mut others = Vec::new();
    for name in ["more", "own"] {
        others.extend(proxy.addresses_of(name).map(Load::start));
    }
    let mut known = vec![first];
    for _ in 0..3 {
        let told = proxy.ctl(&["upgrade"]).await?;
        let now = pid(&proxy).await?;
        assert!(told.contains(&now.to_string()), "{told}");
        assert!(!known.contains(&now), "{now} once more");
        known.push(now);
    }
    load.stop().await?;
    for other in others {
        other.stop().await?;
    }
    // The first process runs as long as it has a tunnel.
    passes(&mut tunnel).await?;
    assert!(proxy.runs()?);
    drop(tunnel);
    assert_eq!(proxy.exited().await?, Some(0));
    assert_eq!(answer(&proxy).await?, b"www");
    // The socket files belong to the last process, which removes them when it ends.
    let files = ["http.sock", "admin.sock"].map(|name| proxy.directory().join(name));
    assert!(files.iter().all(|file| file.exists()));
    proxy.ctl(&["drain"]).await?;
    proxy.ended().await?;
    assert!(files.iter().all(|file| !file.exists()));
    Ok(())
}

#[tokio::test]
async fn a_process_that_cannot_take_over_changes_nothing() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let mut proxy = start(&www).await?;
    let first = u64::from(proxy.id());
    proxy.configure(&format!("nonsense = 1\n{}", config(&www)))?;
    let refused = proxy.ctl(&["upgrade"]).await.expect_err("a mistake");
    assert!(refused.to_string().contains("exit status: 64"), "{refused}");
    proxy.signal(Signal::SIGUSR2)?;
    proxy.line_with("the upgrade failed").await?;
    assert_eq!(pid(&proxy).await?, first);
    assert_eq!(answer(&proxy).await?, b"www");

    // If the new configuration does not name an inherited socket, the new process closes that
    // socket.
    let gone = config(&www).replace("[\"127.0.0.1:0\", \"unix:http.sock\"]", "\"127.0.0.1:0\"");
    proxy.configure(&gone)?;
    proxy.signal(Signal::SIGUSR2)?;
    proxy.line_with("no frontend binds it").await?;
    assert_eq!(proxy.exited().await?, Some(0));
    assert!(!proxy.directory().join("http.sock").exists());
    assert_eq!(answer(&proxy).await?, b"www");
    proxy.ctl(&["drain"]).await?;
    proxy.ended().await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_what_is_about_to_take_over() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let mut proxy = start(&www).await?;
    // The new process has inherited the sockets, and waits for a reader of its log.
    starting::fifo(&proxy.directory().join("log"))?;
    proxy.configure(&config(&www).replace("workers = 2", "workers = 2\nlog.target = \"./log\""))?;
    let upgrade = proxy.ctl(&["upgrade"]);
    let stop = async {
        let successor = child_of(proxy.id()).await?;
        starting::handles(successor, Signal::SIGTERM).await?;
        proxy.signal(Signal::SIGTERM)?;
        anyhow::Ok(successor)
    };
    let (upgraded, successor) = tokio::join!(upgrade, stop);
    let successor = successor?;
    let refused = upgraded.expect_err("both are stopping");
    assert!(!refused.to_string().is_empty());
    assert_eq!(proxy.exited().await?, Some(0));
    // Returns once both processes have closed their output.
    proxy.ended().await?;
    assert!(!fs::exists(format!("/proc/{successor}"))?);
    assert!(!proxy.directory().join("http.sock").exists());
    Ok(())
}

/// Waits for `parent` to start a process, and returns that process's ID.
async fn child_of(parent: u32) -> anyhow::Result<u32> {
    let find = async {
        loop {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
            if let Some(child) = children.split_whitespace().next() {
                return anyhow::Ok(child.parse()?);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, find).await?
}

/// A service manager can bind sockets in advance, and pass them as descriptor 3, as systemd does.
#[tokio::test]
async fn a_service_manager_may_bind() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let directory = directory()?;
    let file = directory.path().join("http.sock");
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Clients can connect before the process starts.
    let mut early = Wire::connect(address).await?;
    let config = config(&www).replacen("127.0.0.1:0", &address.to_string(), 1);
    let start = |listener: std::net::TcpListener, directory| {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
            ])
            .arg(pointsman()?.get_program())
            .env("NO_COLOR", "1")
            .stdin(OwnedFd::from(listener));
        anyhow::Ok(Proxy::pointsman_by(command, directory, &config))
    };
    let mut proxy = start(listener.try_clone()?, directory)?.await?;
    assert_eq!(early.exchange(GET).await?.body, b"www");
    assert_eq!(answer(&proxy).await?, b"www");
    assert!(file.exists());
    // An upgrade also passes on the service manager's sockets.
    proxy.ctl(&["upgrade"]).await?;
    drop(early);
    assert_eq!(proxy.exited().await?, Some(0));
    assert_eq!(answer(&proxy).await?, b"www");
    proxy.ctl(&["drain"]).await?;
    proxy.ended().await?;
    assert!(!file.exists());
    // While no process runs, clients wait in the socket's queue.
    let mut between = Wire::connect(address).await?;
    let proxy = start(listener, crate::upgrade::directory()?)?.await?;
    assert_eq!(between.exchange(GET).await?.body, b"www");
    drop(proxy);
    Ok(())
}

/// Descriptors that `LISTEN_FDS` announces must exist and be sockets.
#[tokio::test]
async fn descriptors_that_are_no_sockets_are_refused() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let directory = directory()?;
    for (setting, reason) in [
        ("LISTEN_FDS=1", "descriptor 3"),
        ("LISTEN_FDS=none", "`none` is not a number"),
        ("LISTEN_FDS=100000", "too many"),
        ("POINTSMAN_INHERIT=1", "POINTSMAN_INHERIT"),
    ] {
        let mut command = Command::new("sh");
        let script = format!("{setting} LISTEN_PID=$$ exec \"$0\" \"$@\"");
        command
            .args(["-c", &script])
            .arg(pointsman()?.get_program());
        let refusal = Proxy::refused_by(command, &directory, &config(&www)).await?;
        assert_eq!(refusal.code, Some(1), "{setting}: {}", refusal.log);
        assert!(refusal.log.contains(reason), "{setting}: {}", refusal.log);
    }
    Ok(())
}

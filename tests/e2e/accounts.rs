//! A process that root starts and that then changes to another user. Some operations must still
//! work for that user; mistakes that would make them fail later are reported in advance.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{Group, Uid, User};
use pointsman_tests::{Origin, Proxy, Wire, pointsman};
use tempfile::TempDir;

use crate::swaps::{GET, put};

/// The user `nobody`, and its group, which has no other members.
struct Nobody {
    uid: u32,
    gid: u32,
    /// Lines that set `user` and `group`, for the top of a configuration.
    keys: String,
}

/// Returns the user `nobody`, or `None` unless this process is root: only root can change to
/// `nobody`.
fn nobody() -> anyhow::Result<Option<Nobody>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("nobody")?.context("nobody")?;
    let group = Group::from_gid(user.gid)?.context("nobody's group")?;
    Ok(Some(Nobody {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        keys: format!("user = \"nobody\"\ngroup = \"{}\"", group.name),
    }))
}

/// Creates a folder that every user can search, but only root can write to.
fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    put(&directory.path().join("plugin.wasm"), "1")?;
    put(&directory.path().join("other.wasm"), "2")?;
    Ok(directory)
}

fn config(nobody: &Nobody, www: &Origin, keys: &str) -> String {
    format!(
        r#"
{}
workers = 1
plugin_cache_dir = "cache"
admin.socket = "admin.sock"
{keys}

[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "./plugin.wasm"
router.config = {{ mode = "harmless", spare_probe = true }}
router.limits.deadline = "20s"

[backend.www]
server.www = "{}"
"#,
        nobody.keys,
        www.address()
    )
}

/// Counts the compiled plugins in the cache.
fn kept(cache: &Path) -> anyhow::Result<usize> {
    Ok(fs::read_dir(cache)?.count())
}

#[tokio::test]
async fn plugins_are_kept_and_processes_follow() -> anyhow::Result<()> {
    let Some(nobody) = nobody()? else {
        return Ok(());
    };
    let www = Origin::with_name("www").await?;
    // Three cases: the cache does not exist, root has created it, or it contains a plugin that root
    // has cached.
    for made in ["", "empty", "used"] {
        let directory = directory()?;
        let cache = directory.path().join("cache");
        if !made.is_empty() {
            fs::create_dir(&cache)?;
            fs::set_permissions(&cache, Permissions::from_mode(0o700))?;
        }
        if made == "used" {
            fs::write(cache.join("0.compiled"), "of old")?;
        }
        let before = usize::from(made == "used");
        let config = config(&nobody, &www, "");
        let mut proxy = Proxy::pointsman_in(directory, &config).await?;
        let owner = fs::metadata(&cache)?;
        assert_eq!(
            (owner.uid(), owner.gid()),
            (nobody.uid, nobody.gid),
            "{made}"
        );
        assert_eq!(kept(&cache)?, before + 1, "{made}");
        let other = proxy.directory().join("other.wasm");
        let other = other.to_str().context("a path")?;
        proxy.ctl(&["swap", "http-in", other]).await?;
        assert_eq!(kept(&cache)?, before + 2, "{made}");
        proxy.ctl(&["reload"]).await?;
        proxy.ctl(&["upgrade"]).await?;
        assert_eq!(proxy.exited().await?, Some(0));
        // The count is the same as before: the successor reused the plugins that the first process
        // had compiled.
        assert_eq!(kept(&cache)?, before + 2, "{made}");
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(GET).await?.body, b"www");
        proxy.ctl(&["drain"]).await?;
        proxy.ended().await?;
        let log = proxy.log();
        let alarms = log
            .iter()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"));
        assert_eq!(alarms.count(), 0, "{made}");
    }
    Ok(())
}

#[tokio::test]
async fn the_log_is_reopened_or_an_error_is_reported() -> anyhow::Result<()> {
    let Some(nobody) = nobody()? else {
        return Ok(());
    };
    let www = Origin::with_name("www").await?;
    let directory = directory()?;
    let log = directory.path().join("proxy.log");
    let config = config(&nobody, &www, "log.target = \"./proxy.log\"");
    // The proxy logs its address to a file, so the test reads that file.
    fs::write(directory.path().join("pointsman.toml"), &config)?;
    let mut command = pointsman()?;
    command.current_dir(directory.path()).arg("run");
    let process = pointsman_tests::Process::start(command)?;
    let logged = async |text: &str| {
        let found = async {
            loop {
                let lines = fs::read_to_string(&log).unwrap_or_default();
                if let Some(line) = lines.lines().find(|line| line.contains(text)) {
                    return line.to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(pointsman_tests::DEADLINE, found).await
    };
    logged("ready").await?;
    // Rotates the log as logrotate's `create` does.
    assert_eq!(fs::metadata(&log)?.uid(), nobody.uid);
    fs::rename(&log, directory.path().join("proxy.log.1"))?;
    fs::write(&log, "")?;
    chown(&log, Some(nobody.uid), Some(nobody.gid))?;
    process.signal(Signal::SIGHUP)?;
    logged("configuration in force").await?;

    // If the new file is missing, the reload fails: `nobody` cannot create one in this folder.
    fs::rename(&log, directory.path().join("proxy.log.2"))?;
    let mut ctl = pointsman()?;
    ctl.current_dir(directory.path()).args(["ctl", "reload"]);
    let output = tokio::task::spawn_blocking(move || ctl.output()).await??;
    let refused = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{refused}");
    assert!(refused.contains("proxy.log"), "{refused}");
    assert!(refused.contains("Permission denied"), "{refused}");
    // Standard error also reports the failure, for readers who no longer look at the old file.
    let told = process.line_with("cannot open the log file").await?;
    assert!(told.contains("Permission denied"), "{told}");
    Ok(())
}

/// Finds three free ports that only root can bind. The kernel never assigns ports of this range
/// automatically.
fn low_ports() -> anyhow::Result<[u16; 3]> {
    let mut free = (512..1024)
        .rev()
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let ports: Vec<u16> = free.by_ref().take(3).collect();
    ports
        .try_into()
        .ok()
        .context("all ports below 1024 are taken")
}

/// Returns the name of each thread of the process, and whether it has any of root's capabilities.
fn rights(process: u32) -> anyhow::Result<Vec<(String, bool)>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // The thread may have ended by now.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
            values
                .next()
                .map(str::trim)
                .with_context(|| name.to_owned())
        };
        let rights = u64::from_str_radix(field("CapPrm:")?, 16)?;
        threads.push((field("Name:")?.to_owned(), rights != 0));
    }
    Ok(threads)
}

#[tokio::test]
async fn low_ports_are_bound_later() -> anyhow::Result<()> {
    let Some(nobody) = nobody()? else {
        return Ok(());
    };
    let www = Origin::with_name("www").await?;
    let [first, second, third] = low_ports()?;
    let binds = |ports: &[u16]| {
        let binds: Vec<_> = ports
            .iter()
            .map(|port| format!("\"127.0.0.1:{port}\""))
            .collect();
        let bind = format!("bind = [{}]", binds.join(", "));
        config(&nobody, &www, "").replace("bind = \"127.0.0.1:0\"", &bind)
    };
    let mut proxy = Proxy::pointsman_in(directory()?, &binds(&[first])).await?;
    let answers = async |port: u16| -> anyhow::Result<_> {
        let mut client = Wire::connect((Ipv4Addr::LOCALHOST, port).into()).await?;
        ensure!(client.exchange(GET).await?.body == b"www", "port {port}");
        Ok(())
    };
    answers(first).await?;
    proxy.configure(&binds(&[first, second]))?;
    proxy.ctl(&["reload"]).await?;
    answers(second).await?;
    // By now, startup and the reload have loaded plugins, and the plugins have made decisions.
    for (thread, may_bind) in rights(proxy.id())? {
        // `notify-rs inoti` waits for changes to files. The thread `bind`, which binds addresses
        // for a reload, may not have ended yet.
        let is_trusted = ["pointsman", "bind", "notify-rs inoti"].contains(&thread.as_str());
        assert!(!may_bind || is_trusted, "{thread}");
    }
    proxy.configure(&binds(&[first, second, third]))?;
    proxy.ctl(&["upgrade"]).await?;
    assert_eq!(proxy.exited().await?, Some(0));
    answers(third).await?;
    proxy.ctl(&["drain"]).await?;
    proxy.ended().await?;
    Ok(())
}

/// Both `check` and startup report files that the user cannot open, each with advice.
#[tokio::test]
async fn files_that_the_user_cannot_open_are_mistakes() -> anyhow::Result<()> {
    let Some(nobody) = nobody()? else {
        return Ok(());
    };
    let www = Origin::with_name("www").await?;
    let config = config(&nobody, &www, "log.target = \"./proxy.log\"");
    for (file, expected) in [
        ("pointsman.toml", "`nobody` cannot read the configuration"),
        (
            "plugin.wasm",
            "`frontend.http-in.router.plugin`: the plugin's file cannot be read",
        ),
        ("proxy.log", "`log.target`: cannot write to"),
    ] {
        let directory = directory()?;
        fs::write(directory.path().join("pointsman.toml"), &config)?;
        fs::write(directory.path().join("proxy.log"), "")?;
        chown(directory.path().join("proxy.log"), Some(nobody.uid), None)?;
        let path = directory.path().join(file);
        chown(&path, Some(0), Some(0))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        for subcommand in ["check", "run"] {
            let mut command = pointsman()?;
            command.current_dir(directory.path()).arg(subcommand);
            let output = tokio::task::spawn_blocking(move || command.output()).await??;
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(64),
                "{subcommand}, {file}: {text}"
            );
            assert!(text.contains(expected), "{subcommand}, {file}: {text}");
            assert!(
                text.contains("Permission denied"),
                "{subcommand}, {file}: {text}"
            );
            assert!(text.contains("help: "), "{subcommand}, {file}: {text}");
        }
    }
    Ok(())
}

/// When another user runs `check`, it reports nothing about files that it cannot judge.
#[tokio::test]
async fn another_user_may_check_what_it_can_read() -> anyhow::Result<()> {
    let Some(nobody) = nobody()? else {
        return Ok(());
    };
    let www = Origin::with_name("www").await?;
    let directory = directory()?;
    let config = config(&nobody, &www, "log.target = \"./proxy.log\"");
    let config = config.replace(&nobody.keys, "user = \"daemon\"");
    fs::write(directory.path().join("pointsman.toml"), config)?;
    let log = directory.path().join("proxy.log");
    for is_there in [false, true] {
        if is_there {
            fs::write(&log, "")?;
            fs::set_permissions(&log, Permissions::from_mode(0o600))?;
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "nobody", "--regid", &nobody.gid.to_string()])
            .arg("--clear-groups")
            .arg(pointsman()?.get_program())
            .arg("check")
            .current_dir(directory.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{is_there}: {text}");
    }
    Ok(())
}

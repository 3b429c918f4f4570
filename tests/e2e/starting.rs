//! Signals to a process that is still starting. The process logs to a FIFO, which it can open only
//! once there is a reader. So the test decides how long startup takes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pointsman_tests::{DEADLINE, Origin, Process, guest, pointsman};
use tempfile::TempDir;

/// Creates a folder with a configuration.
fn directory(www: &Origin, keys: &str) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let config = format!(
        "workers = 1\nplugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\n{keys}\n\
         [backend.www]\nserver.www = \"{}\"\n",
        www.address()
    );
    fs::write(directory.path().join("pointsman.toml"), config)?;
    Ok(directory)
}

const FRONTEND: &str = "[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"";

fn run(directory: &Path, arguments: &[&str]) -> anyhow::Result<Process> {
    let mut command = pointsman()?;
    command.current_dir(directory).args(arguments);
    Process::start(command)
}

/// Starts a reader of a FIFO. The process that writes to the FIFO can then open it.
pub(crate) fn read(fifo: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new("cat");
    command.arg(fifo);
    Process::start(command)
}

pub(crate) fn fifo(path: &Path) -> anyhow::Result<()> {
    Ok(mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?)
}

/// Waits until a process has a handler for `signal`, which would otherwise end the process.
pub(crate) async fn handles(process: u32, signal: Signal) -> anyhow::Result<()> {
    let handles = async {
        loop {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.context("no SigCgt")?.trim(), 16)?;
            if caught >> (signal as i32 - 1) & 1 == 1 {
                return anyhow::Ok(());
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, handles).await?
}

#[tokio::test]
async fn a_signal_during_the_start_takes_effect_once_the_process_serves() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    for (signal, done) in [
        (Signal::SIGHUP, "configuration in force"),
        (Signal::SIGUSR2, "replaced by another process"),
    ] {
        let keys = format!("log.target = \"./log\"\n{FRONTEND}");
        let directory = directory(&www, &keys)?;
        let log = directory.path().join("log");
        fifo(&log)?;
        let mut process = run(directory.path(), &["run"])?;
        handles(process.id(), signal).await?;
        process.signal(signal)?;
        let log = read(&log)?;
        log.line_with("ready").await?;
        log.line_with(done).await?;
        let mut drain = run(directory.path(), &["ctl", "drain"])?;
        assert!(drain.ended().await?.success());
        process.ended().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_signal_to_stop_ends_the_start() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let plugin = "router.plugin = \"./plugin.wasm\"\nrouter.config.mode = \"configure-spin\"\n\
                  router.limits.configure_deadline = \"10m\"";
    for keys in [
        format!("log.target = \"./log\"\n{FRONTEND}"),
        format!("{FRONTEND}\n{plugin}"),
    ] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let directory = directory(&www, &keys)?;
            fifo(&directory.path().join("log"))?;
            fs::write(
                directory.path().join("plugin.wasm"),
                guest("guest-hostile")?,
            )?;
            let mut process = run(directory.path(), &["run"])?;
            handles(process.id(), signal).await?;
            process.signal(signal)?;
            assert_eq!(process.ended().await?.code(), Some(0), "{signal}: {keys}");
        }
    }
    Ok(())
}

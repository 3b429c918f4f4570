//! A hostile plugin that is active on another frontend during a load, or a spinner in its place.

use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Load, swaps};
use crate::bench::guests::Guest;
use crate::bench::peers::guest_file;
use crate::bench::peers::pointsman::{HOSTILE, HOSTILE_SOCKET};
use crate::bench::tools::cores;

/// The request that the plugin gets. The plugin misbehaves for every host except `localhost`.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: hostile.test\r\n\r\n";

/// Pause after a connection has been closed.
const PAUSE: Duration = Duration::from_millis(10);

/// A busy loop with the lowest possible priority, started with a program of util-linux.
const SPINNER: [&str; 6] = ["chrt", "--idle", "0", "sh", "-c", "while :; do :; done"];

/// Sends requests to the hostile plugin of the proxy in `folder` until `load` is done. If the guest
/// has a `swap`, also replaces the plugin repeatedly.
///
/// # Errors
/// Errors of `load`; or the replacement has not been built, or the admin interface does not respond
/// to a swap.
pub(crate) async fn during(
    folder: &Path,
    guest: &'static Guest,
    load: impl Future<Output = anyhow::Result<Load>>,
) -> anyhow::Result<Load> {
    let (done, is_done) = watch::channel(false);
    let mut asking = JoinSet::new();
    // One request at a time for each worker.
    for _ in 0..cores() {
        asking.spawn(ask(folder.join(HOSTILE_SOCKET), is_done.clone()));
    }
    let swapping = async {
        let mut last = None;
        let is_done = || *is_done.borrow();
        while let Some(swap) = guest.swap.filter(|_| !is_done()) {
            // Waits until the last swap is complete: a compiler that continues would disturb the
            // next row.
            last = Some(swaps::post(folder, HOSTILE, &guest_file(swap)?).await?);
        }
        anyhow::Ok(last)
    };
    let loading = async {
        let load = load.await;
        done.send_replace(true);
        load
    };
    let (load, last) = tokio::join!(loading, swapping);
    let mut load = load?;
    let answers: u64 = asking.join_all().await.into_iter().sum();
    load.notes.push(format!("{answers} requests to the guest"));
    if let Some(last) = last? {
        let line = last.lines().last().unwrap_or_default();
        load.notes.push(format!("its last swap: {line}"));
    }
    Ok(load)
}

/// Sends requests until the load is done, whatever the responses, and returns the number of
/// responses. Waits [`PAUSE`] before it replaces a connection that has ended.
async fn ask(socket: std::path::PathBuf, mut is_done: watch::Receiver<bool>) -> u64 {
    let mut answers = 0;
    let asking = async {
        loop {
            let _: Result<Infallible, _> = converse(&socket, &mut answers).await;
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = asking => {}
        _ = is_done.wait_for(|is_done| *is_done) => {}
    }
    answers
}

/// Sends one request after another on a connection, until it ends.
async fn converse(socket: &Path, answers: &mut u64) -> std::io::Result<Infallible> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut answer = vec![0; 64 << 10];
    loop {
        stream.write_all(REQUEST).await?;
        // Responses are short, and arrive in one read.
        if stream.read(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        *answers += 1;
    }
}

/// Runs a spinner of the lowest priority during `load`.
///
/// # Errors
/// Errors of `load`; or the spinner cannot be started, or ends early.
pub(crate) async fn beside_spinner(
    load: impl Future<Output = anyhow::Result<Load>>,
) -> anyhow::Result<Load> {
    let [program, arguments @ ..] = SPINNER;
    let mut spinner = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start chrt, of util-linux")?;
    let load = load.await?;
    if let Some(status) = spinner.try_wait()? {
        bail!("the spinner ended with {status}");
    }
    spinner.kill().await?;
    Ok(load)
}

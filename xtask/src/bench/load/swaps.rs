//! A plugin that is replaced repeatedly during a load.
//!
//! Each replacement is another file: `host-suffix` with an additional section that nothing reads.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{MissedTickBehavior, interval};

use super::Load;
use crate::bench::peers::pointsman::{FRONTEND, SOCKET};

/// The files that replace the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Components {
    /// A few files, whose compiled code is on disk after the warm-up.
    Known,
    /// Files that are new to this machine, so that each has to be compiled.
    New,
}

/// Number of different files of [`Components::Known`].
const KNOWN: u64 = 4;

static COMPONENT: &[u8] = include_bytes!("../../../../plugins/host-suffix/host-suffix.wasm");

/// Replaces the plugin of the proxy in `folder` until `load` is done.
///
/// # Errors
/// Errors of `load`, or a replacement is refused.
pub(crate) async fn during(
    folder: &Path,
    every: Duration,
    components: Components,
    load: impl Future<Output = anyhow::Result<Load>>,
) -> anyhow::Result<Load> {
    let mut load = std::pin::pin!(load);
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swaps = 0_u32;
    loop {
        let swapped = async {
            pace.tick().await;
            swap(folder, components).await
        };
        tokio::select! {
            done = &mut load => {
                let mut done = done?;
                done.notes.push(format!("{swaps} versions swapped in"));
                return Ok(done);
            }
            result = swapped => result?,
        }
        swaps += 1;
    }
}

async fn swap(folder: &Path, components: Components) -> anyhow::Result<()> {
    let file = folder.join("next.wasm");
    std::fs::write(&file, variant(components)?)?;
    let answer = post(folder, FRONTEND, &file).await?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("a version is refused: {answer}");
    }
    Ok(())
}

/// Requests a swap, and returns the admin interface's response.
///
/// # Errors
/// No response.
pub(super) async fn post(folder: &Path, frontend: &str, file: &Path) -> anyhow::Result<String> {
    let body = format!(r#"{{"frontend":"{frontend}","file":"{}"}}"#, file.display());
    let request = format!(
        "POST /v1/swap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = UnixStream::connect(folder.join(SOCKET))
        .await
        .context("the admin socket")?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Returns a component that behaves like `host-suffix`.
fn variant(components: Components) -> anyhow::Result<Vec<u8>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mark = match components {
        Components::Known => format!("{}", number % KNOWN),
        Components::New => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            format!("{}-{number}", now.as_nanos())
        }
    };
    let mut bytes = COMPONENT.to_vec();
    // A custom section: its number, its length, its name.
    bytes.extend([0, u8::try_from(5 + mark.len())?, 4]);
    bytes.extend(b"mark");
    bytes.extend(mark.as_bytes());
    Ok(bytes)
}

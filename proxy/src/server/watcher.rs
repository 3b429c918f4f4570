//! Plugin files that change: put into service once they have settled.
//!
//! Directories are watched, not files, because what replaces a file is seldom written to it:
//! it is renamed onto it, or a link on the way to it is swung (as Kubernetes does for a
//! `ConfigMap`). Whether anything has changed is for `control` to find out.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::control::{ChangeError, Control};
use crate::telemetry::chain;

/// A file is read once it has been as it is for so long.
const SETTLED: Duration = Duration::from_millis(200);
/// Least time between two looks.
const REST: Duration = Duration::from_millis(50);
/// How often the configuration is asked which files it names.
const REVIEW: Duration = Duration::from_secs(5);

/// What is seen of a file without reading it: where it is, which one, how long, how old.
type Looks = Option<(PathBuf, [u64; 3], Option<SystemTime>)>;

/// A plugin's file.
struct Watched {
    frontend: String,
    path: PathBuf,
    looks: Looks,
    /// Since when it looks so, as long as that has not been acted on.
    changed: Option<tokio::time::Instant>,
}

/// Watches until the process ends.
pub(super) async fn run(control: Control) {
    let changed = Arc::new(Notify::new());
    let noting = Arc::clone(&changed);
    let on_event = move |event: notify::Result<notify::Event>| {
        let is_read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
        if !is_read {
            noting.notify_one();
        }
    };
    let mut watcher = match notify::recommended_watcher(on_event) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "plugin files are not watched: reload to take up new ones");
            return;
        }
    };
    let mut directories = HashSet::new();
    let mut files: Vec<Watched> = Vec::new();
    loop {
        review(&control, &mut files);
        look(&mut watcher, &mut directories, &files);
        let settling = files.iter().filter_map(|file| file.changed).min();
        let pause = settling.map_or(REVIEW, |since| SETTLED.saturating_sub(since.elapsed()));
        tokio::select! {
            // Others may write to these directories all the time.
            () = changed.notified() => tokio::time::sleep(REST).await,
            () = tokio::time::sleep(pause) => {}
        }
        for file in &mut files {
            if file.has_settled() {
                put_into_service(&control, file).await;
            }
        }
    }
}

/// Takes up files that the configuration names now, and lets go of others.
fn review(control: &Control, files: &mut Vec<Watched>) {
    let named = control.watched();
    files.retain(|file| {
        let mut named = named.iter();
        named.any(|(frontend, path)| *frontend == file.frontend && *path == file.path)
    });
    for (frontend, path) in named {
        let is_known = |file: &Watched| file.frontend == frontend && file.path == path;
        if !files.iter().any(is_known) {
            files.push(Watched {
                looks: looks(&path),
                frontend,
                path,
                // It may have changed since it was loaded.
                changed: Some(tokio::time::Instant::now()),
            });
        }
    }
}

/// Watches the directories where a change of one of `files` would show, and no others.
fn look(watcher: &mut RecommendedWatcher, directories: &mut HashSet<PathBuf>, files: &[Watched]) {
    let wanted: HashSet<PathBuf> = files.iter().flat_map(|file| places(&file.path)).collect();
    for directory in directories.difference(&wanted) {
        // It may be gone by itself.
        let _ = watcher.unwatch(directory);
    }
    for directory in wanted.difference(directories) {
        if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
            tracing::warn!(directory = %directory.display(), %error, "cannot watch");
        }
    }
    *directories = wanted;
}

/// The directory of a file, those of the links on the way to it, and of what they lead to.
fn places(path: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut next = Some(path.to_owned());
    // As many links as the kernel follows.
    for _ in 0..40 {
        let Some(path) = next.take() else { break };
        for above in path.ancestors().skip(1) {
            let directory = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            if directory.is_dir() && !places.iter().any(|known| known == directory) {
                places.push(directory.to_owned());
            }
            // Farther up only where a link leads here: its swing shows in its directory.
            if !above.is_symlink() {
                break;
            }
        }
        next = std::fs::read_link(&path)
            .ok()
            .map(|target| match path.parent() {
                Some(parent) => parent.join(target),
                None => target,
            });
    }
    places
}

fn looks(path: &Path) -> Looks {
    let real = path.canonicalize().ok()?;
    let metadata = std::fs::metadata(&real).ok()?;
    let identity = [metadata.dev(), metadata.ino(), metadata.len()];
    Some((real, identity, metadata.modified().ok()))
}

impl Watched {
    /// Whether it has changed, and stayed as it is for long enough.
    fn has_settled(&mut self) -> bool {
        let now = looks(&self.path);
        if now != self.looks {
            self.looks = now;
            self.changed = Some(tokio::time::Instant::now());
            return false;
        }
        let has_settled = self.changed.is_some_and(|since| since.elapsed() >= SETTLED);
        if has_settled {
            self.changed = None;
        }
        // Between two renames there may be no file.
        has_settled && self.looks.is_some()
    }
}

async fn put_into_service(control: &Control, file: &Watched) {
    match control.refresh(&file.frontend).await {
        Ok(_) | Err(ChangeError::Stopping) => {}
        Err(error) => tracing::error!(
            frontend = file.frontend,
            file = %file.path.display(),
            "the new plugin is refused, the one before goes on: {}",
            chain(&error)
        ),
    }
}

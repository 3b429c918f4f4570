//! Plugin files that change: put into service once they have settled.
//!
//! Directories are watched, not files, because a file is seldom replaced by writing to it: another
//! is renamed onto it, or a symbolic link on the way to it changes (as Kubernetes does for a
//! `ConfigMap`). `swap` compares the contents.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::{ChangeError, Control};
use crate::telemetry::chain;

/// A file is read once it has not changed for this long.
const SETTLED: Duration = Duration::from_millis(200);
/// Shortest time between two checks.
const REST: Duration = Duration::from_millis(50);
/// How often the list of files is taken from the configuration.
const REVIEW: Duration = Duration::from_secs(5);

/// Identifies a file's content without reading it: path, identity, length and time.
type Looks = Option<(PathBuf, [u64; 3], Option<SystemTime>)>;

/// A plugin's file.
struct Watched {
    frontend: String,
    path: PathBuf,
    looks: Looks,
    /// When it last changed, until that has been handled.
    changed: Option<tokio::time::Instant>,
}

impl Control {
    /// Watches the plugin files until the process ends.
    pub async fn watch_files(self) {
        watch(self).await;
    }
}

async fn watch(control: Control) {
    let changed = Arc::new(Notify::new());
    let on_change = Arc::clone(&changed);
    let on_event = move |event: notify::Result<notify::Event>| {
        let is_read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
        if !is_read {
            on_change.notify_one();
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

/// Adds files that the configuration names now, and removes others.
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

/// Watches the directories in which a change of one of `files` is visible, and no others.
fn look(watcher: &mut RecommendedWatcher, directories: &mut HashSet<PathBuf>, files: &[Watched]) {
    let wanted: HashSet<PathBuf> = files.iter().flat_map(|file| places(&file.path)).collect();
    for directory in directories.difference(&wanted) {
        // The directory may have been removed.
        let _ = watcher.unwatch(directory);
    }
    for directory in wanted.difference(directories) {
        if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
            tracing::warn!(directory = %directory.display(), %error, "cannot watch");
        }
    }
    *directories = wanted;
}

/// The directory of a file, and those of symbolic links on the way to it and of their targets.
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
            // Farther up only if a link leads here: a change of the link is visible in its directory.
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
    /// Whether it has changed, and has been stable for long enough.
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

//! Watches plugin, certificate, server and table files. A changed file is loaded once it has
//! stopped changing.
//!
//! Directories are watched instead of files, because a file is rarely replaced by writing to it.
//! Usually, another file is renamed onto it, or a symbolic link on its path changes (as Kubernetes
//! does for a `ConfigMap`, and certbot for a certificate). `swap` and `sites` compare the contents.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::certificates::Taken;
use super::{ChangeError, Control};
use crate::config::StageId;
use crate::telemetry::chain;

/// A file is loaded once it has not changed for this long.
const SETTLED: Duration = Duration::from_millis(200);
/// Shortest time between two checks.
const REST: Duration = Duration::from_millis(50);
/// How often the list of files is refreshed from the configuration.
const REVIEW: Duration = Duration::from_secs(5);
/// First pause before another attempt to load a file that was refused for a transient reason.
const FIRST_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between attempts. The pause doubles with each failure, up to this value.
const MAX_RETRY_PAUSE: Duration = Duration::from_mins(1);

/// Identifies a file's contents without reading them: real path, device, inode, length and
/// modification time.
type Fingerprint = Option<(PathBuf, [u64; 3], Option<SystemTime>)>;

/// The part of the configuration that uses a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum User {
    /// The stage that runs this plugin.
    Plugin(StageId),
    /// The `[tls.NAME]` with this name.
    Site(String),
    /// The backend with this name, for its `servers_file`.
    Servers(String),
    /// The table with this name.
    Table(String),
}

/// A watched file.
struct Watched {
    user: User,
    path: PathBuf,
    fingerprint: Fingerprint,
    /// Time at which the file is loaded, unless it changes again before that. None if no load is
    /// due.
    due: Option<Instant>,
    /// `true` while the file is being loaded. If the file changes during that time, it is loaded
    /// again afterwards.
    is_loading: bool,
    /// The last pause before another attempt.
    pause: Duration,
}

/// The result of loading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There is nothing to do until the file changes.
    Done,
    /// Another attempt to load the file may succeed.
    TryAgain,
}

impl From<Taken> for Outcome {
    fn from(taken: Taken) -> Outcome {
        match taken {
            Taken::Done => Outcome::Done,
            Taken::TryAgain => Outcome::TryAgain,
        }
    }
}

impl Control {
    /// Watches the files of plugins, certificates, servers and tables until the process ends.
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
            tracing::warn!(%error, "files cannot be watched: reload after each change of a plugin, certificate, servers file or table");
            return;
        }
    };
    let mut directories = HashSet::new();
    let mut files: Vec<Watched> = Vec::new();
    let mut loads = JoinSet::new();
    loop {
        review(&control, &mut files);
        look(&mut watcher, &mut directories, &files);
        let idle = files.iter().filter(|file| !file.is_loading);
        let next = idle.filter_map(|file| file.due).min();
        let next = next.unwrap_or_else(|| Instant::now() + REVIEW);
        tokio::select! {
            // Other programs may write to these directories constantly, so pause between checks.
            () = changed.notified() => tokio::time::sleep(REST).await,
            Some(loaded) = loads.join_next() => settle(&mut files, loaded),
            () = tokio::time::sleep_until(next.min(Instant::now() + REVIEW)) => {}
        }
        for file in &mut files {
            if file.is_due() {
                file.is_loading = true;
                let (control, user) = (control.clone(), file.user.clone());
                let path = file.path.clone();
                // Load in a separate task, so that other files do not wait for this file's
                // compiler.
                loads.spawn(async move {
                    let outcome = match &user {
                        User::Plugin(stage) => put_into_service(&control, stage, &path).await,
                        User::Site(name) => control.refresh_site(name).await.into(),
                        User::Servers(backend) => {
                            control.refresh_servers(backend, &path).await.into()
                        }
                        User::Table(name) => control.refresh_table(name, &path).await.into(),
                    };
                    (user, path, outcome)
                });
            }
        }
    }
}

/// A file that was loaded, by its user and path, and the result.
type Loaded = (User, PathBuf, Outcome);

fn settle(files: &mut [Watched], loaded: Result<Loaded, JoinError>) {
    // Cannot fail: the work runs on another thread, which reports its panics as ordinary errors.
    let Ok((user, path, outcome)) = loaded else {
        return;
    };
    let mut files = files.iter_mut();
    let file = files.find(|file| file.user == user && file.path == path);
    if let Some(file) = file {
        file.settle(outcome);
    }
}

/// Adds files that the configuration now names, and removes all others.
fn review(control: &Control, files: &mut Vec<Watched>) {
    let plugins = control.watched().into_iter();
    let plugins = plugins.map(|(stage, path)| (User::Plugin(stage), path));
    let sites = control.sites().files().into_iter();
    let sites = sites.map(|(name, path)| (User::Site(name), path));
    let servers = control.server_files().into_iter();
    let servers = servers.map(|(backend, path)| (User::Servers(backend), path));
    let tables = control.table_files().into_iter();
    let tables = tables.map(|(name, path)| (User::Table(name), path));
    let named: Vec<_> = plugins.chain(sites).chain(servers).chain(tables).collect();
    files.retain(|file| {
        let mut named = named.iter();
        named.any(|(user, path)| *user == file.user && *path == file.path)
    });
    for (user, path) in named {
        let is_known = |file: &Watched| file.user == user && file.path == path;
        if !files.iter().any(is_known) {
            files.push(Watched {
                fingerprint: fingerprint(&path),
                user,
                path,
                // The file may have changed since it was loaded with the configuration.
                due: Some(Instant::now() + SETTLED),
                is_loading: false,
                pause: Duration::ZERO,
            });
        }
    }
}

/// Watches exactly those directories in which a change to one of `files` is visible.
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

/// Returns the directory of a file. Also returns the directories of all symbolic links on its path,
/// and of their targets.
fn places(path: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut next = Some(path.to_owned());
    // The kernel also follows at most 40 links.
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
            // Go further up only if this directory is a link: the directory above it shows changes
            // to the link.
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

fn fingerprint(path: &Path) -> Fingerprint {
    let real = path.canonicalize().ok()?;
    let metadata = std::fs::metadata(&real).ok()?;
    let identity = [metadata.dev(), metadata.ino(), metadata.len()];
    Some((real, identity, metadata.modified().ok()))
}

impl Watched {
    /// Returns whether the file must be loaded now: it has changed, and has then been stable for
    /// long enough. If so, marks it as no longer due.
    fn is_due(&mut self) -> bool {
        let fingerprint = fingerprint(&self.path);
        if fingerprint != self.fingerprint {
            self.fingerprint = fingerprint;
            self.pause = Duration::ZERO;
            self.due = Some(Instant::now() + SETTLED);
        }
        // A missing file is skipped, because it can be absent for a moment between two renames. A
        // missing table file is loaded nevertheless, so that the error is reported.
        let is_due = self.due.is_some_and(|due| Instant::now() >= due);
        if !is_due || self.is_loading {
            return false;
        }
        self.due = None;
        self.fingerprint.is_some() || matches!(self.user, User::Table(_))
    }

    fn settle(&mut self, outcome: Outcome) {
        self.is_loading = false;
        match outcome {
            Outcome::Done => self.pause = Duration::ZERO,
            Outcome::TryAgain => {
                self.pause = (self.pause * 2).clamp(FIRST_RETRY_PAUSE, MAX_RETRY_PAUSE);
                // If the file has changed in the meantime, keep the time that was set for that
                // change.
                self.due.get_or_insert(Instant::now() + self.pause);
            }
        }
    }
}

async fn put_into_service(control: &Control, stage: &StageId, path: &Path) -> Outcome {
    let error = match control.refresh(stage).await {
        Ok(()) => return Outcome::Done,
        Err(error) if error.is_gone() => return Outcome::Done,
        Err(error) => error,
    };
    let StageId {
        frontend,
        name: stage,
    } = stage;
    let file = path.display();
    let reason = chain(&error);
    match error {
        ChangeError::Overtaken { .. } => {
            tracing::info!(frontend, stage, %file, "the new plugin is not put into service: {reason}");
            Outcome::Done
        }
        ChangeError::Version(error) if !error.is_transient() => {
            tracing::error!(
                frontend,
                stage,
                %file,
                "the new plugin is refused, the current version stays in service: {reason}"
            );
            Outcome::Done
        }
        _ => {
            tracing::error!(
                frontend,
                stage,
                %file,
                "the new plugin could not be loaded and will be tried again, the current version stays \
                 in service: {reason}"
            );
            Outcome::TryAgain
        }
    }
}

//! Files that change, of plugins, certificates, servers and tables: put into service once they have
//! settled.
//!
//! Directories are watched, not files, because a file is seldom replaced by writing to it: another
//! is renamed onto it, or a symbolic link on the way to it changes (as Kubernetes does for a
//! `ConfigMap`, and certbot for a certificate). `swap` and `sites` compare the contents.

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

/// A file is read once it has not changed for this long.
const SETTLED: Duration = Duration::from_millis(200);
/// Shortest time between two checks.
const REST: Duration = Duration::from_millis(50);
/// How often the list of files is taken from the configuration.
const REVIEW: Duration = Duration::from_secs(5);
/// Pause before a file is tried again that was refused for a reason which is not its own.
const FIRST_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The pause doubles with each failure up to this.
const MAX_RETRY_PAUSE: Duration = Duration::from_mins(1);

/// Identifies a file's content without reading it: path, identity, length and time.
type Looks = Option<(PathBuf, [u64; 3], Option<SystemTime>)>;

/// The part of the configuration that uses a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum User {
    /// The plugin of this stage.
    Plugin(StageId),
    /// The `[tls.NAME]` of this name.
    Site(String),
    /// The backend of this name, for more servers.
    Servers(String),
    /// The table of this name.
    Table(String),
}

/// A file.
struct Watched {
    user: User,
    path: PathBuf,
    looks: Looks,
    /// When it is to be loaded unless it changes again; None: it has been.
    due: Option<Instant>,
    /// It is being loaded. If it changes meanwhile, it is loaded once more after that.
    is_loading: bool,
    /// The last pause before it was tried again.
    pause: Duration,
}

/// The fate of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing is left to do until it changes.
    Done,
    /// It may be in service once it is tried again.
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
            tracing::warn!(%error, "files are not watched: reload to take up new plugins, certificates, servers and tables");
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
            // Others may write to these directories all the time.
            () = changed.notified() => tokio::time::sleep(REST).await,
            Some(loaded) = loads.join_next() => settle(&mut files, loaded),
            () = tokio::time::sleep_until(next.min(Instant::now() + REVIEW)) => {}
        }
        for file in &mut files {
            if file.is_due() {
                file.is_loading = true;
                let (control, user) = (control.clone(), file.user.clone());
                let path = file.path.clone();
                // Files of other stages do not wait for this one's compiler.
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

/// A file that was being loaded, by its user and path, and what became of it.
type Loaded = (User, PathBuf, Outcome);

fn settle(files: &mut [Watched], loaded: Result<Loaded, JoinError>) {
    // Loading itself runs elsewhere, and its panics are errors.
    let Ok((user, path, outcome)) = loaded else {
        return;
    };
    let mut files = files.iter_mut();
    let file = files.find(|file| file.user == user && file.path == path);
    if let Some(file) = file {
        file.settle(outcome);
    }
}

/// Adds files that the configuration names now, and removes others.
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
                looks: looks(&path),
                user,
                path,
                // It may have changed since it was loaded.
                due: Some(Instant::now() + SETTLED),
                is_loading: false,
                pause: Duration::ZERO,
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
    /// Whether it is to be loaded now: it has changed, and has been stable for long enough.
    fn is_due(&mut self) -> bool {
        let looks = looks(&self.path);
        if looks != self.looks {
            self.looks = looks;
            self.pause = Duration::ZERO;
            self.due = Some(Instant::now() + SETTLED);
        }
        // Between two renames there may be no file. A table's that stays away is shown as such.
        let is_due = self.due.is_some_and(|due| Instant::now() >= due);
        if !is_due || self.is_loading {
            return false;
        }
        self.due = None;
        self.looks.is_some() || matches!(self.user, User::Table(_))
    }

    fn settle(&mut self, outcome: Outcome) {
        self.is_loading = false;
        match outcome {
            Outcome::Done => self.pause = Duration::ZERO,
            Outcome::TryAgain => {
                self.pause = (self.pause * 2).clamp(FIRST_RETRY_PAUSE, MAX_RETRY_PAUSE);
                // Unless it has changed meanwhile.
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
                "the new plugin is refused, the one before goes on: {reason}"
            );
            Outcome::Done
        }
        _ => {
            tracing::error!(
                frontend,
                stage,
                %file,
                "the new plugin could not be loaded, the one before goes on; it is tried again: \
                 {reason}"
            );
            Outcome::TryAgain
        }
    }
}

//! `pointsman plugin watch`: builds and tests on each save, and puts passing builds into service.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};

use super::build::{self, Component};
use super::{Cases, Exit, about, test};
use crate::cli::ctl;
use crate::plugin_tools::project::Project;

/// Time without changes before a build starts. Editors write a file in several steps.
const SETTLED: Duration = Duration::from_millis(150);

/// Folders whose files are written by tools, not by the author.
const BUILT: [&str; 10] = [
    "target",
    "build",
    "node_modules",
    "dist",
    "zig-out",
    ".zig-cache",
    ".venv",
    "__pycache__",
    ".git",
    ".cache",
];

/// Flags of `pointsman plugin watch`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// Folder of the project
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Requests and expected decisions; defaults to cases.toml in the project
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Frontend of a running proxy that gets each passing build; FRONTEND/STAGE if the frontend has
    /// several plugins
    #[arg(long, value_name = "NAME", value_parser = ctl::stage_of)]
    frontend: Option<ctl::Stage>,
    #[command(flatten)]
    process: ctl::Process,
}

/// The author's files, each with a hash of its contents. Modification times are not compared: a
/// build that writes identical files again would then trigger another build, without end.
type Fingerprints = BTreeMap<PathBuf, u64>;

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let project = build::open(&flags.project)?;
    let cases = flags.cases.clone();
    let cases = Cases {
        cases: cases.unwrap_or_else(|| project.folder.join("cases.toml")),
    };
    let (changed, changes) = mpsc::channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            // If the receiver has been dropped, the command is about to exit.
            let _ = changed.send(());
        }
    });
    let mut watcher = watcher.map_err(|error| about(&project.folder, &error))?;
    watcher
        .watch(&project.folder, RecursiveMode::Recursive)
        .map_err(|error| about(&project.folder, &error))?;
    let mut seen = Fingerprints::new();
    let mut in_service = None;
    loop {
        let now = fingerprint(&project);
        if now != seen {
            seen = now;
            // Errors have already been printed. The next save may fix them.
            let _ = build_cycle(flags, &project, &cases, &mut in_service);
            // Lock files that the build has changed must not trigger another build.
            seen.retain(|path, _| !is_lock(path));
            seen.extend(
                fingerprint(&project)
                    .into_iter()
                    .filter(|(path, _)| is_lock(path)),
            );
            continue;
        }
        if changes.recv().is_err() {
            return Ok(Exit::Success);
        }
        while changes.recv_timeout(SETTLED).is_ok() {}
    }
}

/// Builds and tests the project once, and puts the component into service. `in_service` is the
/// SHA-256 of the last component that was put into service. An identical component is not swapped
/// in again, because the file that changed can be the proxy's own log.
fn build_cycle(
    flags: &Flags,
    project: &Project,
    cases: &Cases,
    in_service: &mut Option<String>,
) -> Result<(), Exit> {
    let component = Component::build(project)?;
    if cases.cases.exists() && test::play_all(&cases.read()?, &component.plugin) > 0 {
        return Err(Exit::Failure);
    }
    let output = project.component();
    component.write(&output)?;
    crate::cli::print(&format!("{}\n", output.display()));
    let built = Some(component.plugin.sha256());
    if let (Some(stage), true) = (&flags.frontend, built != in_service.as_deref()) {
        ctl::swap(&flags.process, stage, &output)?;
        *in_service = built.map(str::to_owned);
    }
    Ok(())
}

fn fingerprint(project: &Project) -> Fingerprints {
    let mut fingerprints = Fingerprints::new();
    survey(&project.folder, &mut fingerprints);
    fingerprints.remove(&project.component());
    fingerprints
}

/// Returns whether `path` is a lock file. Package managers write these files; authors rarely do.
fn is_lock(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("lock")) || path.ends_with("package-lock.json")
}

/// Returns whether `path` is a log file, `NAME.log`. It can be the proxy's log, which changes with
/// each request.
fn is_log(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("log"))
}

fn survey(folder: &Path, fingerprints: &mut Fingerprints) {
    // If an entry has been removed in the meantime, that causes another event.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            if !BUILT.iter().any(|built| name == *built) {
                survey(&entry.path(), fingerprints);
            }
        } else if metadata.is_file()
            && !name.as_encoded_bytes().starts_with(b".tmp")
            && !is_log(&entry.path())
            && let Ok(contents) = std::fs::read(entry.path())
        {
            let mut hasher = DefaultHasher::new();
            hasher.write(&contents);
            fingerprints.insert(entry.path(), hasher.finish());
        }
    }
}

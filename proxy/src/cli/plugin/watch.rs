//! `pointsman plugin watch`: builds on each save, tests, and puts into service what passes.

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

/// Editors write a file in several steps; a build begins after the last.
const SETTLED: Duration = Duration::from_millis(150);

/// What tools write while they build: no change of the author's.
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
    /// The project's folder
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Requests and what is expected; cases.toml in the project where none is given
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// The frontend of a running proxy that gets each version which passes; FRONTEND/STAGE where it
    /// has several plugins
    #[arg(long, value_name = "NAME", value_parser = ctl::stage_of)]
    frontend: Option<ctl::Stage>,
    #[command(flatten)]
    process: ctl::Process,
}

/// What the author's files look like: which there are, and a hash of what is in each. Not how old they
/// are: what a build generates anew, and alike, would lead to builds without end.
type Looks = BTreeMap<PathBuf, u64>;

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let project = build::open(&flags.project)?;
    let cases = flags.cases.clone();
    let cases = Cases {
        cases: cases.unwrap_or_else(|| project.folder.join("cases.toml")),
    };
    let (changed, changes) = mpsc::channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            // Whoever has stopped to listen is about to end.
            let _ = changed.send(());
        }
    });
    let mut watcher = watcher.map_err(|error| about(&project.folder, &error))?;
    watcher
        .watch(&project.folder, RecursiveMode::Recursive)
        .map_err(|error| about(&project.folder, &error))?;
    let mut seen = Looks::new();
    let mut in_service = None;
    loop {
        let now = looks(&project);
        if now != seen {
            seen = now;
            // What is wrong has been told; the next save may mend it.
            let _ = turn(flags, &project, &cases, &mut in_service);
            // What the build has done to lock files is no reason for another one.
            seen.retain(|path, _| !is_lock(path));
            seen.extend(
                looks(&project)
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

/// One build, with all that follows. `in_service` is the SHA-256 of the component that was put
/// into service last: the same one again is no news to the proxy, whose log may be what has changed.
fn turn(
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

fn looks(project: &Project) -> Looks {
    let mut looks = Looks::new();
    survey(&project.folder, &mut looks);
    looks.remove(&project.component());
    looks
}

/// Whether package managers write it, and authors hardly ever.
fn is_lock(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("lock")) || path.ends_with("package-lock.json")
}

/// Whether it is a log, `NAME.log`: the proxy's perhaps, which changes with each request.
fn is_log(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("log"))
}

fn survey(folder: &Path, looks: &mut Looks) {
    // What is gone by now will be seen at the next event.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            if !BUILT.iter().any(|built| name == *built) {
                survey(&entry.path(), looks);
            }
        } else if metadata.is_file()
            && !name.as_encoded_bytes().starts_with(b".tmp")
            && !is_log(&entry.path())
            && let Ok(contents) = std::fs::read(entry.path())
        {
            let mut hasher = DefaultHasher::new();
            hasher.write(&contents);
            looks.insert(entry.path(), hasher.finish());
        }
    }
}

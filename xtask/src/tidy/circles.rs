//! No circles among the files of a crate, and the order of modules within a folder.
//!
//! Owns the tables. To give a folder an order, add a line to [`ORDERS`]. To remove an exception,
//! fix the import and delete its line: an exception that is no longer needed is a complaint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::code_of;
use super::imports::{Graph, Module};

/// The folders whose files must not import each other in a circle: the sources of one crate each.
const CRATES: &[&str] = &["proxy/src", "sdk/rust/src", "xtask/src"];

/// Folders whose modules have an order, from the outermost inwards: each module imports only the
/// folder's modules after it.
const ORDERS: &[(&str, &[&str])] = &[
    ("proxy/src/plugin", &["run", "compile"]),
    (
        "proxy/src/plugin/run",
        &[
            "snapshot",
            "instance",
            "load",
            "footprint",
            "code",
            "link",
            "growth",
            "engine",
            "contract",
            "wasi",
            "host",
            "resolve",
            "draft",
            "convert",
            "describe",
            "request",
            "reads",
            "decision",
            "backends",
            "log",
            "fault",
            "limits",
            "backtrace",
            "bindings",
            "ticker",
        ],
    ),
    (
        "proxy/src/plugin/compile",
        &[
            "compiler",
            "process",
            "work",
            "code",
            "sandbox",
            "system_calls",
            "error",
            "limits",
            "tunables",
            "cache",
            "encode",
        ],
    ),
    (
        "proxy/src/control",
        &[
            "worker_events",
            "watcher",
            "servers",
            "reload",
            "tables",
            "certificates",
            "replacement",
            "rollback",
            "rollouts",
            "swap",
            "view",
            "attempt",
            "state",
            "pending",
            "changes",
            "worker_configs",
            "error",
            "superseded",
            "prepared",
            "backends",
            "stages",
            "acme_sites",
            "listeners",
        ],
    ),
    (
        "proxy/src/process",
        &[
            "start",
            "drain",
            "signals",
            "reload",
            "upgrade",
            "handle",
            "admin_sockets",
            "inheritance",
            "sockets",
            "socket_access",
            "workers",
            "user_files",
            "folder",
            "error",
            "limits",
            "survey",
            "privileges",
            "sd_notify",
            "dedicated_thread",
        ],
    ),
    (
        "proxy/src/rollout",
        &[
            "publish", "task", "versions", "ticket", "loader", "bundled", "backends",
        ],
    ),
    (
        "proxy/src/router",
        &[
            "stage",
            "local_version",
            "cache",
            "decision",
            "instance_queue",
            "progress",
            "reports",
            "rollout",
            "results",
            "version",
            "breaker",
            "stats",
        ],
    ),
    (
        "sdk/rust/src",
        &[
            "testing",
            "guest",
            "request",
            "questions",
            "config",
            "backends",
            "clock",
            "head",
            "bindings",
            "decision",
            "log",
            "matching",
            "network",
            "random",
            "error",
            "syntax",
        ],
    ),
    (
        "xtask/src",
        &[
            "bench", "test", "fuzz", "plugins", "tidy", "paths", "setup", "terminal",
        ],
    ),
    (
        "xtask/src/bench",
        &[
            "session",
            "run",
            "origin",
            "report",
            "aims",
            "results",
            "load",
            "selection",
            "settings",
            "workloads",
            "peers",
            "guests",
            "process",
            "measure",
            "sink",
            "websocket",
            "tools",
        ],
    ),
];

/// Imports that break the rules until they are fixed: importer, imported.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A store's data contains its WASI state, and WASI functions are called with that data.
    (
        "proxy/src/plugin/run/host.rs",
        "proxy/src/plugin/run/wasi.rs",
    ),
];

/// The files of a crate, each with those that it imports.
type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// Adds a complaint for each circle, each import that breaks an order, and each unused exception.
pub(super) fn check(files: &[(PathBuf, String)], complaints: &mut Vec<String>) {
    let mut exceptions: BTreeSet<_> = EXCEPTIONS.iter().collect();
    for source in CRATES {
        let mut imports = imports(Path::new(source), files);
        for exception in EXCEPTIONS {
            let targets = imports.get_mut(Path::new(exception.0));
            if targets.is_some_and(|targets| targets.remove(Path::new(exception.1))) {
                exceptions.remove(exception);
            }
        }
        for circle in circles(&imports) {
            complaints.push(format!("these import each other: {}", shown(&circle)));
        }
        for (folder, modules) in ORDERS {
            if Path::new(folder).starts_with(source) {
                check_order(Path::new(folder), modules, &imports, complaints);
            }
        }
    }
    for (importer, imported) in exceptions {
        complaints.push(format!(
            "{importer} no longer imports {imported}: delete the exception"
        ));
    }
}

fn imports(source: &Path, files: &[(PathBuf, String)]) -> Imports {
    let files: BTreeMap<PathBuf, String> = files
        .iter()
        .filter(|(file, _)| file.starts_with(source))
        .map(|(file, text)| (file.clone(), code_of(text)))
        .collect();
    let graph = Graph::new(source, &files);
    let file = |module: &Module| {
        if module.is_empty() {
            let library = source.join("lib.rs");
            return if files.contains_key(&library) {
                library
            } else {
                source.join("main.rs")
            };
        }
        source
            .join(module.iter().collect::<PathBuf>())
            .with_extension("rs")
    };
    let imports = graph.imports.iter();
    imports
        .map(|(module, targets)| (file(module), targets.iter().map(file).collect()))
        .collect()
}

/// Returns the shortest circle through each file that is in one, each circle once.
fn circles(imports: &Imports) -> Vec<Vec<&Path>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for file in imports.keys() {
        if !seen.contains(file.as_path())
            && let Some(circle) = circle_through(imports, file)
        {
            seen.extend(circle.iter().copied());
            found.push(circle);
        }
    }
    found
}

fn circle_through<'a>(imports: &'a Imports, start: &'a Path) -> Option<Vec<&'a Path>> {
    let mut importers: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for target in imports.get(file).into_iter().flatten() {
            if target == start {
                let mut circle = vec![file];
                while let Some(importer) = importers.get(circle[circle.len() - 1]) {
                    circle.push(importer);
                }
                circle.reverse();
                return Some(circle);
            }
            if !importers.contains_key(target.as_path()) {
                importers.insert(target, file);
                next.push_back(target);
            }
        }
    }
    None
}

fn shown(circle: &[&Path]) -> String {
    let files: Vec<_> = circle
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(", ")
}

fn check_order(folder: &Path, modules: &[&str], imports: &Imports, complaints: &mut Vec<String>) {
    for (file, targets) in imports {
        let Some(module) = module_in(folder, file) else {
            continue;
        };
        let Some(place) = modules.iter().position(|known| *known == module) else {
            complaints.push(format!(
                "{}: `{module}` has no place in the order of {}: add it to xtask/src/tidy/circles.rs",
                file.display(),
                folder.display()
            ));
            continue;
        };
        for target in targets {
            let other = module_in(folder, target);
            if other.is_some_and(|other| modules[..place].contains(&other)) {
                complaints.push(format!(
                    "{} must not import {}, which comes before it in the order of {}",
                    file.display(),
                    target.display(),
                    folder.display()
                ));
            }
        }
    }
}

/// Returns the folder's own module that the file belongs to; `None` for files elsewhere, and for
/// the crate's root, which contains all of them.
fn module_in<'a>(folder: &Path, file: &'a Path) -> Option<&'a str> {
    let first = file.strip_prefix(folder).ok()?.iter().next()?.to_str()?;
    let module = first.trim_end_matches(".rs");
    (module != "lib" && module != "main").then_some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports_of(files: &[(&str, &[&str])]) -> Imports {
        files
            .iter()
            .map(|(file, targets)| {
                let targets = targets.iter().map(PathBuf::from).collect();
                (PathBuf::from(file), targets)
            })
            .collect()
    }

    #[test]
    fn circles_of_any_length() {
        let imports = imports_of(&[
            ("a", &["b", "d"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("d", &[]),
            ("e", &["a", "f"]),
            ("f", &["e"]),
        ]);
        let found: Vec<String> = circles(&imports).iter().map(|one| shown(one)).collect();
        assert_eq!(found, ["a, b, c", "e, f"]);
    }

    #[test]
    fn an_order_is_kept() {
        let imports = imports_of(&[
            ("x/src/plugin.rs", &["x/src/plugin/load.rs"]),
            ("x/src/plugin/load.rs", &["x/src/plugin/run/a.rs"]),
            ("x/src/plugin/run.rs", &["x/src/plugin.rs", "x/src/http.rs"]),
            ("x/src/plugin/run/a.rs", &["x/src/plugin/load.rs"]),
            ("x/src/plugin/new.rs", &[]),
        ]);
        let mut found = Vec::new();
        let folder = Path::new("x/src/plugin");
        check_order(folder, &["load", "run"], &imports, &mut found);
        assert_eq!(
            found,
            [
                "x/src/plugin/new.rs: `new` has no place in the order of x/src/plugin: add it to xtask/src/tidy/circles.rs",
                "x/src/plugin/run/a.rs must not import x/src/plugin/load.rs, which comes before it in the order of x/src/plugin",
            ]
        );
    }

    #[test]
    fn files_that_import_each_other() {
        let files: Vec<(PathBuf, String)> = [
            ("xtask/src/main.rs", "mod fuzz;\nmod test;\n"),
            ("xtask/src/fuzz.rs", "use crate::test::Paths;\n"),
            ("xtask/src/test.rs", "use crate::fuzz;\n"),
        ]
        .map(|(file, text)| (PathBuf::from(file), text.to_owned()))
        .into();
        let mut found = Vec::new();
        check(&files, &mut found);
        found.retain(|complaint| !complaint.ends_with("delete the exception"));
        assert_eq!(
            found,
            [
                "these import each other: xtask/src/fuzz.rs, xtask/src/test.rs",
                "xtask/src/fuzz.rs must not import xtask/src/test.rs, which comes before it in the order of xtask/src",
            ]
        );
    }
}

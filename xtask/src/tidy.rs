//! `cargo xtask tidy`: the layout rules that neither rustc nor clippy checks.
//!
//! - modules of the proxy import only downwards (the table [`LAYERS`]);
//! - wasmtime stays inside `plugin`;
//! - every module says at its top what it is for;
//! - no file is longer than [`MAX_LINES`], none is named `mod.rs`.
//!
//! Reads the sources as text, so it also sees code that the current target leaves out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Longest source file. Half of it is the aim: past that, a file has two responsibilities.
const MAX_LINES: usize = 800;

/// The proxy's modules from the outermost inwards, each with those it may import besides
/// [`LEAVES`]. A module that is missing here is an error: decide where it belongs.
const LAYERS: &[(&str, Imports)] = &[
    ("lib", Imports::Anything),
    ("main", Imports::Anything),
    ("cli", Imports::Anything),
    ("demo", Imports::Below("server")),
    ("authoring", Imports::Only(&["plugin", "router"])),
    ("server", Imports::Below("server")),
    ("worker", Imports::Below("worker")),
    ("listener", Imports::Below("listener")),
    ("connection", Imports::Below("connection")),
    ("request", Imports::Below("request")),
    // The stages of a request do not know each other; what moves bytes holds a lease, and
    // tells the transaction how it went.
    ("tunnel", Imports::Only(&["upstream"])),
    ("forward", Imports::Only(&["downstream", "upstream"])),
    (
        "downstream",
        Imports::Only(&["router", "tunnel", "upstream"]),
    ),
    ("upstream", Imports::Only(&[])),
    ("router", Imports::Only(&["plugin"])),
    ("plugin", Imports::Only(&[])),
];

/// Importable by all; they import nothing but each other.
const LEAVES: &[&str] = &[
    "config",
    "http",
    "memory",
    "places",
    "shutdown",
    "spawn",
    "stream",
    "telemetry",
    "timer",
];

/// The one module that may name wasmtime.
const PLUGIN: &str = "plugin";

#[derive(Clone, Copy)]
enum Imports {
    Anything,
    /// Every module after the named one in the table, and that one itself.
    Below(&'static str),
    Only(&'static [&'static str]),
}

/// Checks every Rust source of the workspace.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = crate::test::root()?;
    let mut complaints = Vec::new();
    let mut count = 0;
    for directory in ["proxy", "sdk", "plugins", "tests", "xtask"] {
        for file in sources(&root.join(directory))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let file = file.strip_prefix(&root)?;
            check(file, &text, &mut complaints);
            count += 1;
        }
    }
    if complaints.is_empty() {
        crate::test::say(&format!("{count} files are tidy"));
        return Ok(());
    }
    complaints.sort();
    bail!("{}", complaints.join("\n"))
}

/// Every `.rs` file below a directory, but for what is built or generated.
fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && name != "gen" {
                found.extend(sources(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Adds a complaint for each rule that the file breaks.
fn check(file: &Path, text: &str, complaints: &mut Vec<String>) {
    let shown = file.display();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        complaints.push(format!("{shown}: {lines} lines, at most {MAX_LINES}"));
    }
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        complaints.push(format!("{shown}: name it after its directory, beside it"));
    }
    if !text.starts_with("//!") {
        complaints.push(format!(
            "{shown}: open with `//!`: what it owns, what it must not do, who calls it"
        ));
    }
    if let Ok(inside) = file.strip_prefix("proxy/src") {
        check_layers(inside, text, &mut |number, complaint| {
            complaints.push(format!("{shown}:{number}: {complaint}"));
        });
    }
}

/// Checks what one of the proxy's modules imports.
fn check_layers(inside: &Path, text: &str, complain: &mut dyn FnMut(usize, String)) {
    let first = inside.iter().next().unwrap_or_default().to_string_lossy();
    let module = first.trim_end_matches(".rs");
    let code = code_of(text);
    if module != PLUGIN {
        for (at, _) in code.match_indices("wasmtime") {
            // A name of our own, such as a log target's, is no path into the crate.
            let is_path = code[at..].starts_with("wasmtime::")
                || code[at..].starts_with("wasmtime_wasi")
                || code[..at].ends_with("use ");
            if is_path {
                complain(
                    line_of(&code, at),
                    format!("only `{PLUGIN}` knows wasmtime"),
                );
            }
        }
    }
    if !is_known(module) {
        complain(
            1,
            format!("`{module}` has no place in the layers: add it to xtask/src/tidy.rs"),
        );
        return;
    }
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` are no imports of ours.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || "_$".contains(before)) {
            continue;
        }
        for import in first_segments(&code[at + "crate::".len()..]) {
            if !may_import(module, import) {
                complain(
                    line_of(&code, at),
                    format!("`{module}` must not import `{import}`"),
                );
            }
        }
    }
}

fn is_known(module: &str) -> bool {
    LEAVES.contains(&module) || LAYERS.iter().any(|(name, _)| *name == module)
}

/// Whether the layers allow `module` to import `import`.
fn may_import(module: &str, import: &str) -> bool {
    // Items of the crate's root, macros among them, are in no layer.
    if import == module || !is_known(import) || LEAVES.contains(&import) {
        return true;
    }
    let place = |module| LAYERS.iter().position(|(name, _)| *name == module);
    match LAYERS.iter().find(|(name, _)| *name == module) {
        Some((_, Imports::Anything)) => true,
        Some((_, Imports::Below(top))) => place(import) >= place(top),
        Some((_, Imports::Only(allowed))) => allowed.contains(&import),
        // A leaf, which imports nothing from the layers.
        None => false,
    }
}

/// The text with comments and string literals blanked, lines and offsets kept.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut in_string = false;
        let mut escaped = false;
        for (at, c) in line.char_indices() {
            if !in_string && line[at..].starts_with("//") {
                code.extend(line[at..].chars().map(|c| if c == '\n' { c } else { ' ' }));
                break;
            }
            match c {
                '"' if !escaped => in_string = !in_string,
                _ if in_string && c != '\n' => {
                    escaped = c == '\\' && !escaped;
                    code.push(' ');
                    continue;
                }
                _ => {}
            }
            escaped = false;
            code.push(c);
        }
    }
    code
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The first segments after `crate::`: one, or those of a group in braces.
fn first_segments(after: &str) -> Vec<&str> {
    let Some(group) = after.strip_prefix('{') else {
        return vec![identifier(after)];
    };
    let mut segments = Vec::new();
    let mut depth = 0usize;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                segments.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

fn identifier(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(file: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(Path::new(file), text, &mut found);
        found
    }

    #[test]
    fn layers() {
        let check = |file: &str, code: &str, expected: &[&str]| {
            let found = complaints(file, &format!("//! x\n{code}\n"));
            assert_eq!(found, expected, "{file}: {code}");
        };
        check("proxy/src/server.rs", "use crate::worker::Worker;", &[]);
        check("proxy/src/worker.rs", "use crate::config::Config;", &[]);
        check("proxy/src/request/admit.rs", "use crate::request::X;", &[]);
        check("proxy/src/forward.rs", "use crate::upstream::Lease;", &[]);
        check("proxy/src/plugin/host.rs", "use wasmtime::Store;", &[]);
        check("proxy/src/router.rs", "// as crate::server does", &[]);
        check("proxy/src/router.rs", "x(\"crate::server\");", &[]);
        check(
            "proxy/src/upstream.rs",
            "use crate::plugin::Instance;",
            &["proxy/src/upstream.rs:2: `upstream` must not import `plugin`"],
        );
        check(
            "proxy/src/http/head.rs",
            "use crate::{config::X, request::{a, b}, telemetry};",
            &["proxy/src/http/head.rs:2: `http` must not import `request`"],
        );
        check(
            "proxy/src/router.rs",
            "\nfn f() -> wasmtime::Store { crate::server::g() }",
            &[
                "proxy/src/router.rs:3: only `plugin` knows wasmtime",
                "proxy/src/router.rs:3: `router` must not import `server`",
            ],
        );
        check(
            "proxy/src/manager.rs",
            "",
            &[
                "proxy/src/manager.rs:1: `manager` has no place in the layers: add it to xtask/src/tidy.rs",
            ],
        );
    }

    #[test]
    fn files() {
        let long = "//! x\n".repeat(MAX_LINES + 1);
        assert_eq!(complaints("sdk/src/a.rs", &long).len(), 1);
        assert_eq!(complaints("sdk/src/a/mod.rs", "//! x\n").len(), 1);
        assert_eq!(complaints("sdk/src/a.rs", "use a;\n").len(), 1);
        assert_eq!(complaints("sdk/src/a.rs", "//! x\n"), [] as [&str; 0]);
    }
}

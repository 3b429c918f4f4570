//! The imports that each of the proxy's modules is allowed, and the modules that can name wasmtime
//! and rustls.
//!
//! Owns the table of layers. Looks at every path into the crate, anywhere in a file.

use std::path::Path;

use super::code_of;

/// The proxy's layers from the outermost inwards: each imports only those after it, and [`LEAVES`].
/// A module that is missing here is an error: decide where it belongs.
const LAYERS: &[(&str, Imports)] = &[
    ("lib", Imports::Anything),
    ("main", Imports::Anything),
    ("cli", Imports::Below),
    ("demo", Imports::Below),
    ("fuzzing", Imports::Below),
    (
        "plugin_tools",
        Imports::Only(&["router", "plugin", "questions", "tables", "http"]),
    ),
    ("process", Imports::Below),
    ("admin", Imports::Below),
    ("control", Imports::Below),
    ("rollout", Imports::Below),
    ("worker", Imports::Below),
    ("sites", Imports::Only(&["transport"])),
    ("downstream", Imports::Below),
    ("request", Imports::Below),
    (
        "frontend",
        Imports::Only(&["router", "plugin", "upstream", "acme", "http", "transport"]),
    ),
    ("tunnel", Imports::Only(&["upstream", "http2", "transport"])),
    (
        "router",
        Imports::Only(&["plugin", "questions", "tables", "http"]),
    ),
    ("plugin", Imports::Only(&["questions", "tables", "http"])),
    ("questions", Imports::Only(&["tables", "http"])),
    ("tables", Imports::Only(&[])),
    ("upstream", Imports::Below),
    ("acme", Imports::Only(&["transport"])),
    ("http2", Imports::Below),
    ("wire", Imports::Below),
    ("http1", Imports::Only(&["http"])),
    ("http", Imports::Below),
    ("transport", Imports::Below),
];

/// Modules that all others can import; they import only each other.
const LEAVES: &[&str] = &[
    "config",
    "connection_limiter",
    "memory",
    "shutdown",
    "spawn",
    "telemetry",
    "timer",
];

/// Crates that only one module can name.
const CRATES: &[(&str, &str)] = &[("wasmtime", "plugin"), ("rustls", "transport")];

#[derive(Clone, Copy)]
enum Imports {
    Anything,
    /// Every module after it in the table.
    Below,
    /// Only these modules after it.
    Only(&'static [&'static str]),
}

/// Checks the imports of one of the proxy's modules.
pub(super) fn check(inside: &Path, text: &str, complain: &mut dyn FnMut(usize, String)) {
    let first = inside.iter().next().unwrap_or_default().to_string_lossy();
    let module = first.trim_end_matches(".rs");
    let code = code_of(text);
    for (name, only) in CRATES.iter().filter(|(_, only)| *only != module) {
        for (at, _) in code.match_indices(name) {
            // Where the name stands for something else, such as a log target, it is not an import.
            let after = &code[at + name.len()..];
            let is_path = after.starts_with("::")
                || after.starts_with("_wasi")
                || code[..at].ends_with("use ");
            if is_path {
                complain(line_of(&code, at), format!("only `{only}` may use {name}"));
            }
        }
    }
    if !is_known(module) {
        complain(
            1,
            format!("`{module}` has no place in the layers: add it to xtask/src/tidy/layers.rs"),
        );
        return;
    }
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` are not imports of this crate.
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

/// Returns whether the layers allow `module` to import `import`.
fn may_import(module: &str, import: &str) -> bool {
    // Items of the crate's root, including macros, are in no layer.
    if import == module || !is_known(import) || LEAVES.contains(&import) {
        return true;
    }
    let place = |module| LAYERS.iter().position(|(name, _)| *name == module);
    match LAYERS.iter().find(|(name, _)| *name == module) {
        Some((_, Imports::Anything)) => true,
        Some((_, Imports::Below)) => place(import) > place(module),
        Some((_, Imports::Only(allowed))) => {
            place(import) > place(module) && allowed.contains(&import)
        }
        // A leaf, which imports nothing from the layers.
        None => false,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Returns the first segments after `crate::`: one, or those of a group in braces.
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

    #[test]
    fn layers() {
        let check = |file: &str, code: &str, expected: &[&str]| {
            let mut found = Vec::new();
            let inside = Path::new(file).strip_prefix("proxy/src").unwrap();
            super::check(
                inside,
                &format!("//! x\n{code}\n"),
                &mut |number, complaint| {
                    found.push(format!("{file}:{number}: {complaint}"));
                },
            );
            assert_eq!(found, expected, "{file}: {code}");
        };
        check("proxy/src/process.rs", "use crate::worker::Worker;", &[]);
        check("proxy/src/wire.rs", "use crate::http1::Scan;", &[]);
        check("proxy/src/worker.rs", "use crate::config::Config;", &[]);
        check("proxy/src/request/admit.rs", "use crate::request::X;", &[]);
        check("proxy/src/request.rs", "use crate::upstream::Lease;", &[]);
        check("proxy/src/plugin/run/host.rs", "use wasmtime::Store;", &[]);
        check("proxy/src/transport/tls.rs", "use rustls::Error;", &[]);
        check(
            "proxy/src/upstream.rs",
            "use rustls::ServerConfig;",
            &["proxy/src/upstream.rs:2: only `transport` may use rustls"],
        );
        check("proxy/src/router.rs", "// as crate::process does", &[]);
        check("proxy/src/router.rs", "x(\"crate::process\");", &[]);
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
            "\nfn f() -> wasmtime::Store { crate::process::g() }",
            &[
                "proxy/src/router.rs:3: only `plugin` may use wasmtime",
                "proxy/src/router.rs:3: `router` must not import `process`",
            ],
        );
        check(
            "proxy/src/control/swap.rs",
            "use crate::process::Process;",
            &["proxy/src/control/swap.rs:2: `control` must not import `process`"],
        );
        check(
            "proxy/src/manager.rs",
            "",
            &[
                "proxy/src/manager.rs:1: `manager` has no place in the layers: add it to xtask/src/tidy/layers.rs",
            ],
        );
    }
}

//! `cargo xtask tidy`: the layout rules that neither rustc nor clippy checks.
//!
//! - modules of the proxy import only downwards, and wasmtime stays inside `plugin` ([`layers`]);
//! - files of one crate do not import each other in a circle, and where the modules of a folder
//!   have an order, they keep it ([`circles`]);
//! - every module states its purpose at its top;
//! - no file is longer than [`MAX_LINES`], none is named `mod.rs`.
//!
//! Reads the sources as text, so it also sees code that the current target leaves out.

mod circles;
mod imports;
mod layers;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Maximum lines of a source file. Aim for half of it: a longer file has two responsibilities.
const MAX_LINES: usize = 800;

/// Checks every Rust source of the workspace.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = crate::place::root()?;
    let mut complaints = Vec::new();
    let mut files = Vec::new();
    for directory in ["proxy", "sdk", "plugins", "tests", "xtask"] {
        for file in sources(&root.join(directory))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let file = file.strip_prefix(&root)?;
            check(file, &text, &mut complaints);
            files.push((file.to_owned(), text));
        }
    }
    circles::check(&files, &mut complaints);
    if complaints.is_empty() {
        crate::terminal::say(&format!("{} files are tidy", files.len()));
        return Ok(());
    }
    complaints.sort();
    bail!("{}", complaints.join("\n"))
}

/// Returns every `.rs` file below a directory, except built or generated ones.
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
        layers::check(inside, text, &mut |number, complaint| {
            complaints.push(format!("{shown}:{number}: {complaint}"));
        });
    }
}

/// Returns the text with comments and string literals blanked; lines and offsets stay the same.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(file: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(Path::new(file), text, &mut found);
        found
    }

    #[test]
    fn files() {
        let long = "//! x\n".repeat(MAX_LINES + 1);
        assert_eq!(complaints("sdk/rust/src/a.rs", &long).len(), 1);
        assert_eq!(complaints("sdk/rust/src/a/mod.rs", "//! x\n").len(), 1);
        assert_eq!(complaints("sdk/rust/src/a.rs", "use a;\n").len(), 1);
        assert_eq!(complaints("sdk/rust/src/a.rs", "//! x\n"), [] as [&str; 0]);
    }
}

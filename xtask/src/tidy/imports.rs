//! For each file of a crate, the files that it imports, according to its `use` declarations.
//!
//! Owns the parsing of `use` and the resolution of its paths to files. An item that a module only
//! re-exports belongs to the file that defines it: an import of the facade `plugin::Fault` is one
//! of `plugin/fault.rs`. Reads only declarations of modules, which rustfmt puts at the start of a
//! line. Paths inside functions and imports of tests are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module's path within its crate; empty for the root.
pub(super) type Module = Vec<String>;

/// The modules of one crate, each with those that it imports.
pub(super) struct Graph {
    pub(super) imports: BTreeMap<Module, BTreeSet<Module>>,
}

/// One name that a `use` declaration imports.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    path: Vec<String>,
    /// The local name.
    name: String,
    visibility: Visibility,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Private,
    /// `pub`, with any restriction: a re-export.
    Public,
}

/// The modules of a crate, with the imports of their files.
type Modules = BTreeMap<Module, Vec<Import>>;

impl Graph {
    /// Builds the graph of the crate whose root file is in the folder `source`.
    ///
    /// `files` are those of the workspace, with comments and literals blanked in their text.
    pub(super) fn new(source: &Path, files: &BTreeMap<PathBuf, String>) -> Graph {
        let mut modules = Modules::new();
        for (file, code) in files {
            let inside = file.strip_prefix(source);
            if let Some(module) = inside.ok().and_then(module_of) {
                modules.insert(module, imports_of(code));
            }
        }
        let mut imports = BTreeMap::new();
        for (module, uses) in &modules {
            let mut targets = BTreeSet::new();
            for import in uses {
                let mut homes = BTreeSet::new();
                find_homes(&modules, module, &import.path, 0, &mut homes);
                // A facade that re-exports an item of its own child does not thereby depend on the
                // child.
                if import.visibility == Visibility::Public {
                    homes.retain(|home| !home.starts_with(module));
                }
                targets.extend(homes);
            }
            targets.remove(module);
            imports.insert(module.clone(), targets);
        }
        Graph { imports }
    }
}

/// Returns the module of a file; `None` for tests, which can import anything.
fn module_of(inside: &Path) -> Option<Module> {
    let path = inside.with_extension("");
    let mut module: Module = path
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if module.iter().any(|name| name == "tests") {
        return None;
    }
    if module == ["lib"] || module == ["main"] {
        module.clear();
    }
    Some(module)
}

/// Returns the `use` declarations of a file's module.
fn imports_of(code: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut offset = 0;
    let mut is_test = false;
    for line in code.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let (visibility, after) = match line.strip_prefix("pub") {
            Some(after) => {
                let after = after.trim_start_matches(|c| c != ' ');
                (Visibility::Public, after.trim_start())
            }
            None => (Visibility::Private, line),
        };
        if let Some(tree) = after.strip_prefix("use ")
            && !is_test
        {
            let start = start + line.len() - tree.len();
            let tree = code[start..].split(';').next().unwrap_or_default();
            expand(tree, &[], visibility, &mut imports);
        }
        is_test = line.starts_with("#[cfg(test)]");
    }
    imports
}

/// Adds every name of a use tree: `a::{b, c::{self, d as e}}`.
fn expand(tree: &str, before: &[String], visibility: Visibility, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, Some(group.trim_end().trim_end_matches('}'))),
        None => (tree, None),
    };
    let (head, alias) = match head.split_once(" as ") {
        Some((head, alias)) => (head, Some(alias.trim())),
        None => (head, None),
    };
    let mut path = before.to_vec();
    let segments = head.split("::").map(str::trim);
    path.extend(
        segments
            .filter(|segment| !segment.is_empty())
            .map(ToOwned::to_owned),
    );
    if let Some(group) = group {
        for tree in split(group) {
            expand(tree, &path, visibility, imports);
        }
        return;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last() {
        let name = alias.unwrap_or(last).to_owned();
        imports.push(Import {
            path,
            name,
            visibility,
        });
    }
}

/// Splits a group at its commas.
fn split(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members.push(&group[start..]);
    members
}

/// Adds the modules whose files define the item that `path` names, seen from the module `from`.
/// There are several if the definition depends on the target, and none if the item belongs to
/// another crate.
fn find_homes(
    modules: &Modules,
    from: &Module,
    path: &[String],
    depth: usize,
    homes: &mut BTreeSet<Module>,
) {
    // A longer chain of re-exports would be a circle.
    const MAX_DEPTH: usize = 8;
    let Some((mut module, mut rest)) = start_of(modules, from, path) else {
        return;
    };
    while let Some((first, after)) = rest.split_first() {
        let child = child_of(&module, first);
        if modules.contains_key(&child) {
            module = child;
            rest = after;
            continue;
        }
        let known = homes.len();
        let imports = modules.get(&module).map_or(&[][..], Vec::as_slice);
        for import in imports {
            let is_export = import.visibility == Visibility::Public && import.name == *first;
            if is_export && depth < MAX_DEPTH {
                let path = [import.path.as_slice(), after].concat();
                find_homes(modules, &module, &path, depth + 1, homes);
            }
        }
        if homes.len() > known {
            return;
        }
        break;
    }
    homes.insert(module);
}

/// Returns the module that the first segments of `path` name, and the rest of the path.
fn start_of<'a>(
    modules: &Modules,
    from: &Module,
    path: &'a [String],
) -> Option<(Module, &'a [String])> {
    let (first, after) = path.split_first()?;
    match first.as_str() {
        "crate" => Some((Module::new(), after)),
        "self" | "super" => {
            let mut module = from.clone();
            let mut rest = path;
            while let Some((first, after)) = rest.split_first() {
                match first.as_str() {
                    "self" => {}
                    "super" => drop(module.pop()?),
                    _ => break,
                }
                rest = after;
            }
            Some((module, rest))
        }
        // The path starts at a child, or belongs to another crate.
        _ if modules.contains_key(&child_of(from, first)) => Some((from.clone(), path)),
        _ => None,
    }
}

fn child_of(module: &Module, name: &str) -> Module {
    let mut child = module.clone();
    child.push(name.to_owned());
    child
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Vec<String> {
        let files = files
            .iter()
            .map(|(file, code)| (PathBuf::from(file), (*code).to_owned()))
            .collect();
        let graph = Graph::new(Path::new("x/src"), &files);
        let mut found = Vec::new();
        for (module, targets) in graph.imports {
            for target in targets {
                found.push(format!("{} -> {}", module.join("::"), target.join("::")));
            }
        }
        found
    }

    #[test]
    fn declarations() {
        let names = |code: &str| -> Vec<String> {
            let imports = imports_of(code);
            imports
                .iter()
                .map(|import| format!("{} {}", import.path.join("::"), import.name))
                .collect()
        };
        assert_eq!(
            names("use a::b;\npub(crate) use c::{self, d as e,\n    f::{g, h}};\n"),
            ["a::b b", "c c", "c::d e", "c::f::g g", "c::f::h h"]
        );
        assert_eq!(
            names("#[cfg(test)]\nuse a::b;\nfn f() {\n    use c::d;\n}\n"),
            [""; 0]
        );
        assert_eq!(names("pub fn use_it() {}\npublic!();\nuser();\n"), [""; 0]);
    }

    #[test]
    fn paths_lead_to_files() {
        let found = graph(&[
            ("x/src/lib.rs", "pub mod a;\nmod b;\npub use a::Facade;\n"),
            (
                "x/src/a.rs",
                "mod c;\npub use self::c::Facade;\nuse std::fs;\n",
            ),
            (
                "x/src/a/c.rs",
                "use super::super::b::B;\nuse crate::a::tests::T;\n",
            ),
            ("x/src/a/tests.rs", "use crate::b;\n"),
            (
                "x/src/b.rs",
                "use crate::Facade;\nuse crate::a::{self, Own};\n",
            ),
            ("y/src/b.rs", "use crate::a;\n"),
        ]);
        assert_eq!(found, ["a::c -> a", "a::c -> b", "b -> a", "b -> a::c"]);
    }
}

//! New projects: the template of a language, its SDK and the contract.
//!
//! Owns the contents of a new project. The files are those of the repository, whose tests build
//! them. Called by `pointsman plugin new`.

mod files;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::component::WIT;
use super::project::{self, Language, ProjectError};

/// Placeholder for the plugin's name in a template.
const PLACEHOLDER: &str = "my-plugin";

/// Test cases that the plugin of every template passes.
const CASES: &str = include_str!("../../../sdk/cases.toml");

/// Reasons why no project was created.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The name is not valid for a plugin.
    #[error(transparent)]
    Name(#[from] ProjectError),
    /// The folder exists already and is not empty.
    #[error("{} already exists and is not empty", .0.display())]
    Occupied(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Writes a new project to `folder`. Creates the folder if necessary; an existing one must be
/// empty.
///
/// # Errors
/// [`TemplateError`]; files written before the error stay.
pub fn write(language: Language, name: &str, folder: &Path) -> Result<(), TemplateError> {
    project::check_name(name)?;
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(TemplateError::Occupied(folder.to_owned()));
    }
    let files = files::of(language);
    for (path, contents) in files.template.files {
        match str::from_utf8(contents) {
            Ok(text) => {
                let text = text.replace(PLACEHOLDER, name);
                put(&folder.join(path), text.as_bytes())?;
            }
            Err(_) => put(&folder.join(path), contents)?,
        }
    }
    for (path, contents) in files.sdk.files {
        put(&folder.join("sdk").join(path), contents)?;
    }
    // The Rust SDK is a crate, which must contain every file that it is built from.
    let contract = match language {
        Language::Rust => "sdk/wit/router.wit",
        _ => "wit/router.wit",
    };
    put(&folder.join(contract), WIT.as_bytes())?;
    put(&folder.join("cases.toml"), CASES.as_bytes())
}

fn put(path: &Path, contents: &[u8]) -> Result<(), TemplateError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, contents))
        .map_err(|source| TemplateError::Write {
            path: path.to_owned(),
            source,
        })
}

/// The template and the SDK of a language.
struct Files {
    template: Folder,
    sdk: Folder,
}

/// A folder of this repository.
struct Folder {
    /// Path relative to the workspace, which a test uses.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by a test alone"))]
    name: &'static str,
    /// Contents of the files by their paths within the folder.
    files: &'static [(&'static str, &'static [u8])],
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use super::*;

    /// Lists the files of a folder that belong to the repository.
    fn tracked(folder: &str) -> BTreeSet<String> {
        let output = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("..")
                    .join(folder),
            )
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Returns whether a file of an SDK's folder is not copied to projects: it is for developers of
    /// the SDK.
    fn stays(path: &str) -> bool {
        let top = path.split('/').next().unwrap_or(path);
        let is_test_file = path.ends_with("_test.go") || path.ends_with("/tests.rs");
        let is_test = ["tests", "test"].contains(&top) || is_test_file;
        is_test || top.starts_with("template") || top == ".gitignore"
    }

    #[test]
    fn every_file_is_handed_out() {
        for language in Language::ALL {
            let files = files::of(language);
            let names = |folder: &Folder| -> BTreeSet<String> {
                folder
                    .files
                    .iter()
                    .map(|(path, _)| (*path).to_owned())
                    .collect()
            };
            assert_eq!(
                names(&files.template),
                tracked(files.template.name),
                "{language:?}"
            );
            let mut sdk = tracked(files.sdk.name);
            sdk.retain(|path| !stays(path));
            if language == Language::Rust {
                // The SDK folders of the other languages are inside the Rust SDK's folder.
                sdk.retain(|path| {
                    path.starts_with("src/") || ["Cargo.toml", "README.md"].contains(&path.as_str())
                });
            }
            assert_eq!(names(&files.sdk), sdk, "{language:?}");
        }
    }

    #[test]
    fn a_project_has_its_name_everywhere_and_nothing_is_overwritten() {
        for language in Language::ALL {
            let folder = tempfile::tempdir().unwrap();
            let project = folder.path().join("a-router");
            write(language, "a-router", &project).unwrap();
            let opened = crate::plugin_tools::project::Project::open(&project).unwrap();
            assert_eq!(opened.name, "a-router");
            let manifest = format!("language = \"{}\"", language.name());
            let text = std::fs::read_to_string(project.join("plugin.toml")).unwrap();
            assert!(text.contains(&manifest), "{text}");
            for (path, _) in files::of(language).template.files {
                let contents = std::fs::read(project.join(path)).unwrap();
                let text = String::from_utf8_lossy(&contents);
                assert!(!text.contains(PLACEHOLDER), "{language:?}: {path}");
            }
            let again = write(language, "a-router", &project).unwrap_err();
            assert!(matches!(again, TemplateError::Occupied(_)), "{again}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = write(Language::C, "A", folder.path()).unwrap_err();
        assert!(matches!(error, TemplateError::Name(_)), "{error}");
    }
}

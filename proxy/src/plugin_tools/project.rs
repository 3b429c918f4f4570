//! A plugin's project: a folder with a `plugin.toml`.
//!
//! Owns the format of that file and the names of languages. Called by `build` and `template`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// Name of the manifest, the file that makes a folder a project.
pub const MANIFEST: &str = "plugin.toml";

/// Maximum length of a plugin's name, which is also used for files, packages and modules.
const MAX_NAME: usize = 64;

/// A language whose tools `pointsman plugin build` supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// `rust`
    Rust,
    /// `javascript`
    JavaScript,
    /// `typescript`
    TypeScript,
    /// `python`
    Python,
    /// `go`
    Go,
    /// `c`
    C,
    /// `cpp`
    Cpp,
    /// `zig`
    Zig,
}

impl Language {
    /// Every language.
    pub const ALL: [Language; 8] = [
        Language::Rust,
        Language::JavaScript,
        Language::TypeScript,
        Language::Python,
        Language::Go,
        Language::C,
        Language::Cpp,
        Language::Zig,
    ];

    /// Returns the name used in `plugin.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::JavaScript => "javascript",
            Language::TypeScript => "typescript",
            Language::Python => "python",
            Language::Go => "go",
            Language::C => "c",
            Language::Cpp => "cpp",
            Language::Zig => "zig",
        }
    }

    /// Returns the language with that name.
    pub fn named(name: &str) -> Option<Language> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Reasons why a folder is not a project, or why no project can be created.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// There is no manifest, or it cannot be read.
    #[error(
        "{}: {source}; create a project with `pointsman plugin new`, or name a core module instead", path.display()
    )]
    Read {
        /// Path of the manifest.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The manifest is not TOML, or is not in this format.
    #[error("{}: {source}", path.display())]
    Format {
        /// Path of the manifest.
        path: PathBuf,
        /// Position and reason of the error.
        source: toml::de::Error,
    },
    /// The manifest defines no way to build the plugin, or more than one.
    #[error(
        "{}: give either `language`, or `build` (a command as a list) with `module` (the file that it writes)", path.display()
    )]
    Recipe {
        /// Path of the manifest.
        path: PathBuf,
    },
    /// The name would be rejected by some of the tools.
    #[error(
        "{0:?} is not a name for a plugin: begin with a lowercase letter and continue with lowercase letters, digits and single `-`, at most {MAX_NAME} characters"
    )]
    Name(String),
}

/// A plugin's project.
#[derive(Debug, PartialEq, Eq)]
pub struct Project {
    /// The project's folder.
    pub folder: PathBuf,
    /// Name of the plugin and of its component's file.
    pub name: String,
    /// How the project is built.
    pub recipe: Recipe,
}

/// How a project is built.
#[derive(Debug, PartialEq, Eq)]
pub enum Recipe {
    /// With the tools of this language.
    Language(Language),
    /// With a command that the project defines.
    Own {
        /// The program and its arguments.
        command: Vec<String>,
        /// Output of the command: a component or a core module, relative to the project.
        module: PathBuf,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    language: Option<Language>,
    build: Option<Vec<String>>,
    module: Option<PathBuf>,
}

impl Project {
    /// Opens the project in `folder`.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn open(folder: &Path) -> Result<Project, ProjectError> {
        // Tools run in this folder, and some of them are installed in it, so the path must be
        // absolute.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let path = folder.join(MANIFEST);
        match std::fs::read_to_string(&path) {
            Ok(text) => Project::parse(&folder, &text),
            Err(source) => Err(ProjectError::Read { path, source }),
        }
    }

    fn parse(folder: &Path, text: &str) -> Result<Project, ProjectError> {
        let path = folder.join(MANIFEST);
        let manifest: Manifest = match toml::from_str(text) {
            Ok(manifest) => manifest,
            Err(source) => return Err(ProjectError::Format { path, source }),
        };
        check_name(&manifest.name)?;
        let recipe = match (manifest.language, manifest.build, manifest.module) {
            (Some(language), None, None) => Recipe::Language(language),
            (None, Some(command), Some(module)) if !command.is_empty() => {
                Recipe::Own { command, module }
            }
            _ => return Err(ProjectError::Recipe { path }),
        };
        Ok(Project {
            folder: folder.to_owned(),
            name: manifest.name,
            recipe,
        })
    }

    /// Returns the path of the component that the build writes.
    pub fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }
}

/// Checks that the tools of every language accept `name`.
///
/// # Errors
/// [`ProjectError::Name`].
pub fn check_name(name: &str) -> Result<(), ProjectError> {
    let parts_are_good = name.split('-').all(|part| {
        let mut octets = part.bytes();
        !part.is_empty() && octets.all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit())
    });
    let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    if parts_are_good && begins_well && name.len() <= MAX_NAME {
        Ok(())
    } else {
        Err(ProjectError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_for_every_tool() {
        for name in ["a", "my-plugin", "a1-2b"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(MAX_NAME + 1);
        for name in [
            "", "A", "1a", "a_b", "a--b", "-a", "a-", "a/b", "..", "ä", &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_manifest_names_a_language_or_a_command() {
        let parse = |text: &str| Project::parse(Path::new("x"), text);
        for language in Language::ALL {
            let name = language.name();
            assert_eq!(Language::named(name), Some(language));
            let project = parse(&format!("name = \"a\"\nlanguage = \"{name}\"")).unwrap();
            assert_eq!(project.recipe, Recipe::Language(language));
            assert_eq!(project.component(), Path::new("x/a.wasm"));
        }
        let own = parse("name = \"a\"\nbuild = [\"make\"]\nmodule = \"a.wasm\"").unwrap();
        let command = vec!["make".to_owned()];
        let module = PathBuf::from("a.wasm");
        assert_eq!(own.recipe, Recipe::Own { command, module });
        for text in [
            "name = \"a\"",
            "name = \"a\"\nbuild = [\"make\"]",
            "name = \"a\"\nbuild = []\nmodule = \"a.wasm\"",
            "name = \"a\"\nlanguage = \"c\"\nmodule = \"a.wasm\"",
        ] {
            assert!(
                matches!(parse(text), Err(ProjectError::Recipe { .. })),
                "{text}"
            );
        }
        let error = parse("name = \"a\"\nlanguage = \"perl\"").unwrap_err();
        assert!(error.to_string().contains("typescript"), "{error}");
        let error = parse("name = \"A\"\nlanguage = \"c\"").unwrap_err();
        assert!(matches!(error, ProjectError::Name(_)), "{error}");
    }
}

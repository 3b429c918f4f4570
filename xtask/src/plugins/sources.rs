//! The stamp of a committed component: the sources and the compiler that it was built with.
//!
//! Owns the list of files that count as sources. `Cargo.lock` does not count: it changes for
//! reasons that have nothing to do with a plugin. Called by `plugins`.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// The origin of a component, as one line: `SOURCES COMPONENT COMPILER`.
///
/// The stamp belongs to one component: a build in another folder need not yield the same bytes,
/// because cargo hashes the paths of packages into the names of their symbols.
pub(super) struct Stamp {
    /// SHA-256 over names and contents of all sources, in lower-case hex.
    pub(super) sources: String,
    /// SHA-256 of the component, in lower-case hex.
    pub(super) component: String,
    /// Output of `rustc --version`.
    pub(super) compiler: String,
}

impl Stamp {
    /// Computes the stamp of the sources as they are on disk.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(super) fn of(
        workspace: &Path,
        plugin: &Path,
        component: &[u8],
        compiler: &str,
    ) -> anyhow::Result<Self> {
        let sdk = workspace.join("sdk/rust");
        let mut files = vec![plugin.join("Cargo.toml"), sdk.join("Cargo.toml")];
        for folder in [plugin.join("src"), sdk.join("src"), workspace.join("wit")] {
            collect(&folder, &mut files)?;
        }
        files.sort();
        let mut hash = Sha256::new();
        for file in &files {
            let name = file.strip_prefix(workspace).unwrap_or(file);
            let contents =
                fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            // Each part is hashed with its length, so that different trees cannot have the same
            // input.
            for part in [name.as_os_str().as_encoded_bytes(), &contents] {
                hash.update(u64::try_from(part.len())?.to_le_bytes());
                hash.update(part);
            }
        }
        Ok(Self {
            sources: hex(hash),
            component: digest(component),
            compiler: compiler.to_owned(),
        })
    }
}

/// Returns the SHA-256 of a component, in lower-case hex.
pub(super) fn digest(component: &[u8]) -> String {
    hex(Sha256::new().chain_update(component))
}

fn hex(hash: Sha256) -> String {
    let mut text = String::new();
    for octet in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.sources, self.component, self.compiler)
    }
}

impl FromStr for Stamp {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let mut parts = line.trim_end().splitn(3, ' ');
        let (Some(sources), Some(component), Some(compiler)) =
            (parts.next(), parts.next(), parts.next())
        else {
            bail!("not a line of `SOURCES COMPONENT COMPILER`");
        };
        Ok(Self {
            sources: sources.to_owned(),
            component: component.to_owned(),
            compiler: compiler.to_owned(),
        })
    }
}

/// Adds every file under `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in [
            ("plugin/Cargo.toml", "[package]"),
            ("plugin/src/lib.rs", "//! A plugin."),
            ("sdk/rust/Cargo.toml", "[package]"),
            ("sdk/rust/src/lib.rs", "//! The SDK."),
            ("wit/router.wit", "package a:b;"),
        ] {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, contents).unwrap();
        }
        folder
    }

    fn hash(workspace: &Path) -> String {
        Stamp::of(workspace, &workspace.join("plugin"), b"", "rustc")
            .unwrap()
            .sources
    }

    #[test]
    fn any_change_of_a_source_changes_the_hash() {
        let folder = workspace();
        let before = hash(folder.path());
        assert_eq!(before, hash(folder.path()));

        fs::write(folder.path().join("wit/router.wit"), "package a:c;").unwrap();
        let edited = hash(folder.path());
        assert_ne!(before, edited);

        let (old, new) = ("plugin/src/lib.rs", "plugin/src/main.rs");
        fs::rename(folder.path().join(old), folder.path().join(new)).unwrap();
        assert_ne!(edited, hash(folder.path()));
    }

    #[test]
    fn a_stamp_reads_back_as_written() {
        let line = "00ff ab01 rustc 1.96.0 (ac68faa20 2026-05-25)\n";
        let stamp: Stamp = line.parse().unwrap();
        assert_eq!(stamp.to_string(), line);
    }
}

//! Saves a table to its file: writes a temporary file in the same directory, syncs it and renames
//! it. Blocks.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::SaveError;
use super::load::Origin;
use super::table::Table;
use super::{csv, json};
use crate::config::{self, TableFormat};

/// A table in a temporary file, which is about to replace the table's own file in the same
/// directory.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    file: NamedTempFile,
    origin: Origin,
    /// Path as configured.
    path: &'a Path,
    /// Path after resolving symbolic links.
    target: PathBuf,
    /// Identity of the file that will be replaced.
    before: Origin,
}

impl<'a> Draft<'a> {
    /// Writes `table` to a temporary file with the mode and owner of the table's file. That file
    /// must still be the one described by `origin`.
    ///
    /// # Errors
    /// All of [`SaveError`] except [`SaveError::NoTable`].
    pub(super) fn write(
        table: &Table,
        config: &'a config::Table,
        origin: &Origin,
    ) -> Result<Draft<'a>, SaveError> {
        let path = &*config.file;
        let failed = |source| write_error(path, source);
        let before = seen_again(origin, path)?;
        let text = text(table, config.format);
        let (length, limit) = (text.len() as u64, config.file_size);
        if length > limit {
            return Err(SaveError::TooLong {
                path: path.to_owned(),
                length,
                limit,
            });
        }
        let target = path.canonicalize().map_err(failed)?;
        let metadata = fs::metadata(&target).map_err(failed)?;
        let mut file =
            NamedTempFile::with_prefix_in(".pointsman-", directory(&target)).map_err(failed)?;
        let owner = |source| SaveError::Owner {
            path: path.to_owned(),
            source,
        };
        keep_owner(file.as_file(), &metadata).map_err(owner)?;
        let mode = Permissions::from_mode(metadata.mode() & 0o7777);
        let written = write(&mut file, &text).and_then(|()| file.as_file().set_permissions(mode));
        written
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed)?;
        let metadata = file.as_file().metadata().map_err(failed)?;
        Ok(Draft {
            origin: Origin::of_written(&text, &metadata),
            file,
            path,
            target,
            before,
        })
    }

    /// Replaces the table's file. If its path is a symbolic link, the link stays and the file that
    /// it points to is replaced.
    ///
    /// # Errors
    /// [`SaveError::Changed`], [`SaveError::Write`].
    pub(super) fn persist(self) -> Result<Origin, SaveError> {
        // Check again, since another program may have replaced the file while the draft was being
        // written.
        seen_again(&self.before, self.path)?;
        let persisted = self.file.persist(&self.target);
        persisted.map_err(|error| write_error(self.path, error.error))?;
        // A failed sync is ignored: the new file is in place, even if it might not survive a power
        // failure.
        let _ = File::open(directory(&self.target)).and_then(|directory| directory.sync_all());
        Ok(self.origin)
    }
}

fn seen_again(origin: &Origin, path: &Path) -> Result<Origin, SaveError> {
    let seen = origin.seen_again(path);
    let seen = seen.map_err(|error| write_error(path, error))?;
    seen.ok_or_else(|| SaveError::Changed(path.to_owned()))
}

fn write_error(path: &Path, source: io::Error) -> SaveError {
    SaveError::Write {
        path: path.to_owned(),
        source,
    }
}

fn directory(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("."))
}

fn write(file: &mut NamedTempFile, text: &[u8]) -> io::Result<()> {
    let mut writer = BufWriter::new(file);
    writer.write_all(text)?;
    writer.flush()
}

fn keep_owner(file: &File, before: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    let differs = |now: u32, before: u32| (now != before).then_some(before);
    let user = differs(now.uid(), before.uid());
    let group = differs(now.gid(), before.gid());
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    fchown(file, user, group)
}

/// Returns the contents of a file with the entries of `table`.
pub(super) fn text(table: &Table, format: TableFormat) -> Vec<u8> {
    let mut text = String::with_capacity(table.text_len() + 8 * table.len() + 8);
    match format {
        TableFormat::Csv => {
            for (key, value) in table.iter() {
                text.extend([&csv::field(key), ",", &csv::field(value), "\n"]);
            }
        }
        TableFormat::Json => {
            let mut separator = "\n  ";
            text.push('{');
            for (key, value) in table.iter() {
                text.extend([separator, &json::string(key), ": ", &json::string(value)]);
                separator = ",\n  ";
            }
            text.push_str(if table.len() == 0 { "}\n" } else { "\n}\n" });
        }
    }
    text.into_bytes()
}

//! A parsed system file, which is read again when it changes.
//!
//! Reading blocks, but the files are small, local and nearly always cached. `resolver` calls this
//! module on the thread for lookups, which serves no requests.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A file that is read again when it changes.
#[derive(Debug)]
pub(super) struct Watched<T> {
    path: PathBuf,
    parse: fn(&[u8]) -> T,
    /// The stamp and value of the last read. Locked during a read, so that two lookups do not read
    /// the file at the same time.
    last: Mutex<Option<(Stamp, T)>>,
}

/// Metadata of a file. It changes when the file is written to or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn new(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl<T: Clone> Watched<T> {
    /// Creates a watch that has read nothing yet.
    pub(super) fn new(path: impl Into<PathBuf>, parse: fn(&[u8]) -> T) -> Watched<T> {
        Watched {
            path: path.into(),
            parse,
            last: Mutex::new(None),
        }
    }

    /// Returns the current parsed content of the file.
    ///
    /// # Errors
    /// The file does not exist or cannot be read.
    pub(super) fn current(&self) -> io::Result<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // The metadata is read before the content, so that a change in between is noticed by the
        // next call.
        let stamp = Stamp::new(&fs::metadata(&self.path)?);
        if let Some((of, value)) = &*last
            && *of == stamp
        {
            return Ok(value.clone());
        }
        let value = (self.parse)(&fs::read(&self.path)?);
        *last = Some((stamp, value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rereads_a_changed_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        let watched = Watched::new(&path, |bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(
            watched.current().unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        fs::write(&path, "one").unwrap();
        assert_eq!(watched.current().unwrap(), "one");
        fs::write(&path, "three").unwrap();
        assert_eq!(watched.current().unwrap(), "three");
        let other = directory.path().join("other");
        fs::write(&other, "seven").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(watched.current().unwrap(), "seven");
        fs::remove_file(&path).unwrap();
        assert!(watched.current().is_err());
    }

    #[test]
    fn keeps_an_unchanged_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        fs::write(&path, "").unwrap();
        let watched = Watched::new(&path, |_| std::sync::Arc::new(()));
        let first = watched.current().unwrap();
        assert!(std::sync::Arc::ptr_eq(&first, &watched.current().unwrap()));
    }
}

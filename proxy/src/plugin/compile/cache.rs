//! Compiled code on disk, so that a plugin need not be compiled at every start.
//!
//! The contents of these files are run as machine code. Therefore no other user may be able to
//! write to the directory, and each file is checked against its digest. A file that fails a check
//! is treated as absent. Used by `load`; handles files, not components.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::geteuid;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// First bytes of a cache file: magic number and version of the layout.
const MAGIC: &[u8; 8] = b"PTSMAN\0\x01";

const DIGEST: usize = 32;

const EXTENSION: &str = "compiled";

/// Name prefix of files that are still being written. A process that is killed while writing leaves
/// such a file behind.
const UNFINISHED: &str = ".tmp";

/// Default size limit of the directory: about fifty plugins in Python, or thousands in Rust.
const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// A directory of compiled plugins.
#[derive(Debug, Clone)]
pub struct CompiledCache {
    directory: PathBuf,
    max_bytes: u64,
}

/// Error from opening the cache directory. The proxy works without a cache: log the error and
/// continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The directory does not exist and cannot be created, or its metadata cannot be read.
    #[error("cannot use the directory {} for compiled plugins", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// The path exists but is not a directory.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The directory belongs to another user, who could have put code there.
    #[error("the directory {} belongs to user {owner}, not to this process's {user}", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The process's effective user.
        user: u32,
    },
    /// Other users can write to the directory and could put code there.
    #[error("the directory {} can be written by others (mode {mode:o})", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Name of an entry. It identifies the source, the compiler and the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plugin) struct Key(String);

impl Key {
    /// Returns the key of a plugin's code.
    ///
    /// `source` is the SHA-256 of the plugin's file in hex; `compiler` is everything else that the
    /// code depends on, such as the compiler's version and settings.
    pub(in crate::plugin) fn new(source: &str, compiler: &impl Hash) -> Key {
        let mut hasher = DigestHasher(Sha256::new());
        MAGIC.hash(&mut hasher);
        source.hash(&mut hasher);
        compiler.hash(&mut hasher);
        Key(hex(&hasher.0.finalize()))
    }
}

/// A [`Hasher`] that feeds its input to SHA-256.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

/// Formats bytes as lower-case hexadecimal.
pub(in crate::plugin) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

impl CompiledCache {
    /// Opens `directory`, creating it with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// [`CacheError`] if it cannot be created, or if other users could write to it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<CompiledCache, CacheError> {
        let path = directory.into();
        let failed = |error| CacheError::Io(path.clone(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })
            .map_err(failed)?;
        let metadata = fs::metadata(&path).map_err(failed)?;
        let (owner, user) = (metadata.uid(), geteuid().as_raw());
        let mode = metadata.mode() & 0o7777;
        if !metadata.is_dir() {
            return Err(CacheError::NotADirectory(path));
        }
        if owner != user {
            return Err(CacheError::Owner { path, owner, user });
        }
        if mode & 0o022 != 0 {
            return Err(CacheError::Writable { path, mode });
        }
        Ok(CompiledCache {
            directory: path,
            max_bytes: DEFAULT_MAX_BYTES,
        })
    }

    /// Limits the total size of all files; the least recently used files are removed first.
    ///
    /// Default 1 GiB.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> CompiledCache {
        self.max_bytes = max_bytes;
        self
    }

    /// Returns the cache directory for a process that is started by root and then switches to
    /// `user`.
    ///
    /// Each user has a separate directory, since a process must not run code that another user
    /// could have written.
    pub fn directory_of(user: &str) -> PathBuf {
        format!("/var/cache/pointsman-{user}").into()
    }

    /// Returns whether `path` names a cache entry, finished or still being written.
    pub fn is_entry(path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        path.extension()
            .is_some_and(|extension| extension == EXTENSION)
            || name.starts_with(UNFINISHED.as_bytes())
    }

    /// Returns the default cache directory: `/var/cache/pointsman` for root; for other users,
    /// `pointsman` in `$XDG_CACHE_HOME` or in `~/.cache`. Returns None if neither variable is set
    /// to an absolute path.
    pub fn default_directory() -> Option<PathBuf> {
        if geteuid().is_root() {
            return Some("/var/cache/pointsman".into());
        }
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|base| base.join("pointsman"))
    }

    /// Returns the directory's path.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the code stored under `key`; None if there is none, or if it is damaged or cannot be
    /// read.
    pub(in crate::plugin) fn load(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let code = match Entry::open(&path).and_then(|entry| entry.read()) {
            Ok(Some(code)) => code,
            Ok(None) => {
                tracing::warn!(path = %path.display(), "compiled plugin is damaged, compiling again");
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled plugin cannot be read");
                return None;
            }
        };
        // Eviction goes by modification time. If the time cannot be set, the only effect is that
        // the file is evicted sooner.
        if let Err(error) = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()))
        {
            tracing::debug!(path = %path.display(), %error, "cannot set the modification time of a compiled plugin");
        }
        Some(code)
    }

    /// Opens the entry under `key`, to be read later.
    pub(in crate::plugin) fn entry(&self, key: &Key) -> Option<Entry> {
        Entry::open(&self.path(key)).ok()
    }

    /// Stores `code` under `key`.
    ///
    /// The file is written completely and then renamed. So no reader sees a partial file, and an
    /// existing file is never modified in place.
    pub(in crate::plugin) fn store(&self, key: &Key, code: &[u8]) {
        let path = self.path(key);
        if let Err(error) = self.write(&path, code) {
            tracing::warn!(path = %path.display(), %error, "compiled plugin cannot be stored");
            return;
        }
        if let Err(error) = self.evict(&path) {
            tracing::warn!(directory = %self.directory.display(), %error, "old compiled plugins cannot be removed");
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.directory.join(&key.0).with_extension(EXTENSION)
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::with_prefix_in(UNFINISHED, &self.directory)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the least recently used files until their total size is within the limit; never
    /// removes `keep`.
    fn evict(&self, keep: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if !CompiledCache::is_entry(&path) {
                continue;
            }
            // Another process may have removed the file in the meantime.
            if let Ok(metadata) = fs::symlink_metadata(&path) {
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        files.sort();
        for (_, len, path) in files {
            if total <= self.max_bytes {
                break;
            }
            if path != keep {
                fs::remove_file(&path)?;
                total -= len;
            }
        }
        Ok(())
    }
}

/// An open file of the cache.
#[derive(Debug)]
pub(in crate::plugin) struct Entry(File);

impl Entry {
    fn open(path: &Path) -> io::Result<Entry> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Entry(file))
    }

    /// Reads the code; None if the file does not match its digest. Several threads may read at the
    /// same time.
    ///
    /// # Errors
    /// Errors of `pread(2)`.
    pub(in crate::plugin) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let length = usize::try_from(self.0.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(verify(bytes))
    }
}

/// Returns the code contained in a cache file; None if it does not match its digest.
fn verify(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (digest, code) = rest.split_at_checked(DIGEST)?;
    if Sha256::digest(code).as_slice() != digest {
        return None;
    }
    bytes.drain(..MAGIC.len() + DIGEST);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::Duration;

    fn cache() -> (tempfile::TempDir, CompiledCache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = CompiledCache::open(directory.path().join("a/b")).unwrap();
        (directory, cache)
    }

    #[test]
    fn stored_code_is_loaded() {
        let (_directory, cache) = cache();
        let key = Key::new("source", &1);
        assert_eq!(cache.load(&key), None);
        cache.store(&key, b"code");
        assert_eq!(cache.load(&key).unwrap(), b"code");
        assert_eq!(cache.load(&Key::new("source", &2)), None);
        assert_eq!(cache.load(&Key::new("other", &1)), None);
        cache.store(&key, b"");
        assert_eq!(cache.load(&key).unwrap(), b"");
    }

    #[test]
    fn a_damaged_file_is_not_trusted_and_is_replaced() {
        let (_directory, cache) = cache();
        let key = Key::new("source", &1);
        cache.store(&key, b"code");
        let path = cache.path(&key);
        let good = fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(cache.load(&key), None, "byte {index}");
            fs::write(&path, &good[..index]).unwrap();
            assert_eq!(cache.load(&key), None, "cut at {index}");
        }
        cache.store(&key, b"code");
        assert_eq!(cache.load(&key).unwrap(), b"code");
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        CompiledCache::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        for mode in [0o720, 0o702, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = CompiledCache::open(&path).unwrap_err();
            assert!(matches!(error, CacheError::Writable { .. }), "{error}");
        }
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(CompiledCache::open(&file).is_err());
        assert!(CompiledCache::open(file.join("below")).is_err());
    }

    #[test]
    fn a_file_that_is_a_directory_is_not_read() {
        let (_directory, cache) = cache();
        let key = Key::new("source", &1);
        fs::create_dir(cache.path(&key)).unwrap();
        assert_eq!(cache.load(&key), None);
        fs::remove_dir(cache.path(&key)).unwrap();
        symlink("nowhere", cache.path(&key)).unwrap();
        assert_eq!(cache.load(&key), None);
        cache.store(&key, b"code");
        assert_eq!(cache.load(&key).unwrap(), b"code");
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let (_directory, cache) = cache();
        let file = MAGIC.len() + DIGEST + 100;
        let cache = cache.max_bytes(u64::try_from(2 * file).unwrap());
        let keys: Vec<Key> = (0..3).map(|index| Key::new("source", &index)).collect();
        for (index, key) in keys.iter().take(2).enumerate() {
            cache.store(key, &[0; 100]);
            let day = Duration::from_hours(24) * u32::try_from(index + 1).unwrap();
            let file = File::open(cache.path(key)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + day).unwrap();
        }
        // Use the first entry, so that the second becomes the least recently used.
        assert!(cache.load(&keys[0]).is_some());
        cache.store(&keys[2], &[0; 100]);
        assert!(cache.load(&keys[1]).is_none());
        assert!(cache.load(&keys[0]).is_some());
        assert!(cache.load(&keys[2]).is_some());
        // A file as left by a process that was killed while writing.
        fs::write(cache.directory().join(".tmpAbCdEf"), [0; 100]).unwrap();
        // Larger than the limit: all other files are removed, but this one is kept.
        let large = Key::new("source", &3);
        cache.store(&large, &[0; 1000]);
        assert!(cache.load(&large).is_some());
        assert_eq!(fs::read_dir(cache.directory()).unwrap().count(), 1);
    }
}

//! Accounts and certificates on disk.
//!
//! ```text
//! STORAGE/DIGEST/              digest of the URL of the server's directory
//!     account.json             key and URL of the account
//!     account.lock
//!     NAME/                    the certificate's first name
//!         certificate.pem      chain and key in one file, so that neither exists without the other
//!         state.json           failures, time of the next attempt, pending order with its key
//!         lock                 held by the process that is ordering (flock(2))
//! ```
//!
//! Directories have mode 0700 and files mode 0600. Directories and files that other users can
//! access are refused. A file is written under a temporary name in the same directory, synced and
//! renamed. All functions here block, so workers must not call them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::{AccessFlags, access};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::schedule::Validity;
use crate::config::Acme;
use crate::transport::tls::{CertificateError, Identity, Role};

/// Maximum number of bytes read from a file. Certificate chains take a few KiB.
const MAX_FILE: u64 = 1 << 20;

/// Reason why the storage cannot be used.
#[derive(Debug, Error)]
pub enum StorageError {
    /// A system call failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The operation, such as `read`.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Users other than the owner can access the file or directory, so a key in it is not secret.
    #[error("users other than its owner can read or change {}: run `chmod go=` on it", .0.display())]
    Open(PathBuf),
    /// The JSON was not written by this program, or is damaged.
    #[error("{} is damaged, or was not written by this program", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// The certificate was not written by this program, or is damaged.
    #[error("{} cannot be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: CertificateError,
    },
    /// The work panicked, or the process is exiting.
    #[error("the operation was interrupted")]
    Interrupted,
}

/// A certificate from the storage.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The certificate and its key.
    pub identity: Identity,
    pem: String,
}

/// Returns the certificate of `acme` from disk, or `None` if there is no certificate that is valid
/// now. Blocks.
///
/// # Errors
/// [`StorageError`].
pub fn stored(acme: &Acme) -> Result<Option<Stored>, StorageError> {
    let stored = Storage::new(acme).certificate()?;
    Ok(stored.filter(|stored| stored.identity.check_dates(SystemTime::now()).is_ok()))
}

/// Checks that the storage of `acme` is usable. Creates nothing. Blocks.
///
/// # Errors
/// [`StorageError`].
pub fn check_storage(acme: &Acme) -> Result<(), StorageError> {
    let storage = Storage::new(acme);
    let made = [&storage.name, &storage.server];
    for path in made.into_iter().filter(|path| path.exists()) {
        ensure_private(path)?;
    }
    let mut ancestors = storage.name.ancestors();
    let existing = ancestors.find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("."));
    access(existing, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| failed("write to", existing, errno.into()))?;
    match storage.certificate() {
        // A damaged certificate is no obstacle: a new order replaces it.
        Ok(_) | Err(StorageError::Certificate { .. }) => {}
        Err(error) => return Err(error),
    }
    storage.account()?;
    storage.state()?;
    Ok(())
}

/// State that outlives the process, in addition to the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Names of the certificate to which the other fields apply.
    pub(super) names: Vec<String>,
    /// Number of consecutive failures. Incremented before an attempt, so that a process that dies
    /// during the attempt also pauses before the next one.
    pub(super) failures: u32,
    /// Earliest time of the next attempt, in seconds since 1970.
    pub(super) next_try: i64,
    /// Reason why the last attempt failed, as a message for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Order that the next attempt resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<PendingOrder>,
}

/// An order that has no certificate yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingOrder {
    pub(super) url: String,
    /// Key of the certificate, in PEM.
    pub(super) key: String,
}

/// An account at an ACME server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredAccount {
    /// URL of the server's directory. For people only: the proxy does not use it.
    pub(super) directory: String,
    /// Private key: PKCS #8, in base64url.
    pub(super) key: String,
    /// URL of the account. `None` until the server has confirmed the key's registration.
    pub(super) url: Option<String>,
    /// Contacts that are registered at the server.
    pub(super) contact: Vec<String>,
}

/// Location of one certificate and of the account that orders it.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    root: PathBuf,
    server: PathBuf,
    name: PathBuf,
}

/// A lock for orders or for the account, released when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Storage {
    pub(super) fn new(acme: &Acme) -> Storage {
        use std::fmt::Write as _;
        let digest = Sha256::digest(acme.directory.as_bytes());
        let mut server = String::new();
        for byte in &digest[..8] {
            let _ = write!(server, "{byte:02x}");
        }
        let server = acme.storage.join(server);
        Storage {
            root: acme.storage.clone(),
            name: server.join(folder(acme)),
            server,
        }
    }

    /// Reads the certificate, valid or not. Returns `None` if there is none.
    pub(super) fn certificate(&self) -> Result<Option<Stored>, StorageError> {
        let path = self.name.join("certificate.pem");
        let Some(pem) = read(&path)? else {
            return Ok(None);
        };
        match Stored::new(pem) {
            Ok(stored) => Ok(Some(stored)),
            Err(source) => Err(StorageError::Certificate { path, source }),
        }
    }

    pub(super) fn set_certificate(&self, stored: &Stored) -> Result<(), StorageError> {
        self.write(&self.name, "certificate.pem", stored.pem.as_bytes())
    }

    pub(super) fn state(&self) -> Result<State, StorageError> {
        Ok(read_json(&self.name.join("state.json"))?.unwrap_or_default())
    }

    pub(super) fn set_state(&self, state: &State) -> Result<(), StorageError> {
        self.write(&self.name, "state.json", &json(state))
    }

    pub(super) fn account(&self) -> Result<Option<StoredAccount>, StorageError> {
        read_json(&self.server.join("account.json"))
    }

    pub(super) fn set_account(&self, account: &StoredAccount) -> Result<(), StorageError> {
        self.write(&self.server, "account.json", &json(account))
    }

    /// Acquires the lock for orders. Returns `None` while another process holds it.
    pub(super) fn lock(&self) -> Result<Option<Lock>, StorageError> {
        self.create(&self.name)?;
        lock(&self.name.join("lock"))
    }

    /// Acquires the lock for creating or changing the account. Returns `None` while another process
    /// holds it.
    pub(super) fn lock_account(&self) -> Result<Option<Lock>, StorageError> {
        self.create(&self.server)?;
        lock(&self.server.join("account.lock"))
    }

    /// Creates `directory` and its parents, up to the root of the storage, unless they exist.
    fn create(&self, directory: &Path) -> Result<(), StorageError> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        // The root is not checked: it belongs to the operator, who may let others read it.
        for path in [&self.root, &self.server, &self.name] {
            match builder.create(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(failed("create", path, error));
                }
                _ => {}
            }
            if *path != self.root {
                ensure_private(path)?;
            }
            if path == directory {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.create(directory)?;
        let path = directory.join(name);
        let written = || {
            // `tempfile` creates files with mode 0600.
            let mut file = tempfile::Builder::new()
                .prefix(".new-")
                .tempfile_in(directory)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(directory)?.sync_all()
        };
        written().map_err(|error| failed("write", &path, error))
    }
}

impl Stored {
    pub(super) fn new(pem: String) -> Result<Stored, CertificateError> {
        let identity = Identity::from_pem(pem.as_bytes(), pem.as_bytes(), Role::Server)?;
        Ok(Stored { identity, pem })
    }

    /// Returns whether both certificates come from the same file contents.
    pub(super) fn is_same(&self, other: &Stored) -> bool {
        self.pem == other.pem
    }

    pub(super) fn validity(&self) -> Validity {
        let facts = self.identity.facts();
        Validity {
            not_before: facts.not_before,
            not_after: facts.not_after,
        }
    }

    /// Returns a number that depends only on the certificate, and is the same in every process.
    pub(super) fn chance(&self) -> u16 {
        let digits = self.identity.facts().sha256.get(..4);
        digits.map_or(0, |digits| u16::from_str_radix(digits, 16).unwrap_or(0))
    }

    /// Returns the first of `names` that the certificate lacks.
    pub(super) fn missing<'a>(&self, names: &'a [String]) -> Option<&'a String> {
        let has = |name: &String| {
            let mut known = self.identity.facts().names.iter();
            known.any(|known| known.eq_ignore_ascii_case(name))
        };
        names.iter().find(|name| !has(name))
    }
}

/// Returns the directory name for a certificate: its first name. The configuration has already
/// checked that name. Unsafe characters are replaced all the same, so that the path cannot leave
/// the storage.
fn folder(acme: &Acme) -> String {
    let name = acme.names.first().map_or("", String::as_str);
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if name.is_empty() => "_".to_owned(),
        None => name,
    }
}

/// Runs `work` on a thread where it can block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(StorageError::Interrupted))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn ensure_private(path: &Path) -> Result<(), StorageError> {
    let metadata = fs::metadata(path).map_err(|error| failed("look at", path, error))?;
    if !is_private(&metadata) {
        return Err(StorageError::Open(path.to_owned()));
    }
    Ok(())
}

/// Returns whether only the owner (and root) can access the file.
fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & (0o070 | 0o007) == 0
}

fn read(path: &Path) -> Result<Option<String>, StorageError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, error)),
    };
    let mut text = String::new();
    let read = || {
        let is_private = is_private(&file.metadata()?);
        if is_private {
            file.take(MAX_FILE).read_to_string(&mut text)?;
        }
        Ok(is_private)
    };
    match read() {
        Ok(true) => Ok(Some(text)),
        Ok(false) => Err(StorageError::Open(path.to_owned())),
        Err(error) => Err(failed("read", path, error)),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StorageError> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    let value = serde_json::from_str(&text).map_err(|source| StorageError::Json {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(value))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // The values consist of strings, numbers and lists of them.
    serde_json::to_vec_pretty(value).expect("it can be written as JSON")
}

fn lock(path: &Path) -> Result<Option<Lock>, StorageError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed("open", path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed("lock", path, error.into())),
    }
}

#[cfg(test)]
mod tests;

//! Files that only root can create, for the user that the process changes to: the log and the cache of
//! compiled plugins.
//!
//! Touches nothing that is somebody else's already: a user could have put a link there.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown, lchown,
};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid};

use super::error::StartError;
use super::privileges::Account;
use crate::config::{Config, LogTarget};
use crate::plugin::CompiledCache;
use crate::rollout::loader::cache_directory;

/// Creates what is missing, if this is root and changes to another user.
///
/// # Errors
/// [`StartError::Create`].
pub(super) fn provide(config: &Config, account: &Account) -> Result<(), StartError> {
    let Some(owner) = account.owner() else {
        return Ok(());
    };
    let attempt = |path: &Path, created: io::Result<()>| {
        created.map_err(|source| StartError::Create {
            path: path.to_owned(),
            source,
        })
    };
    if let LogTarget::File(path) = &config.log.target {
        attempt(path, log(path, owner))?;
    }
    if let Some(path) = cache_directory(config) {
        attempt(&path, cache(&path, owner))?;
    }
    Ok(())
}

fn log(path: &Path, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    match File::options().append(true).create_new(true).open(path) {
        Ok(file) => fchown(file, Some(uid.as_raw()), Some(gid.as_raw())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A directory that root has created, for itself or just now, becomes the user's with all that is
/// in it. Where there is anything but compiled plugins, it is no cache.
fn cache(path: &Path, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    // Whatever else is there, the loader says what is wrong with it.
    let Ok(directory) = opened else {
        return Ok(());
    };
    let metadata = directory.metadata()?;
    if !is_roots_alone(&metadata) {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() || !CompiledCache::is_entry(&entry.path()) {
            return Ok(());
        }
        entries.push(entry.path());
    }
    for entry in entries {
        lchown(entry, Some(uid.as_raw()), Some(gid.as_raw()))?;
    }
    fchown(directory, Some(uid.as_raw()), Some(gid.as_raw()))
}

fn is_roots_alone(metadata: &Metadata) -> bool {
    metadata.uid() == 0 && metadata.mode() & 0o022 == 0
}

//! Files that only root can create for the user that the process changes to: the log, the cache of
//! compiled plugins, and the storage of certificates.
//!
//! Changes nothing that already belongs to another user, or that another user could have redirected
//! here with a symbolic link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::fchown;
use std::path::Path;

use nix::unistd::{Gid, Uid};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chownat, mkdirat, openat, statat};
use rustix::io::Errno;
use rustix::process;

use super::error::StartError;
use super::folder::{self, is_roots_alone};
use super::privileges::Account;
use crate::config::{Config, LogTarget};
use crate::plugin::CompiledCache;
use crate::rollout::loader::cache_directory;

/// Creates the missing files if the process is root and changes to another user.
///
/// # Errors
/// [`StartError::Create`].
pub(super) fn create(config: &Config, account: &Account) -> Result<(), StartError> {
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
    for acme in config.tls.iter().filter_map(|tls| tls.acme.as_ref()) {
        attempt(&acme.storage, storage(&acme.storage, owner))?;
    }
    Ok(())
}

/// Opens the folder that contains `path`, and returns it with the name in it. Returns None if there
/// is no such folder that can be trusted: the user's own attempt to open the file reports the
/// problem later.
fn place(path: &Path, create: bool) -> io::Result<Option<(File, &OsStr)>> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let above = folder::open(above, create)?;
    Ok(above.map(|above| (above, name)))
}

fn log(path: &Path, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    let Some((above, name)) = place(path, false)? else {
        return Ok(());
    };
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(above, name, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => fchown(file, Some(uid.as_raw()), Some(gid.as_raw())),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory that only root can change, so that no other user changes its entries
/// meanwhile. Creates the directory if it is missing. Returns None if others can change it or if it
/// cannot be opened: the user's own attempt to use it reports the problem later.
fn directory(path: &Path) -> io::Result<Option<File>> {
    let Some((above, name)) = place(path, true)? else {
        return Ok(None);
    };
    match mkdirat(&above, name, Mode::from_raw_mode(0o700)) {
        Err(error) if error != Errno::EXIST => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = openat(&above, name, flags, Mode::empty()) else {
        return Ok(None);
    };
    let directory = File::from(directory);
    let is_roots = is_roots_alone(&directory.metadata()?);
    Ok(is_roots.then_some(directory))
}

/// Gives the cache directory and its contents to the user if only root can change the directory,
/// because root has just created it or has used it before. A directory that contains anything but
/// compiled plugins is not a cache, and is left alone.
fn cache(path: &Path, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    let Some(directory) = directory(path)? else {
        return Ok(());
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        // A file with a second hard link may also belong to another folder.
        if !is_file || stat.st_nlink != 1 || !CompiledCache::is_entry(Path::new(name)) {
            return Ok(());
        }
        names.push(name.to_owned());
    }
    let owner = Some(process::Uid::from_raw(uid.as_raw()));
    let group = Some(process::Gid::from_raw(gid.as_raw()));
    for name in names {
        chownat(&directory, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    fchown(directory, Some(uid.as_raw()), Some(gid.as_raw()))
}

/// Creates the user's directory for accounts and certificates. Gives an existing directory to the
/// user only if it is empty and only root can change it.
fn storage(path: &Path, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    let Some(directory) = directory(path)? else {
        return Ok(());
    };
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(());
        }
    }
    fchown(directory, Some(uid.as_raw()), Some(gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, chown, symlink};

    use nix::unistd::geteuid;
    use tempfile::TempDir;

    /// A user ID, which need not exist on the machine.
    const USER: u32 = 4711;

    /// Creates a folder of root with two empty folders: `root`, which belongs to root, and `user`,
    /// which belongs to the user. Returns None if the test does not run as root.
    fn machine() -> Option<TempDir> {
        if !geteuid().is_root() {
            return None;
        }
        let machine = tempfile::tempdir().unwrap();
        for folder in ["root", "user"] {
            fs::create_dir(machine.path().join(folder)).unwrap();
        }
        chown(machine.path().join("user"), Some(USER), Some(USER)).unwrap();
        Some(machine)
    }

    fn owner() -> (Uid, Gid) {
        (Uid::from_raw(USER), Gid::from_raw(USER))
    }

    fn is_users(path: &Path) -> bool {
        fs::metadata(path).unwrap().uid() == USER
    }

    #[test]
    fn only_symbolic_links_of_root_are_followed() {
        let Some(machine) = machine() else { return };
        let path = |name: &str| machine.path().join(name);
        for name in ["root/cache", "root/by-user", "root/logs", "root/safe"] {
            fs::create_dir(path(name)).unwrap();
        }
        symlink(path("root"), path("user/link")).unwrap();
        symlink("../user/link", path("root/over-user")).unwrap();
        symlink(path("root"), path("link")).unwrap();
        symlink("link", path("again")).unwrap();
        symlink("loop", path("loop")).unwrap();
        for led in ["user/link/by-user", "root/over-user/by-user"] {
            cache(&path(led), owner()).unwrap();
            assert!(!is_users(&path("root/by-user")), "{led}");
            log(&path(led).join("log"), owner()).unwrap();
            assert!(!path("root/by-user/log").exists(), "{led}");
        }
        cache(&path("again/../root/cache"), owner()).unwrap();
        assert!(is_users(&path("root/cache")));
        log(&path("link/logs/log"), owner()).unwrap();
        assert!(is_users(&path("root/logs/log")));
        assert!(cache(&path("loop/cache"), owner()).is_err());
        // This call creates the directory, so it is neither redirected nor shared.
        cache(&path("user/new/cache"), owner()).unwrap();
        assert!(is_users(&path("user/new/cache")));
        assert!(!is_users(&path("user/new")));
        symlink(path("root/safe"), path("user/cache")).unwrap();
        cache(&path("user/cache"), owner()).unwrap();
        assert!(!is_users(&path("root/safe")));
    }

    #[test]
    fn storage_is_given_to_the_user_only_while_it_is_empty() {
        let Some(machine) = machine() else { return };
        let path = |name: &str| machine.path().join(name);
        storage(&path("root/new/acme"), owner()).unwrap();
        assert!(is_users(&path("root/new/acme")));
        assert!(!is_users(&path("root/new")));
        fs::create_dir(path("root/empty")).unwrap();
        storage(&path("root/empty"), owner()).unwrap();
        assert!(is_users(&path("root/empty")));
        fs::create_dir_all(path("root/full/file")).unwrap();
        storage(&path("root/full"), owner()).unwrap();
        assert!(!is_users(&path("root/full")));
        fs::create_dir(path("root/safe")).unwrap();
        symlink(path("root/safe"), path("user/link")).unwrap();
        storage(&path("user/link"), owner()).unwrap();
        assert!(!is_users(&path("root/safe")));
    }

    #[test]
    fn a_cache_with_other_files_still_belongs_to_root() {
        let Some(machine) = machine() else { return };
        let folder = machine.path().join("root");
        // A killed process can leave a temporary file like the second one behind.
        for name in ["a.compiled", ".tmpAbCdEf"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let other = machine.path().join("other");
        fs::hard_link(folder.join("a.compiled"), &other).unwrap();
        cache(&folder, owner()).unwrap();
        assert!(!is_users(&folder) && !is_users(&other));
        fs::remove_file(&other).unwrap();
        cache(&folder, owner()).unwrap();
        assert!(is_users(&folder) && is_users(&folder.join("a.compiled")));
        assert!(is_users(&folder.join(".tmpAbCdEf")));
    }
}

//! Access to Unix sockets: the permissions and the owner of a socket's file.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use super::privileges::{PrivilegeError, find_group, find_user};
use crate::config::SocketAccess;
use crate::telemetry::chain;

/// The bits that `chmod(2)` sets.
const MODE_BITS: u32 = 0o7777;

/// Permissions and owner of a file; None leaves a value unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Access {
    /// Looks up the configured user and group.
    ///
    /// # Errors
    /// [`PrivilegeError`]: there is no such user or group.
    pub(super) fn find(config: &SocketAccess) -> Result<Access, PrivilegeError> {
        let uid = config.user.as_deref().map(find_user).transpose()?;
        let gid = config.group.as_deref().map(find_group).transpose()?;
        Ok(Access {
            mode: config.mode,
            uid: uid.map(|user| user.uid.as_raw()),
            gid: gid.map(nix::unistd::Gid::as_raw),
        })
    }

    /// Reads the permissions and owner of a socket's file.
    fn of(path: &Path) -> io::Result<Access> {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.file_type().is_socket() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Access {
            mode: Some(metadata.mode() & MODE_BITS),
            uid: Some(metadata.uid()),
            gid: Some(metadata.gid()),
        })
    }

    /// Keeps only the values that differ from `known`.
    fn beyond(self, known: Access) -> Access {
        let changed = |wanted: Option<u32>, known| wanted.filter(|_| wanted != known);
        Access {
            mode: changed(self.mode, known.mode),
            uid: changed(self.uid, known.uid),
            gid: changed(self.gid, known.gid),
        }
    }

    fn set(self, path: &Path) -> io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            lchown(path, self.uid, self.gid)?;
        }
        match self.mode {
            Some(mode) => fs::set_permissions(path, Permissions::from_mode(mode)),
            None => Ok(()),
        }
    }
}

/// Gives a socket's file its configured permissions and owner. [`Changed::undo`] can restore the
/// old values.
///
/// # Errors
/// If there is no such user or group, or if this process is not permitted to give the file to them.
pub(super) fn apply(path: &Path, config: &SocketAccess) -> io::Result<Option<Changed>> {
    if *config == SocketAccess::default() {
        return Ok(None);
    }
    let wanted = Access::find(config);
    let wanted = wanted.map_err(|error| io::Error::new(io::ErrorKind::NotFound, chain(&error)))?;
    let before = Access::of(path)?;
    let change = wanted.beyond(before);
    let set = change.set(path);
    set.map_err(|error| {
        let text = format!("cannot set the mode, user and group of the file: {error}");
        io::Error::new(error.kind(), text)
    })?;
    Ok(Some(Changed {
        path: path.to_owned(),
        before: before.beyond(wanted),
    }))
}

/// A file whose permissions or owner have been changed, with the old values.
#[derive(Debug)]
pub(super) struct Changed {
    path: PathBuf,
    before: Access,
}

impl Changed {
    /// Reverts the change.
    pub(super) fn undo(&self) {
        // A process that could make the change can revert it, unless the file is gone.
        let _ = self.before.set(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_change_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _socket = UnixListener::bind(&path).unwrap();
        let before = Access::of(&path).unwrap();
        let mut config = SocketAccess::default();
        assert!(apply(&path, &config).unwrap().is_none());
        config.mode = Some(0o640);
        let changed = apply(&path, &config).unwrap().unwrap();
        assert_eq!(Access::of(&path).unwrap().mode, Some(0o640));
        let unchanged = apply(&path, &config).unwrap().unwrap();
        unchanged.undo();
        assert_eq!(Access::of(&path).unwrap().mode, Some(0o640));
        changed.undo();
        assert_eq!(Access::of(&path).unwrap(), before);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "").unwrap();
        let config = SocketAccess {
            mode: Some(0o777),
            ..SocketAccess::default()
        };
        assert!(apply(&path, &config).is_err());
    }
}

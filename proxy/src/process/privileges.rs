//! From root to the configured user, once the sockets are bound.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist, setgid, setgroups, setuid};
use thiserror::Error;

/// Why the process does not run as the configured user or group.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// No such user.
    #[error("user = \"{0}\": there is no such user on this machine")]
    UnknownUser(String),
    /// No such group.
    #[error("group = \"{0}\": there is no such group on this machine")]
    UnknownGroup(String),
    /// The user database cannot be read.
    #[error("cannot look up the user or group")]
    Lookup(#[source] nix::Error),
    /// The system refused.
    #[error("cannot change to the configured user and group; that takes root")]
    Change(#[source] nix::Error),
}

/// Changes to `group`, its supplementary groups and `user`, for all threads started later.
///
/// Without `group`, changes to the user's own group. Does not take root if the process runs as that
/// user and group already.
///
/// # Errors
/// [`PrivilegeError`].
pub(super) fn drop_to(user: Option<&str>, group: Option<&str>) -> Result<(), PrivilegeError> {
    let user = user.map(find_user).transpose()?;
    let group = group.map(find_group).transpose()?;
    if user.is_none() && group.is_none() {
        if geteuid().is_root() {
            tracing::warn!(
                "running as root: set `user` and `group`, which take effect once the sockets are bound"
            );
        }
        return Ok(());
    }
    let gid = group.or(user.as_ref().map(|user| user.gid));
    if is_current(user.as_ref(), gid) {
        return Ok(());
    }
    if let Some(gid) = gid {
        setgroups(&supplementary(user.as_ref(), gid)?).map_err(PrivilegeError::Change)?;
        setgid(gid).map_err(PrivilegeError::Change)?;
    }
    if let Some(user) = user {
        setuid(user.uid).map_err(PrivilegeError::Change)?;
    } else if geteuid().is_root() {
        tracing::warn!("running as root: `group` is set, but not `user`");
    }
    Ok(())
}

fn is_current(user: Option<&User>, gid: Option<Gid>) -> bool {
    !geteuid().is_root()
        && user.is_none_or(|user| user.uid == Uid::effective())
        && gid.is_none_or(|gid| gid == Gid::effective())
}

fn supplementary(user: Option<&User>, gid: Gid) -> Result<Vec<Gid>, PrivilegeError> {
    let name = user.and_then(|user| CString::new(user.name.as_str()).ok());
    match name {
        Some(name) => getgrouplist(&name, gid).map_err(PrivilegeError::Lookup),
        None => Ok(vec![gid]),
    }
}

fn find_user(name: &str) -> Result<User, PrivilegeError> {
    User::from_name(name)
        .map_err(PrivilegeError::Lookup)?
        .ok_or_else(|| PrivilegeError::UnknownUser(name.to_owned()))
}

fn find_group(name: &str) -> Result<Gid, PrivilegeError> {
    Group::from_name(name)
        .map_err(PrivilegeError::Lookup)?
        .map(|group| group.gid)
        .ok_or_else(|| PrivilegeError::UnknownGroup(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names() {
        let check = |user, group, expected: &str| {
            let found = drop_to(user, group).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        };
        check(Some("nobody-of-this-name"), None, "there is no such user");
        check(
            None,
            Some("no-group-of-this-name"),
            "there is no such group",
        );
    }
}

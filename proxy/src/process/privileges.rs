//! Change from root to the configured user, once the sockets are bound.
//!
//! If the kernel allows it, one capability is kept: to bind ports below 1024, for reloads and
//! successors. The threads that serve clients, or load or run plugins, do not have it.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist, setgid, setgroups, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    set_capabilities, set_keep_capabilities,
};
use thiserror::Error;

/// Reason why the process does not run as the configured user or group.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// There is no such user.
    #[error("there is no user `{0}` on this machine")]
    UnknownUser(String),
    /// There is no such group.
    #[error("there is no group `{0}` on this machine")]
    UnknownGroup(String),
    /// The user database cannot be read.
    #[error("cannot look up the user or group")]
    Lookup(#[source] nix::Error),
    /// The system refused the change.
    #[error("cannot change to the configured user and group, which requires root")]
    Change(#[source] nix::Error),
}

/// The user and group to run as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    user: Option<User>,
    gid: Option<Gid>,
}

/// Looks up a user by name.
///
/// # Errors
/// [`PrivilegeError::UnknownUser`], [`PrivilegeError::Lookup`].
pub(super) fn find_user(name: &str) -> Result<User, PrivilegeError> {
    User::from_name(name)
        .map_err(PrivilegeError::Lookup)?
        .ok_or_else(|| PrivilegeError::UnknownUser(name.to_owned()))
}

/// Looks up a group by name.
///
/// # Errors
/// [`PrivilegeError::UnknownGroup`], [`PrivilegeError::Lookup`].
pub(super) fn find_group(name: &str) -> Result<Gid, PrivilegeError> {
    Group::from_name(name)
        .map_err(PrivilegeError::Lookup)?
        .map(|group| group.gid)
        .ok_or_else(|| PrivilegeError::UnknownGroup(name.to_owned()))
}

impl Account {
    /// Looks up the configured names. Without `group`, uses the user's primary group.
    ///
    /// # Errors
    /// [`PrivilegeError`], except [`PrivilegeError::Change`].
    pub(super) fn find(user: Option<&str>, group: Option<&str>) -> Result<Account, PrivilegeError> {
        let user = user.map(find_user).transpose()?;
        let group = group.map(find_group).transpose()?;
        let gid = group.or(user.as_ref().map(|user| user.gid));
        Ok(Account { user, gid })
    }

    /// Returns whether the process runs as this user and group.
    pub(super) fn is_current(&self) -> bool {
        let user = self.user.as_ref();
        user.is_none_or(|user| user.uid == Uid::effective())
            && self.gid.is_none_or(|gid| gid == Gid::effective())
    }

    /// Returns the owner of the files that root creates for the account; None unless the process
    /// changes from root to another user.
    pub(super) fn owner(&self) -> Option<(Uid, Gid)> {
        let uid = self.user.as_ref()?.uid;
        (geteuid().is_root() && !uid.is_root()).then_some((uid, self.gid?))
    }

    /// Changes the group, the supplementary groups and the user of all threads. Does not need root
    /// if the process already runs as that user and group.
    ///
    /// # Errors
    /// [`PrivilegeError::Lookup`], [`PrivilegeError::Change`].
    pub(super) fn assume(&self) -> Result<(), PrivilegeError> {
        // Root continues even if user and group are already right, because root can be in
        // supplementary groups that it must leave.
        if self.is_current() && !geteuid().is_root() {
            return Ok(());
        }
        if let Some(gid) = self.gid {
            setgroups(&self.supplementary(gid)?).map_err(PrivilegeError::Change)?;
            setgid(gid).map_err(PrivilegeError::Change)?;
        }
        if let Some(user) = &self.user {
            let may_bind = hold_bind_right();
            setuid(user.uid).map_err(PrivilegeError::Change)?;
            if may_bind && !user.uid.is_root() {
                keep_bind_right().map_err(PrivilegeError::Change)?;
            }
        }
        Ok(())
    }

    fn supplementary(&self, gid: Gid) -> Result<Vec<Gid>, PrivilegeError> {
        let user = self.user.as_ref();
        let name = user.and_then(|user| CString::new(user.name.as_str()).ok());
        match name {
            Some(name) => getgrouplist(&name, gid).map_err(PrivilegeError::Lookup),
            None => Ok(vec![gid]),
        }
    }
}

/// Changes to the configured user and group if the process is root, so that everything afterwards
/// has the permissions of that user. Only for processes that check a configuration, because the
/// change cannot be undone.
///
/// # Errors
/// [`PrivilegeError`].
pub fn assume_if_root(user: Option<&str>, group: Option<&str>) -> Result<(), PrivilegeError> {
    if geteuid().is_root() {
        Account::find(user, group)?.assume()?;
    }
    Ok(())
}

/// Makes the kernel keep this thread's capabilities when the user changes. Returns whether that
/// succeeded and the capabilities include the one to bind ports below 1024.
fn hold_bind_right() -> bool {
    let has = capabilities(None)
        .is_ok_and(|sets| sets.permitted.contains(CapabilitySet::NET_BIND_SERVICE));
    has && set_keep_capabilities(true).is_ok()
}

/// Drops all kept capabilities except the one to bind ports below 1024. Programs that this process
/// starts inherit that one if the kernel supports ambient capabilities.
fn keep_bind_right() -> nix::Result<()> {
    let only = CapabilitySet::NET_BIND_SERVICE;
    set_rights(only).map_err(|error| nix::Error::from_raw(error.raw_os_error()))?;
    let _ = set_keep_capabilities(false);
    let _ = configure_capability_in_ambient_set(only, true);
    Ok(())
}

/// Sets the capabilities of this thread.
fn set_rights(rights: CapabilitySet) -> rustix::io::Result<()> {
    let sets = CapabilitySets {
        effective: rights,
        permitted: rights,
        inheritable: rights,
    };
    set_capabilities(None, sets)
}

/// Drops, for this thread, the capability that [`Account::assume`] has kept.
pub(super) fn give_up_bind_right() {
    if geteuid().is_root() {
        return;
    }
    // Dropping capabilities is always allowed.
    let _ = set_rights(CapabilitySet::empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names() {
        let check = |user, group, expected: &str| {
            let found = Account::find(user, group).unwrap_err().to_string();
            assert_eq!(found, expected);
        };
        check(
            Some("nobody-of-this-name"),
            None,
            "there is no user `nobody-of-this-name` on this machine",
        );
        check(
            None,
            Some("no-group-of-this-name"),
            "there is no group `no-group-of-this-name` on this machine",
        );
    }
}

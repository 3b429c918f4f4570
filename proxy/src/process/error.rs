//! Reasons why the process could not start.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::limits::LimitError;
use super::privileges::PrivilegeError;

/// Reason why the process could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There are too few file descriptors.
    #[error(transparent)]
    Limits(#[from] LimitError),
    /// A socket could not be bound.
    #[error("cannot listen on {address} (frontend `{frontend}`)")]
    Bind {
        /// The frontend's name.
        frontend: String,
        /// The address, as configured.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The admin interface could not be bound.
    #[error("cannot listen on {address} (admin)")]
    Admin {
        /// The address, as configured.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The process could not change to the configured user or group.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// A file for the configured user could not be created.
    #[error("cannot create {} for the configured user", path.display())]
    Create {
        /// The log file, the cache of compiled plugins, or the storage of certificates.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A thread, a runtime or a signal handler could not be created.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

//! Mistakes in the files of a `[tls.NAME]`, each with the key of the configuration that names the
//! file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::transport::tls::{CertificateError, ServerTlsError};

/// A file that cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// The file cannot be read, for example because it does not exist or this user has no
    /// permission.
    #[error("{} cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A certificate, its key or its OCSP response is unusable.
    #[error("{}: {error}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The mistake.
        error: CertificateError,
    },
    /// An authority for client certificates, or its revocation list, is unusable.
    #[error("{}: {error}", path.display())]
    Clients {
        /// The file.
        path: PathBuf,
        /// The mistake.
        error: ServerTlsError,
    },
    /// The settings of the site are invalid.
    #[error(transparent)]
    Settings(ServerTlsError),
}

/// The key in a `[tls.NAME]` that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `certificate` in the certificate entry with this index.
    Certificate(usize),
    /// `key` in the certificate entry with this index.
    Key(usize),
    /// `ocsp` in the certificate entry with this index.
    Ocsp(usize),
    /// `client_certificates.ca`.
    Ca,
    /// Element of `client_certificates.crl` with this index.
    Crl(usize),
    /// The table as a whole.
    Table,
}

/// A mistake in a site's files, with the key of the configuration that names the file.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Mistake {
    /// The site's name.
    pub site: String,
    /// The key in the site's table.
    pub place: Place,
    /// The mistake.
    pub error: FileError,
}

impl Mistake {
    pub(super) fn of_settings(site: &str, error: ServerTlsError) -> Mistake {
        Mistake {
            site: site.to_owned(),
            place: Place::Table,
            error: FileError::Settings(error),
        }
    }
}

impl FileError {
    /// Returns advice on how to fix the mistake. `user` is the user that reads the files, if the
    /// configuration names one.
    pub fn advice(&self, user: Option<&str>) -> Option<String> {
        use CertificateError as Error;
        let error = match self {
            FileError::Read { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                let user = match user {
                    Some(user) => format!("the user `{user}`"),
                    None => "the user that the proxy runs as".to_owned(),
                };
                return Some(format!("let {user} read the file, and search its folders"));
            }
            FileError::Certificate { error, .. } => error,
            _ => return None,
        };
        let advice = match error {
            Error::KeyMismatch(_) => "name the key that the certificate was issued for",
            Error::Authority(_) | Error::OutOfOrder { .. } => {
                "put the server's own certificate first, and after each certificate that of its issuer"
            }
            Error::NoName => "get a certificate for the names that clients use",
            Error::Expired(_) => "renew it",
            Error::NotYetValid(_) => "wait, or check the clock of this machine",
            Error::Ocsp(_) => "get a new one from the authority's responder, or leave out `ocsp`",
            _ => return None,
        };
        Some(advice.to_owned())
    }

    /// Returns whether the mistake can go away without a change to the configuration or to the
    /// file's contents.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            FileError::Read { .. } => true,
            FileError::Certificate { error, .. } => {
                matches!(error, CertificateError::NotYetValid(_))
            }
            FileError::Clients { .. } | FileError::Settings(_) => false,
        }
    }
}

impl Place {
    /// Returns the path of the key within the site's table. `is_list` means that the certificates
    /// are elements of `certificates`; `crls` is the number of revocation lists.
    pub fn keys(self, is_list: bool, crls: usize) -> Vec<String> {
        let of = |index: usize, key: &str| {
            let element = is_list.then(|| format!("certificates[{index}]"));
            element.into_iter().chain([key.to_owned()]).collect()
        };
        let clients = |key: String| vec!["client_certificates".to_owned(), key];
        match self {
            Place::Certificate(index) => of(index, "certificate"),
            Place::Key(index) => of(index, "key"),
            Place::Ocsp(index) => of(index, "ocsp"),
            Place::Ca => clients("ca".to_owned()),
            Place::Crl(_) if crls == 1 => clients("crl".to_owned()),
            Place::Crl(index) => clients(format!("crl[{index}]")),
            Place::Table => Vec::new(),
        }
    }
}

/// Formats several mistakes on one line, for the log.
pub(super) struct Several<'a>(pub(super) &'a [Mistake]);

impl fmt::Display for Several<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{}", mistake.error)?;
        }
        Ok(())
    }
}

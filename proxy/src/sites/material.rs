//! The files of a `[tls.NAME]`, read and checked.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::mistake::{FileError, Mistake, Place};
use crate::config::{self, CertificateFiles, ClientCertificates};
use crate::transport::tls::{
    CertificateError, ClientAuthority, ClientPolicy, Identity, OcspError, Role,
};

/// Maximum length of a file. Certificate revocation lists are the longest files: those of the
/// largest authorities have several megabytes.
const MAX_FILE: u64 = 16 << 20;

/// The contents of a site's files.
#[derive(Debug, Clone)]
pub(super) struct Material {
    /// Certificates in the order of the configuration, each with the path of its file.
    pub(super) certificates: Vec<(Identity, PathBuf)>,
    pub(super) clients: ClientPolicy,
    /// Digest of all files. If two digests are equal, the files are the same.
    pub(super) digest: [u8; 32],
}

/// Reads the files of one site, and collects the mistakes in them.
struct Reader<'a> {
    site: &'a str,
    now: SystemTime,
    /// The material in force. Its certificates are accepted even after they have expired, since a
    /// reload that keeps such a certificate does no harm.
    known: Option<&'a Material>,
    digest: Sha256,
    mistakes: Vec<Mistake>,
}

impl Material {
    /// Reads and checks the files; blocks meanwhile. `known` is the material in force, whose
    /// certificates are accepted even if they have expired.
    pub(super) fn read(
        config: &config::Tls,
        known: Option<&Material>,
        now: SystemTime,
    ) -> Result<Material, Vec<Mistake>> {
        let mut reader = Reader {
            site: &config.name,
            now,
            known,
            digest: Sha256::new(),
            mistakes: Vec::new(),
        };
        let mut certificates = Vec::new();
        for (index, files) in config.certificates.iter().enumerate() {
            if let Some(identity) = reader.identity(index, files) {
                certificates.push((identity, files.certificate.clone()));
            }
        }
        let clients = config.client_certificates.as_ref();
        let clients = clients.map(|clients| reader.clients(clients));
        if !reader.mistakes.is_empty() {
            return Err(reader.mistakes);
        }
        Ok(Material {
            certificates,
            clients: clients.unwrap_or_default(),
            digest: reader.digest.finalize().into(),
        })
    }

    pub(super) fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.certificates.iter().map(|(identity, _)| identity)
    }

    fn has(&self, sha256: &str) -> bool {
        let mut identities = self.identities();
        identities.any(|identity| &*identity.facts().sha256 == sha256)
    }
}

impl Reader<'_> {
    fn identity(&mut self, index: usize, files: &CertificateFiles) -> Option<Identity> {
        let chain = self.file(Place::Certificate(index), &files.certificate);
        let key = self.file(Place::Key(index), &files.key);
        let ocsp = files.ocsp.as_ref();
        let ocsp = ocsp.map(|path| (path, self.file(Place::Ocsp(index), path)));
        let wrong = |path: &Path, error| FileError::Certificate {
            path: path.to_owned(),
            error,
        };
        let identity = match Identity::from_pem(&chain?, &key?, Role::Server) {
            Ok(identity) => identity,
            Err(error) if error.is_about_key() => {
                return self.refuse(Place::Key(index), wrong(&files.key, error));
            }
            Err(error) => {
                let error = wrong(&files.certificate, error);
                return self.refuse(Place::Certificate(index), error);
            }
        };
        let sha256 = &identity.facts().sha256;
        let is_known = self.known.is_some_and(|known| known.has(sha256));
        if !is_known && let Err(error) = identity.check_dates(self.now) {
            let error = wrong(&files.certificate, error);
            return self.refuse(Place::Certificate(index), error);
        }
        let Some((path, response)) = ocsp else {
            return Some(identity);
        };
        match identity.clone().with_ocsp(&response?, self.now) {
            Ok(identity) => Some(identity),
            // Clients refuse an outdated OCSP response but accept a missing one, so this
            // certificate is used without a response.
            Err(OcspError::Outdated(_)) if is_known => Some(identity),
            Err(error) => {
                let error = wrong(path, CertificateError::Ocsp(error));
                self.refuse(Place::Ocsp(index), error)
            }
        }
    }

    fn clients(&mut self, config: &ClientCertificates) -> ClientPolicy {
        let policy = |ca: &[u8], crl: Option<Vec<u8>>| {
            let authority = ClientAuthority {
                ca: ca.to_vec(),
                crl,
            };
            if config.is_required {
                ClientPolicy::Required(authority)
            } else {
                ClientPolicy::Optional(authority)
            }
        };
        let wrong = |path: &Path, error| FileError::Clients {
            path: path.to_owned(),
            error,
        };
        let ca = self.file(Place::Ca, &config.ca).unwrap_or_default();
        let checked = if self.mistakes.iter().any(|one| one.place == Place::Ca) {
            Ok(())
        } else {
            policy(&ca, None).check()
        };
        let is_ca_good = checked.is_ok();
        if let Err(error) = checked {
            self.refuse::<()>(Place::Ca, wrong(&config.ca, error));
        }
        let mut lists: Option<Vec<u8>> = None;
        for (index, path) in config.crl.iter().enumerate() {
            let Some(list) = self.file(Place::Crl(index), path) else {
                continue;
            };
            if is_ca_good && let Err(error) = policy(&ca, Some(list.clone())).check() {
                self.refuse::<()>(Place::Crl(index), wrong(path, error));
            }
            let lists = lists.get_or_insert_default();
            lists.extend_from_slice(&list);
            // A file can lack its last newline, and the next file must start on a new line.
            lists.push(b'\n');
        }
        policy(&ca, lists)
    }

    fn file(&mut self, place: Place, path: &Path) -> Option<Vec<u8>> {
        match read(path) {
            Ok(bytes) => {
                // Each file's length comes first, so that different lists of files never yield the
                // same digest input.
                self.digest.update((bytes.len() as u64).to_be_bytes());
                self.digest.update(&bytes);
                Some(bytes)
            }
            Err(error) => {
                let path = path.to_owned();
                self.refuse(place, FileError::Read { path, error })
            }
        }
    }

    fn refuse<T>(&mut self, place: Place, error: FileError) -> Option<T> {
        self.mistakes.push(Mistake {
            site: self.site.to_owned(),
            place,
            error,
        });
        None
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let mut options = File::options();
    let options = options.read(true);
    // Without `O_NONBLOCK`, opening a FIFO would wait for a writer.
    let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return refuse("it is not a regular file");
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return refuse("it is longer than 16 MiB");
    }
    Ok(bytes)
}

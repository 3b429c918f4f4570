//! Certificates and their keys, as read from files, and their validation.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use super::facts::{CertificateFacts, date, rfc4514};
use super::ocsp::{self, OcspError};
use super::provider;

/// A certificate that a server or a client can present, with its chain and key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    facts: Arc<CertificateFacts>,
    /// Time until which the stapled OCSP response is valid, in seconds since 1970.
    ocsp_until: Option<i64>,
}

/// Reason why a certificate or its key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The chain is not valid PEM.
    #[error("it is not valid PEM: {0}")]
    Pem(String),
    /// There is no `CERTIFICATE` section.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// One of the certificates, counted from 1, cannot be parsed.
    #[error("certificate {0} of the chain cannot be read")]
    Malformed(usize),
    /// There is no section with a private key.
    #[error("there is no private key in it")]
    NoKey,
    /// The key is not valid PEM.
    #[error("the private key is not valid PEM: {0}")]
    KeyPem(String),
    /// The key needs a passphrase.
    #[error("the private key is encrypted; decrypt it with `openssl pkey`")]
    EncryptedKey,
    /// The key is broken or of an unsupported kind.
    #[error(
        "the private key is not of a supported kind (RSA of 2048 bits or more, ECDSA with P-256 or P-384, Ed25519): {0}"
    )]
    UnsupportedKey(String),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the first certificate, {0}")]
    KeyMismatch(String),
    /// The certificate has no DNS name and no IP address in `subjectAltName`, the only place where
    /// clients look for names.
    #[error("the certificate has no DNS name and no IP address as subjectAltName")]
    NoName,
    /// The first certificate is that of an authority.
    #[error(
        "the first certificate, {0}, is that of a certificate authority; the server's own must come first"
    )]
    Authority(String),
    /// A certificate of the chain does not certify the one before it.
    #[error(
        "certificate {position} of the chain, {subject}, does not certify the one before it, which was issued by {issuer}"
    )]
    OutOfOrder {
        /// Position of the certificate in the chain, counted from 1.
        position: usize,
        /// The certificate's subject.
        subject: String,
        /// The subject that a certificate at this position must have.
        issuer: String,
    },
    /// The certificate has expired.
    #[error("the certificate expired on {0}")]
    Expired(String),
    /// The certificate is not valid yet.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(String),
    /// The OCSP response cannot be stapled.
    #[error(transparent)]
    Ocsp(#[from] OcspError),
}

impl CertificateError {
    /// Returns whether the error is in the key rather than in the certificate.
    pub fn is_about_key(&self) -> bool {
        use CertificateError as Error;
        matches!(
            self,
            Error::NoKey
                | Error::KeyPem(_)
                | Error::EncryptedKey
                | Error::UnsupportedKey(_)
                | Error::KeyMismatch(_)
        )
    }
}

/// The side that presents a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server: its certificate needs names that clients can verify.
    Server,
    /// A client: its certificate needs no names.
    Client,
}

impl CertificateFacts {
    /// Reads the facts of the first certificate in PEM data.
    ///
    /// # Errors
    /// [`CertificateError`] if there is no valid certificate.
    pub fn from_pem(pem: &[u8]) -> Result<CertificateFacts, CertificateError> {
        use rustls::pki_types::pem::Error;
        let der = CertificateDer::from_pem_slice(pem).map_err(|error| match error {
            Error::NoItemsFound => CertificateError::NoCertificate,
            other => CertificateError::Pem(other.to_string()),
        })?;
        CertificateFacts::from_der(&der).ok_or(CertificateError::Malformed(1))
    }
}

impl Identity {
    /// Creates an identity from the chain, leaf certificate first, and the private key. Both are
    /// PEM and can be the same bytes. Does not check the dates: see [`Identity::check_dates`].
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_pem(chain: &[u8], key: &[u8], role: Role) -> Result<Identity, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::Pem(error.to_string()))?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let facts = check_chain(&chain, role)?;
        Identity::new(chain, read_key(key)?, facts)
    }

    /// Creates an identity from a certificate that was just generated, such as one for a challenge.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(certificate: &[u8], key: &[u8]) -> Result<Identity, CertificateError> {
        let facts =
            CertificateFacts::from_der(certificate).ok_or(CertificateError::Malformed(1))?;
        let key = PrivateKeyDer::try_from(key.to_vec())
            .map_err(|reason| CertificateError::UnsupportedKey(reason.to_owned()))?;
        let chain = vec![CertificateDer::from(certificate.to_vec())];
        Identity::new(chain, key, facts)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        facts: CertificateFacts,
    ) -> Result<Identity, CertificateError> {
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| CertificateError::UnsupportedKey(error.to_string()))?;
        let key = CertifiedKey::new(chain, key);
        // Other errors concern certificates that rustls cannot verify, such as those of challenges,
        // which have their own critical extension (RFC 8737, section 3).
        if key.keys_match() == Err(RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
            return Err(CertificateError::KeyMismatch(facts.subject.into()));
        }
        Ok(Identity {
            key: Arc::new(key),
            facts: Arc::new(facts),
            ocsp_until: None,
        })
    }

    /// Adds an OCSP response (DER) to staple.
    ///
    /// # Errors
    /// [`OcspError`] if `response` is not a valid OCSP response, or is outdated at `now`.
    pub fn with_ocsp(self, response: &[u8], now: SystemTime) -> Result<Identity, OcspError> {
        let until = ocsp::check(response, seconds(now))?;
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = Some(response.to_vec());
        Ok(Identity {
            key: Arc::new(key),
            facts: self.facts,
            ocsp_until: until,
        })
    }

    /// Returns a copy without the OCSP response if clients would reject it at `now`. Returns `None`
    /// if there is no response, or if it is still valid.
    pub fn without_outdated_ocsp(&self, now: SystemTime) -> Option<Identity> {
        self.ocsp_until.filter(|until| *until < seconds(now))?;
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = None;
        Some(Identity {
            key: Arc::new(key),
            facts: Arc::clone(&self.facts),
            ocsp_until: None,
        })
    }

    /// Checks that the certificate is valid at `now`.
    ///
    /// # Errors
    /// [`CertificateError::Expired`], [`CertificateError::NotYetValid`].
    pub fn check_dates(&self, now: SystemTime) -> Result<(), CertificateError> {
        let now = seconds(now);
        if now > self.facts.not_after {
            return Err(CertificateError::Expired(date(self.facts.not_after)));
        }
        if now < self.facts.not_before {
            return Err(CertificateError::NotYetValid(date(self.facts.not_before)));
        }
        Ok(())
    }

    /// Returns the facts of the certificate.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    use rustls::pki_types::pem::Error;
    let has = |mark: &[u8]| pem.windows(mark.len()).any(|window| window == mark);
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => CertificateError::NoKey,
        other => CertificateError::KeyPem(other.to_string()),
    })
}

/// Checks a chain and returns the facts of its first certificate.
fn check_chain(
    chain: &[CertificateDer<'static>],
    role: Role,
) -> Result<CertificateFacts, CertificateError> {
    let mut parsed = Vec::with_capacity(chain.len());
    for (at, der) in chain.iter().enumerate() {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed(at + 1))?;
        parsed.push(certificate);
    }
    let facts = CertificateFacts::new(&chain[0], &parsed[0]);
    if parsed[0].is_ca() {
        return Err(CertificateError::Authority(facts.subject.into()));
    }
    for (at, pair) in parsed.windows(2).enumerate() {
        if !certifies(&pair[1], &pair[0]) {
            return Err(CertificateError::OutOfOrder {
                position: at + 2,
                subject: rfc4514(pair[1].subject()),
                issuer: rfc4514(pair[0].issuer()),
            });
        }
    }
    if role == Role::Server && facts.names.iter().all(|name| name.contains("://")) {
        return Err(CertificateError::NoName);
    }
    Ok(facts)
}

/// Returns whether `issuer` certifies `subject`.
///
/// Compares the names, and the key identifiers if both certificates have them, because one
/// authority can have certificates for several keys. Accepts version 1 certificates as authorities,
/// because they cannot state their purpose.
fn certifies(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>) -> bool {
    let wanted =
        subject
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
                _ => None,
            });
    let found = issuer
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id),
            _ => None,
        });
    let fits = match (wanted, found) {
        (Some(wanted), Some(found)) => wanted.0 == found.0,
        _ => true,
    };
    let may = issuer.is_ca() || issuer.version() == X509Version::V1;
    may && fits && issuer.subject().as_raw() == subject.issuer().as_raw()
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

//! The connection on which a case's request arrives, as written in `cases.toml`: HTTP version,
//! scheme, and TLS.
//!
//! Called by `cases`.

use std::sync::Arc;

use serde::Deserialize;

use crate::http::head::{CertificateFacts, TlsFacts};
use crate::http::message::{Scheme, Version};

/// An HTTP version.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) enum RawVersion {
    #[serde(rename = "1.0")]
    Http10,
    #[default]
    #[serde(rename = "1.1")]
    Http11,
    #[serde(rename = "2")]
    Http2,
}

impl From<RawVersion> for Version {
    fn from(version: RawVersion) -> Version {
        match version {
            RawVersion::Http10 => Version::Http10,
            RawVersion::Http11 => Version::Http11,
            RawVersion::Http2 => Version::Http2,
        }
    }
}

/// A URI scheme.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawScheme {
    Http,
    Https,
}

impl From<RawScheme> for Scheme {
    fn from(scheme: RawScheme) -> Scheme {
        match scheme {
            RawScheme::Http => Scheme::Http,
            RawScheme::Https => Scheme::Https,
        }
    }
}

/// A TLS session.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    server_name: Option<String>,
    alpn: Option<String>,
    client_certificate: Option<RawCertificate>,
}

/// The certificate that a client has presented.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCertificate {
    subject: String,
    issuer: String,
    names: Vec<String>,
    serial: String,
    sha256: String,
    not_after: i64,
}

impl Default for RawCertificate {
    fn default() -> RawCertificate {
        RawCertificate {
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            serial: "1".to_owned(),
            sha256: "0".repeat(64),
            not_after: 0,
        }
    }
}

impl RawTls {
    /// Returns the facts that the proxy would have about this TLS session.
    pub(super) fn facts(&self) -> Arc<TlsFacts> {
        let server_name = self.server_name.as_deref();
        let certificate = self.client_certificate.as_ref();
        Arc::new(TlsFacts {
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            alpn: self.alpn.as_deref().map(|name| name.as_bytes().into()),
            client_certificate: certificate.map(|raw| Box::new(raw.facts())),
            ..TlsFacts::default()
        })
    }
}

impl RawCertificate {
    fn facts(&self) -> CertificateFacts {
        CertificateFacts {
            subject: self.subject.as_str().into(),
            issuer: self.issuer.as_str().into(),
            names: self.names.iter().map(|name| name.as_str().into()).collect(),
            serial: self.serial.as_str().into(),
            sha256: self.sha256.as_str().into(),
            not_before: 0,
            not_after: self.not_after,
        }
    }
}

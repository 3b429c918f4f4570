//! The simulated connection of `pointsman route`: HTTP version, scheme and TLS.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use crate::cli::Exit;
use crate::http::head::TlsFacts;
use crate::http::message::{RequestHead, Scheme, Version};
use crate::transport::tls::CertificateFacts;

/// Flags that describe the connection.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectionFlags {
    /// HTTP version
    #[arg(long, value_name = "VERSION", default_value = "1.1")]
    http_version: HttpVersion,
    /// Scheme, unless a trusted proxy names another; defaults to the connection's own
    #[arg(long)]
    scheme: Option<SchemeName>,
    /// Assume a TLS connection; implied by each of the following flags
    #[arg(long)]
    tls: bool,
    /// Server name that the client sends (SNI)
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Protocol that ALPN selects; defaults to `h2` for HTTP/2
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Option<String>,
    /// Certificate (PEM) that the client presents; it is not verified
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HttpVersion {
    #[value(name = "1.0")]
    Http10,
    #[value(name = "1.1")]
    Http11,
    #[value(name = "2")]
    Http2,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemeName {
    Http,
    Https,
}

impl ConnectionFlags {
    /// Sets the HTTP version and the scheme of a head.
    pub(super) fn set_line(&self, head: &mut RequestHead) {
        head.set_version(match self.http_version {
            HttpVersion::Http10 => Version::Http10,
            HttpVersion::Http11 => Version::Http11,
            HttpVersion::Http2 => Version::Http2,
        });
        head.set_scheme(match self.scheme {
            Some(SchemeName::Https) => Scheme::Https,
            None if self.has_tls() => Scheme::Https,
            Some(SchemeName::Http) | None => Scheme::Http,
        });
    }

    /// Returns the head for a connection in TCP mode. It contains only the server name.
    pub(super) fn head_without_http(&self) -> RequestHead {
        let mut head = RequestHead::default();
        if let Some(name) = &self.server_name {
            head.set_server_name(&name.to_ascii_lowercase());
        }
        head
    }

    /// Returns the facts about the TLS session that the proxy would have.
    pub(super) fn facts(&self) -> Result<Option<Arc<TlsFacts>>, Exit> {
        if !self.has_tls() {
            return Ok(None);
        }
        let by_version = (self.http_version == HttpVersion::Http2).then_some("h2");
        let alpn = self.alpn.as_deref().or(by_version);
        let server_name = self.server_name.as_deref();
        Ok(Some(Arc::new(TlsFacts {
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            alpn: alpn.map(|alpn| alpn.as_bytes().into()),
            client_certificate: self.certificate()?,
            ..TlsFacts::default()
        })))
    }

    fn has_tls(&self) -> bool {
        self.tls
            || self.server_name.is_some()
            || self.alpn.is_some()
            || self.client_certificate.is_some()
    }

    fn certificate(&self) -> Result<Option<Box<CertificateFacts>>, Exit> {
        let Some(path) = &self.client_certificate else {
            return Ok(None);
        };
        let fail = |error: &dyn std::fmt::Display| {
            let message = format!("{}: {error}", path.display());
            crate::cli::fail(&std::io::Error::other(message))
        };
        let pem = fs::read(path).map_err(|error| fail(&error))?;
        let facts = CertificateFacts::from_pem(&pem).map_err(|error| fail(&error))?;
        Ok(Some(Box::new(facts)))
    }
}

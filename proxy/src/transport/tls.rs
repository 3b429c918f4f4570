//! TLS through rustls, without waiting.
//!
//! This module contains handshakes, the resulting streams, certificates and session tickets. No
//! type of rustls leaves it. The cryptography provider is always ring, passed explicitly: nothing
//! depends on a process-wide default.

mod certificate;
mod ciphertext;
mod client;
mod facts;
mod handshake;
mod ocsp;
mod server;
mod site;
mod stream;
mod tickets;

#[cfg(test)]
pub(crate) mod testing;

use std::sync::{Arc, LazyLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};

pub use certificate::{CertificateError, Identity, Role};
pub use client::{ClientSettings, ClientTls, ClientTlsError, PeerName, Roots};
pub use facts::{CertificateFacts, TlsFacts, date};
pub use handshake::{Handshake, HandshakeError};
pub use ocsp::OcspError;
pub use server::{ServerSettings, ServerTls, ServerTlsError, StagedSettings};
pub use site::{Challenges, ClientAuthority, ClientPolicy};
pub use stream::TlsStream;
pub use tickets::{TicketError, TicketKeys};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Returns the versions from `min` to `max`.
fn versions(min: Version, max: Version) -> Vec<&'static SupportedProtocolVersion> {
    [(Version::Tls12, &TLS12), (Version::Tls13, &TLS13)]
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, supported)| supported)
        .collect()
}

//! TLS, by rustls, without waiting.
//!
//! Handshakes, and the streams that come of them. No type of rustls leaves this module, and the
//! cryptography is always ring's, given explicitly: nothing depends on a default of the process.

mod handshake;
mod stream;

#[cfg(test)]
pub(crate) mod testing;

pub use handshake::{Handshake, HandshakeError};
pub use stream::TlsStream;

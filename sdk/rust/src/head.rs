//! A request head, in the proxy or, under test, in memory.
//!
//! Owns the choice between two types with the same methods, so that in a plugin there is no
//! indirection between a read and the call to the proxy. Used by `request` and `testing`.

#[cfg(not(target_family = "wasm"))]
mod effects;
#[cfg(not(target_family = "wasm"))]
mod memory;
#[cfg(target_family = "wasm")]
mod proxy;

#[cfg(not(target_family = "wasm"))]
pub use effects::{Edit, Options, ResponseEdit};
#[cfg(not(target_family = "wasm"))]
pub use memory::ClientCertificate;
#[cfg(not(target_family = "wasm"))]
pub(crate) use memory::{Body, Head};
#[cfg(target_family = "wasm")]
pub(crate) use proxy::Head;

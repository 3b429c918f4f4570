//! Where a request head lies: in the proxy, or in memory under test.
//!
//! Owns the choice between two types of the same methods, so that in a plugin nothing
//! stands between a read and the call to the proxy. Used by `request` alone.

#[cfg(not(target_family = "wasm"))]
mod memory;
#[cfg(target_family = "wasm")]
mod proxy;

#[cfg(not(target_family = "wasm"))]
pub(crate) use memory::Head;
#[cfg(target_family = "wasm")]
pub(crate) use proxy::Head;

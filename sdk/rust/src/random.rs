//! Random numbers, fit for secrets. A decision that takes one is not cached, and where `configure`
//! does, none of the plugin's is.
//!
//! `wasm32-unknown-unknown` has none of its own, so crates that need some do not build for it.

/// A random number; each bit is as likely as another.
pub fn number() -> u64 {
    #[cfg(target_family = "wasm")]
    return crate::guest::random_number();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::random_number()
}

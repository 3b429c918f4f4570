//! Random numbers, suitable for secrets. A decision that takes one is not cached. If `configure`
//! takes one, none of the plugin's decisions is cached.
//!
//! `wasm32-unknown-unknown` has no source of random numbers, so crates that need one do not build
//! for it.

/// Returns a uniformly distributed random number.
pub fn number() -> u64 {
    #[cfg(target_family = "wasm")]
    return crate::guest::random_number();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::random_number()
}

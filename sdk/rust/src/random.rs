//! Random numbers, suitable for secrets. A decision that uses one is not cached. If `configure`
//! uses one, none of the plugin's decisions is cached.
//!
//! `wasm32-unknown-unknown` has no source of random numbers, so crates that need random numbers do
//! not build for that target.

/// Returns a uniformly distributed random number.
pub fn number() -> u64 {
    #[cfg(target_family = "wasm")]
    return crate::guest::random_number();
    #[cfg(not(target_family = "wasm"))]
    crate::testing::random_number()
}

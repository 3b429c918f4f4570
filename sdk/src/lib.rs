//! Write routing plugins for Pointsman in Rust.
//!
//! A plugin is a type that implements [`Router`], handed to [`export!`]: it is made once
//! from the `router.config` table of the proxy's configuration, and then asked for a
//! [`Decision`] on each request. It reads what it needs through [`Request`], and nothing
//! else crosses into its sandbox.
//!
//! ```
//! use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     canary: String,
//! }
//!
//! struct Canary {
//!     backend: String,
//! }
//!
//! impl Router for Canary {
//!     type Config = Config;
//!
//!     fn configure(config: Config) -> Result<Self, Error> {
//!         pointsman_sdk::backends::require("canary", &config.canary)?;
//!         Ok(Self { backend: config.canary })
//!     }
//!
//!     fn cacheability(&self) -> Cacheability {
//!         Cacheability::Cacheable
//!     }
//!
//!     fn route(&self, request: &Request) -> Result<Decision, Error> {
//!         Ok(match request.cookie("canary") {
//!             Some(value) if value == b"1" => Decision::backend(&self.backend),
//!             _ => Decision::DefaultBackend,
//!         })
//!     }
//! }
//!
//! pointsman_sdk::export!(Canary);
//! ```
//!
//! Its crate is a `cdylib`, for the plugin, and an `rlib`, for its tests:
//! `crate-type = ["cdylib", "rlib"]`. Built for `wasm32-wasip2` it is a component that the
//! proxy loads as it is; for `wasm32-unknown-unknown`, a core module that the proxy
//! encodes on load; `pointsman plugin build` does either. Tests run natively, without the proxy
//! or a sandbox: see `testing`.
//!
//! A plugin for `wasm32-unknown-unknown` has [`clock`], [`random`] and [`log`] in place of what
//! the standard library lacks there: `println!` writes nowhere, and `SystemTime::now` panics.
//!
//! Owns the Rust face of `wit/router.wit`. Must hold no policy, and must not panic,
//! whatever bytes a request has.

#![deny(missing_docs, unsafe_code)]
// The workspace's lints, for a manifest that cannot name them.
#![warn(
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::get_unwrap,
    clippy::indexing_slicing,
    clippy::dbg_macro,
    clippy::todo,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::mod_module_files,
    clippy::allow_attributes_without_reason,
    clippy::str_to_string
)]
#![allow(
    clippy::must_use_candidate,
    clippy::module_name_repetitions,
    clippy::similar_names,
    reason = "as in the workspace"
)]

pub mod backends;
pub mod clock;
mod config;
mod decision;
mod error;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
mod head;
pub mod log;
mod network;
pub mod random;
mod request;
pub mod syntax;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use config::NoConfig;
pub use decision::{Decision, Response};
pub use error::{EditError, Error};
pub use network::{Network, Networks};
pub use request::{Client, Request, Tls};

use serde::de::DeserializeOwned;

/// What a plugin implements: its configuration, and its answer to a request.
pub trait Router: Sized + 'static {
    /// The plugin's own table in the proxy's configuration, `router.config`.
    ///
    /// Keys that the type does not read are errors, as are values that it refuses: the
    /// proxy shows each at its place in the file. [`NoConfig`] for a plugin without any.
    type Config: DeserializeOwned;

    /// Makes the router from its configuration, once for each instance.
    ///
    /// # Errors
    /// Whatever makes the configuration of no use: [`Error::at`] names the key. The
    /// plugin is then not put into service, and the version before it stays there.
    fn configure(config: Self::Config) -> Result<Self, Error>;

    /// Whether the proxy may answer the next request that reads alike without asking.
    ///
    /// [`Cacheability::Uncacheable`] unless overridden: what is right for any router.
    fn cacheability(&self) -> Cacheability {
        Cacheability::Uncacheable
    }

    /// Decides where a request goes.
    ///
    /// # Errors
    /// Counts as a fault of the plugin, as a trap does; the request goes by the
    /// frontend's `on_fault`. A request without a match is no error but
    /// [`Decision::DefaultBackend`].
    fn route(&self, request: &Request) -> Result<Decision, Error>;
}

/// Whether the proxy may reuse a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheability {
    /// A decision follows from the configuration and from what was read of the request
    /// alone: it serves every request in which those reads give the same values.
    Cacheable,
    /// A decision depends on more, as on earlier requests: each is made afresh.
    Uncacheable,
}

/// Makes a [`Router`] the plugin that its crate is built to.
///
/// Once in a crate, with the type: `pointsman_sdk::export!(MyRouter);`. A panic of the
/// plugin is written to the proxy's log before it traps.
#[macro_export]
macro_rules! export {
    ($router:ty) => {
        const _: fn() = || {
            fn is_router<T: $crate::Router>() {}
            is_router::<$router>();
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static ROUTER: $crate::guest::Cell<$router> = const { $crate::guest::Cell::new() };
            }

            struct Plugin;

            impl $crate::guest::Guest for Plugin {
                fn configure(
                    config: ::std::string::String,
                ) -> ::std::result::Result<$crate::guest::Cacheability, ::std::string::String>
                {
                    ROUTER.with(|router| $crate::guest::configure(router, &config))
                }

                fn route(
                    request: $crate::guest::RequestHead,
                ) -> ::std::result::Result<$crate::guest::Decision, ::std::string::String> {
                    ROUTER.with(|router| $crate::guest::route(router, request))
                }
            }

    $crate::guest::bindings::export!(Plugin with_types_in $crate::guest::bindings);
        };
    };
}

//! A reverse proxy whose routing is a WebAssembly plugin.
//!
//! A request passes through the modules in this order:
//!
//! - A listener of [`downstream`], in one [`worker`], accepts a connection.
//! - The HTTP code reads a [`request`] from the connection. Its [`frontend`] has the rules.
//! - The [`router`], which calls the [`plugin`], chooses a backend.
//! - [`upstream`] provides a connection to a server.
//! - Both bodies move over their [`wire`]s. After a 101 response, the connections become a
//!   [`tunnel`].
//!
//! `ARCHITECTURE.md` contains the map and the invariants. This library exists for the binary and
//! its tests. Its API is not stable.

pub mod cli;
pub mod demo;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod plugin_tools;

pub mod acme;
pub mod admin;
pub mod control;
pub mod process;
pub mod rollout;
pub mod sites;
pub mod worker;

pub mod downstream;
pub mod frontend;
pub mod plugin;
pub mod questions;
pub mod request;
pub mod router;
pub mod tables;
pub mod tunnel;
pub mod upstream;
pub mod wire;

pub mod config;
pub mod connection_limiter;
pub mod http;
pub mod http1;
pub mod http2;
pub mod memory;
pub mod shutdown;
pub mod spawn;
pub mod telemetry;
pub mod timer;
pub mod transport;

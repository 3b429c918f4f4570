//! A reverse proxy whose routing is a WebAssembly plugin.
//!
//! The modules in the order in which a request meets them: a [`listener`] of a [`worker`]
//! accepts a [`connection`]; hyper makes a [`request`] of its bytes, which is admitted, asks
//! its [`router`] (and that the [`plugin`]) for a backend, gets a connection from
//! [`upstream`], and is [`forward`]ed; after a 101 the connection is a [`tunnel`].
//!
//! `ARCHITECTURE.md` has the map and what must stay true. This library exists for the
//! binary and its tests; its interface promises nothing.

pub mod authoring;
pub mod cli;
pub mod demo;
pub mod server;
pub mod worker;

pub mod connection;
pub mod downstream;
pub mod forward;
pub mod listener;
pub mod plugin;
pub mod request;
pub mod router;
pub mod tunnel;
pub mod upstream;

pub mod config;
pub mod http;
pub mod memory;
pub mod places;
pub mod shutdown;
pub mod spawn;
pub mod stream;
pub mod telemetry;
pub mod timer;

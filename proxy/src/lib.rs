//! A reverse proxy whose routing is a WebAssembly plugin.

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
pub mod shutdown;
pub mod stream;
pub mod telemetry;
pub mod timer;

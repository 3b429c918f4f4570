//! Sockets, TLS, and the buffers for them.
//!
//! Called by the connections of both sides. Does not depend on HTTP.

pub mod async_io;
pub mod buffer;
pub mod client_hello;
pub mod io;
pub mod proxy_protocol;
pub mod tls;

mod reader;
mod socket;

//! Sockets and the buffers for them, below any protocol.
//!
//! Called by the connections of both sides. Knows no HTTP.

pub mod buffer;
pub mod client_hello;
pub mod io;
pub mod proxy_protocol;

mod reader;

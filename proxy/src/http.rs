//! HTTP's rules as pure functions and values: no I/O, no async, nothing of the proxy's own.

pub mod head;
pub mod headers;
pub mod replay;
pub mod target;
pub mod upgrade;

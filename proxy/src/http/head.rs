//! The sender of a request, which its head does not name.
//!
//! A fact of the downstream connection, read by the plugin and the log.

/// The peer of a downstream connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// An IP address in text form, or the path of a Unix socket (empty where it has none).
    pub address: String,
    /// 0 for a Unix socket.
    pub port: u16,
}

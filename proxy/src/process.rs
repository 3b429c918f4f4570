//! The process: start, privileges, sockets and their inheritance, signals, drain, upgrade.
//!
//! A start takes these steps in order: a survey of the machine ([`survey`]), descriptors and
//! sockets, user and group, plugins and names ([`Prepared`](crate::control::Prepared)), workers. If
//! a step fails, the sockets are closed again. Once the process serves, [`control`](crate::control)
//! makes changes to the running process.

mod admin_sockets;
mod dedicated_thread;
mod drain;
mod error;
mod folder;
mod handle;
mod inheritance;
mod limits;
mod privileges;
mod reload;
mod sd_notify;
mod signals;
mod socket_access;
mod sockets;
mod start;
mod survey;
#[cfg(test)]
mod tests;
mod upgrade;
mod user_files;
mod workers;

pub use drain::Stopped;
pub use error::StartError;
pub use inheritance::{InheritError, Inherited};
pub use limits::LimitError;
pub use privileges::{PrivilegeError, assume_if_root};
pub use start::{Opened, Start};
pub use survey::{Survey, review, survey};

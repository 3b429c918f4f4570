//! Lookups of the addresses of servers by name: before a configuration comes into force, and
//! repeatedly while it is in force.
//!
//! `resolver` queries DNS once, and `schedule` determines the time of the next lookup. `setup` and
//! the keeper call this module.

mod found;
mod hosts;
mod lookups;
mod name_servers;
mod names;
mod preference;
mod resolver;
mod schedule;
mod watched;

pub(super) use self::lookups::Lookups;
pub use self::names::Moved;
pub(super) use self::names::Names;

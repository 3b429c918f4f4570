//! From the names of servers to their addresses: before a configuration comes into force, and
//! repeatedly while it is.
//!
//! `resolver` queries DNS once, `schedule` determines the time of the next lookup. Called by
//! `setup` and by the keeper.

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

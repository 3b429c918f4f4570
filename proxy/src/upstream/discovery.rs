//! From the names of servers to their addresses: before a configuration comes into force, and again
//! and again while it is.
//!
//! `resolver` asks DNS once, `schedule` says when to ask next. Called by `setup` and by the keeper.

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

//! From the names of servers to their addresses, again and again.
//!
//! [`Resolver`] asks DNS once, [`schedule`] says when to ask next. Neither keeps anything about a
//! server between two lookups.

mod hosts;
mod name_servers;
mod preference;
mod resolver;
mod schedule;
mod watched;

#[expect(unused_imports, reason = "as the module itself")]
pub(crate) use self::resolver::{Answer, Preference, ResolveError, Resolver, Target};

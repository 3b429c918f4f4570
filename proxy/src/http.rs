//! Rules of HTTP as pure functions and values: no I/O, no async, nothing specific to this proxy.

pub mod authority;
pub mod cookie;
pub mod edit;
pub mod field;
pub mod fields;
pub mod forwarded;
pub mod head;
pub mod message;
pub mod number;
pub mod origin;
pub mod path;
pub mod query;
pub mod span;
pub mod syntax;

//! Plugins in every language, with the real toolchains: the book's commands as they stand there,
//! and the policy of `host-suffix` in each.

mod book;
mod examples;
mod lines;
mod mistakes;
mod natives;
mod place;
mod platform;
mod policies;
mod tracebacks;
mod watch;

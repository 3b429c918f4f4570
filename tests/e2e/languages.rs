//! Plugins in every language, built with the real toolchains: the book's commands exactly as
//! printed, and the policy of `host-suffix` in each language.

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

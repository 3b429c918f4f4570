//! Certificates from an ACME server (RFC 8555): ordering, storage on disk, renewal.
//!
//! [`Manager`] runs a task for each `[tls.NAME]` with `acme`, and hands new certificates to its
//! [`Publish`]er. Workers only look up tokens in [`HttpChallenges`]. `control` calls this module,
//! which depends on no frontend, and on no part of the configuration except `config::Acme`.

mod account;
mod challenge;
mod error;
mod http;
mod manager;
mod order;
mod schedule;
mod site;
mod storage;

pub use challenge::HttpChallenges;
pub use error::OrderError;
pub use http::{HttpError, check_authorities};
pub use manager::Manager;
pub use site::{Publish, SiteStatus};
pub use storage::{StorageError, Stored, check_storage, stored};

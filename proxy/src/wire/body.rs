//! Events of reading a body.

use std::io;

use thiserror::Error;

use crate::http1::chunked::ChunkError;

/// Reason why a body is incomplete.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The connection ended before the body did.
    #[error("the connection ended in the middle of a body")]
    Truncated,
    /// The connection failed.
    #[error("the connection failed in the middle of a body")]
    Io(#[source] io::Error),
    /// The chunks are not framed as HTTP requires.
    #[error("the body is not chunked correctly")]
    Chunk(#[from] ChunkError),
    /// The body is larger than `Wire::limit_body` allows.
    #[error("the body is larger than the limit of {0} bytes")]
    TooLarge(u64),
}

/// The next event of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// `Source::data` is not empty.
    Data,
    /// The body is complete.
    End,
}

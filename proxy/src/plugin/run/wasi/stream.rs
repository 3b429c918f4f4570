//! A guest's stdout or stderr as lines of the log.
//!
//! Always ready, never fails. Owned by the parent module, written by the guest.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::plugin::run::log::Log;

/// Bytes that a guest may write at once; also the longest line, which is broken there.
const MAX_WRITE: usize = 4096;

/// One of the two streams. A clone writes to the same one.
#[derive(Debug, Clone)]
pub(super) struct LogOutput {
    log: Log,
    /// The line begun. One thread at a time runs an instance: never contended.
    line: Arc<Mutex<Vec<u8>>>,
}

impl LogOutput {
    pub(super) fn new(log: Log) -> LogOutput {
        LogOutput {
            log,
            line: Arc::default(),
        }
    }

    /// Writes the line begun, if there is one.
    pub(super) fn end_line(&self) {
        let mut line = self.line();
        if !line.is_empty() {
            self.write_line(&line);
            line.clear();
        }
    }

    fn line(&self) -> MutexGuard<'_, Vec<u8>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_line(&self, line: &[u8]) {
        self.log.write(Level::INFO, &String::from_utf8_lossy(line));
    }

    fn push(&self, bytes: &[u8]) {
        let mut line = self.line();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for chunk in part.chunks(MAX_WRITE) {
                let ended = chunk.strip_suffix(b"\n");
                line.extend_from_slice(ended.unwrap_or(chunk));
                if ended.is_some() || line.len() >= MAX_WRITE {
                    self.write_line(&line);
                    line.clear();
                }
            }
        }
    }
}

impl IsTerminal for LogOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogOutput {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for LogOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

/// Asked for by `StdoutStream`; WASI 0.2 does not come this way.
impl AsyncWrite for LogOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

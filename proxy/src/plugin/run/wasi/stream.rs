//! A guest's stdout or stderr, written to the log line by line.
//!
//! The stream is always ready. A write beyond the size that `check-write` permits traps, which
//! bounds the work of each call. Owned by the parent module; written by the guest.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::plugin::run::log::{Log, MAX_LINE};

/// Maximum number of bytes that a guest can write at once. A longer line is split.
pub(super) const MAX_WRITE: usize = MAX_LINE;

/// One of the two output streams. Clones write to the same stream.
#[derive(Debug, Clone)]
pub(super) struct LogOutput {
    log: Log,
    /// The unfinished line. The lock is never contended, since only one thread at a time runs an
    /// instance.
    line: Arc<Mutex<Vec<u8>>>,
}

impl LogOutput {
    pub(super) fn new(log: Log) -> LogOutput {
        LogOutput {
            log,
            line: Arc::default(),
        }
    }

    /// Writes the unfinished line, if there is one.
    pub(super) fn end_line(&self) {
        self.flush_line(&mut self.line());
    }

    fn line(&self) -> MutexGuard<'_, Vec<u8>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_line(&self, line: &mut Vec<u8>) {
        if !line.is_empty() {
            self.log.write(Level::INFO, &*line);
            line.clear();
        }
    }

    /// Writes the complete lines as one message, and keeps the rest. `bytes` has at most
    /// [`MAX_WRITE`] bytes.
    fn push(&self, bytes: &[u8]) {
        let mut line = self.line();
        let is_end = |byte: &u8| *byte == b'\n';
        let first = bytes.iter().position(is_end).unwrap_or(bytes.len());
        if line.len() + first > MAX_LINE {
            self.flush_line(&mut line);
        }
        line.extend_from_slice(bytes);
        if let Some(end) = line.iter().rposition(is_end) {
            self.log.write(Level::INFO, &line[..end]);
            line.drain(..=end);
        }
    }
}

/// Checks that a write does not exceed the permitted size.
fn check(length: usize) -> StreamResult<()> {
    if length <= MAX_WRITE {
        return Ok(());
    }
    let text = format!("it writes {length} bytes at once, where check-write permits {MAX_WRITE}");
    Err(StreamError::trap(&text))
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
        check(bytes.len())?;
        self.push(&bytes);
        Ok(())
    }

    fn write_zeroes(&mut self, length: usize) -> StreamResult<()> {
        check(length)?;
        self.push(&[0; MAX_WRITE][..length]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

/// Required by `StdoutStream`; WASI 0.2 does not use it.
impl AsyncWrite for LogOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(MAX_WRITE)];
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::config::StageId;
    use crate::plugin::LineBudget;

    fn output() -> (LogOutput, LineBudget) {
        let budget = LineBudget::default();
        let log = Log::new(
            StageId::new("front", "stage"),
            "plugin".into(),
            budget.clone(),
        );
        (LogOutput::new(log), budget)
    }

    #[test]
    fn a_write_is_no_larger_than_permitted() {
        let (mut output, _) = output();
        assert_eq!(output.check_write().unwrap(), MAX_WRITE);
        assert!(output.write(vec![b'x'; MAX_WRITE].into()).is_ok());
        assert!(output.write_zeroes(MAX_WRITE).is_ok());
        for result in [
            output.write(vec![b'\n'; 1_000_000].into()),
            output.write_zeroes(usize::MAX),
        ] {
            assert!(matches!(result, Err(StreamError::Trap(_))), "{result:?}");
        }
        let held = output.line().len();
        assert!(held <= 2 * MAX_WRITE, "{held}");
    }

    #[test]
    fn lines_beyond_the_budget_are_counted_in_one_go() {
        let (mut output, budget) = output();
        let subscriber = tracing_subscriber::fmt().with_writer(io::sink).finish();
        tracing::subscriber::with_default(subscriber, || {
            let start = Instant::now();
            for _ in 0..250 {
                output.write(b"x\n".repeat(MAX_WRITE / 2).into()).unwrap();
            }
            let lines = 250 * (MAX_WRITE / 2) as u64;
            let written = lines - budget.dropped();
            let seconds = start.elapsed().as_secs() + 1;
            assert!((1..=100 * seconds).contains(&written), "{written}");
        });
    }
}

//! `wasi:io` without a runtime: a future is polled once, and the thread may then sleep for a timer.
//!
//! The work itself is done by wasmtime-wasi-io's asynchronous functions. Linked by the parent
//! module.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::io as asynchronous;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Pollable, StreamError, StreamResult, subscribe,
};

use crate::plugin::run::fault::Refusal;
use crate::plugin::run::host::State;

/// Maximum number of host resources that one instance can hold: pollables, streams, errors.
pub(super) const MAX_RESOURCES: usize = 256;

thread_local! {
    /// The earliest timer that the poll in progress found not ready.
    static NEXT_TIMER: Cell<Option<Instant>> = const { Cell::new(None) };
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    asynchronous::error::add_to_linker::<_, Errors>(linker, |state| state.io().table)?;
    poll::add_to_linker::<_, Io<'static>>(linker, State::io)?;
    streams::add_to_linker::<_, Io<'static>>(linker, State::io)
}

/// A store's resources, borrowed for one function call.
pub(super) struct Io<'a> {
    pub(super) table: &'a mut ResourceTable,
    /// Time until which the call into the guest may wait; None if it is not allowed to wait.
    pub(super) patience: Option<Instant>,
    pub(super) has_waited: &'a mut bool,
}

impl HasData for Io<'static> {
    type Data<'a> = Io<'a>;
}

struct Errors;

impl HasData for Errors {
    type Data<'a> = &'a mut ResourceTable;
}

/// A pollable that becomes ready at its time.
pub(super) struct Timer {
    /// Time at which the pollable becomes ready; None means never.
    at: Option<Instant>,
}

impl Timer {
    pub(super) fn subscribe(
        table: &mut ResourceTable,
        wait: Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let at = Instant::now().checked_add(wait);
        let timer = table.push(Timer { at })?;
        subscribe(table, timer)
    }
}

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        let at = self.at;
        poll_fn(move |_| {
            if at.is_some_and(|at| at <= Instant::now()) {
                return Poll::Ready(());
            }
            if let Some(at) = at {
                NEXT_TIMER.with(|next| {
                    let earlier = next.get().map_or(at, |other| other.min(at));
                    next.set(Some(earlier));
                });
            }
            Poll::Pending
        })
        .await;
    }
}

/// Returns the value of `future`, which can wait only for timers.
fn wait<T>(
    patience: Option<Instant>,
    has_waited: &mut bool,
    future: impl Future<Output = T>,
) -> wasmtime::Result<T> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        NEXT_TIMER.set(None);
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return Ok(value);
        }
        let at = NEXT_TIMER.take().ok_or(Refusal::WaitsForever)?;
        *has_waited = true;
        let end = patience.ok_or(Refusal::Waits)?;
        if at > end {
            return Err(Refusal::WaitsBeyondDeadline.into());
        }
        thread::sleep(at.saturating_duration_since(Instant::now()));
    }
}

/// Like [`wait`], for functions of a stream.
fn wait_stream<T>(
    patience: Option<Instant>,
    has_waited: &mut bool,
    future: impl Future<Output = StreamResult<T>>,
) -> StreamResult<T> {
    wait(patience, has_waited, future).map_err(StreamError::Trap)?
}

impl poll::Host for Io<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.len() > MAX_RESOURCES {
            return Err(Refusal::TooManyEvents(MAX_RESOURCES).into());
        }
        wait(
            self.patience,
            self.has_waited,
            asynchronous::poll::Host::poll(self.table, pollables),
        )?
    }
}

impl poll::HostPollable for Io<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        use asynchronous::poll::HostPollable as Async;
        wait(
            self.patience,
            self.has_waited,
            Async::ready(self.table, pollable),
        )?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        use asynchronous::poll::HostPollable as Async;
        wait(
            self.patience,
            self.has_waited,
            Async::block(self.table, pollable),
        )?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        asynchronous::poll::HostPollable::drop(self.table, pollable)
    }
}

impl streams::Host for Io<'_> {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostInputStream for Io<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::read(self.table, stream, len)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<Vec<u8>> {
        use asynchronous::streams::HostInputStream as Async;
        wait_stream(
            self.patience,
            self.has_waited,
            Async::blocking_read(self.table, stream, len),
        )
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::skip(self.table, stream, len)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        use asynchronous::streams::HostInputStream as Async;
        wait_stream(
            self.patience,
            self.has_waited,
            Async::blocking_skip(self.table, stream, len),
        )
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostInputStream::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        use asynchronous::streams::HostInputStream as Async;
        wait(
            self.patience,
            self.has_waited,
            Async::drop(self.table, stream),
        )?
    }
}

impl streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        streams::HostOutputStream::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        use asynchronous::streams::HostOutputStream as Async;
        wait_stream(
            self.patience,
            self.has_waited,
            Async::blocking_write_and_flush(self.table, stream, bytes),
        )
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(self.table, stream, len)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        use asynchronous::streams::HostOutputStream as Async;
        wait_stream(
            self.patience,
            self.has_waited,
            Async::blocking_write_zeroes_and_flush(self.table, stream, len),
        )
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        use asynchronous::streams::HostOutputStream as Async;
        wait_stream(
            self.patience,
            self.has_waited,
            Async::blocking_flush(self.table, stream),
        )
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        streams::HostOutputStream::splice(self.table, to, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        use asynchronous::streams::HostOutputStream as Async;
        wait_stream(
            self.patience,
            self.has_waited,
            Async::blocking_splice(self.table, to, from, len),
        )
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        use asynchronous::streams::HostOutputStream as Async;
        wait(
            self.patience,
            self.has_waited,
            Async::drop(self.table, stream),
        )?
    }
}

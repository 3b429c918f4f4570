//! A request's body on its way to the server.
//!
//! Streams what the client sends, waits with it where the client does (100-continue), and
//! notes what the exchange around it must know: whether the client is what it waits for,
//! and how it ended.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::Instant;

use crate::http::headers::remove_forwarded;
use crate::timer::Timer;

/// How long a server may keep silent about `Expect: 100-continue` before the body is sent
/// all the same: servers need not answer it (RFC 9110, section 10.1.1).
const MAX_CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// Where a request's body stands; shared by the body and the exchange.
#[derive(Debug, Default)]
pub struct Upload {
    state: Cell<UploadState>,
    bytes: Cell<u64>,
    /// Woken when a closed gate opens.
    waker: RefCell<Option<Waker>>,
    /// `timeout.client`.
    limit: Cell<Duration>,
    wait: RefCell<Wait>,
}

/// The states of an [`Upload`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// Held back until the server says 100, or for `MAX_CONTINUE_WAIT`.
    Held,
    /// Nothing waits: the server takes it, or has not asked yet.
    Moving,
    /// The server could take more than the client has sent.
    AwaitingClient,
    /// Sent whole, or there was none.
    #[default]
    Finished,
    /// The client sent nothing for `timeout.client`.
    TimedOut,
    /// The client broke off, or sent something that is not HTTP.
    Broken,
}

impl Upload {
    /// Where it stands.
    pub fn state(&self) -> UploadState {
        self.state.get()
    }

    /// A new request, whose body nobody has asked for yet.
    pub fn begin(&self, incoming: &Incoming) {
        self.bytes.set(0);
        self.state.set(if incoming.is_end_stream() {
            UploadState::Finished
        } else {
            UploadState::Moving
        });
    }

    /// Bytes of the body that the server's connection has taken.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether nothing more of it will be read.
    pub fn is_over(&self) -> bool {
        self.state.get() == UploadState::Finished
    }

    /// The server has said 100 (Continue).
    pub fn release(&self) {
        if self.state.get() == UploadState::Held {
            self.state.set(UploadState::Moving);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}

/// Why a body ended before its end; `Upload` has it for the log.
#[derive(Debug, Error)]
pub enum BodyError {
    /// See [`UploadState::TimedOut`].
    #[error("the client sent nothing of its body in time")]
    TimedOut,
    /// See [`UploadState::Broken`].
    #[error("the client's body broke off")]
    Broken(#[source] hyper::Error),
}

/// Whether a body waits for the server's 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The client waits for 100 (Continue).
    Continue,
    /// It does not.
    None,
}

/// The client's body as the server's connection polls it. Small: it is moved with the
/// request through each of its stages.
#[derive(Debug)]
pub struct RequestBody {
    /// None where there is none.
    incoming: Option<Incoming>,
    upload: Rc<Upload>,
}

/// What a body waits in, and since when.
#[derive(Debug, Default)]
struct Wait {
    timer: Timer,
    since: Option<(UploadState, Instant)>,
}

impl Wait {
    /// Ready when it has been in `state` for `limit`.
    fn poll(&mut self, state: UploadState, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.since {
            Some((waiting, since)) if waiting == state => since,
            _ => Instant::now(),
        };
        self.since = Some((state, since));
        self.timer.poll_until(since + limit, cx)
    }
}

impl RequestBody {
    /// `limit` is `timeout.client`.
    pub fn new(
        incoming: Incoming,
        expectation: Expectation,
        upload: Rc<Upload>,
        limit: Duration,
    ) -> RequestBody {
        upload.begin(&incoming);
        if expectation == Expectation::Continue {
            upload.state.set(UploadState::Held);
        }
        upload.limit.set(limit);
        upload.wait.borrow_mut().since = None;
        RequestBody {
            incoming: Some(incoming),
            upload,
        }
    }

    /// No body at all.
    pub fn empty(upload: Rc<Upload>) -> RequestBody {
        upload.bytes.set(0);
        upload.state.set(UploadState::Finished);
        RequestBody {
            incoming: None,
            upload,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        if this.upload.state.get() == UploadState::Held {
            let mut wait = this.upload.wait.borrow_mut();
            let held = wait.poll(UploadState::Held, MAX_CONTINUE_WAIT, cx);
            drop(wait);
            if held.is_pending() {
                *this.upload.waker.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let (state, polled) = match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => {
                let limit = this.upload.limit.get();
                let mut wait = this.upload.wait.borrow_mut();
                let silent = wait.poll(UploadState::AwaitingClient, limit, cx);
                if silent.is_pending() {
                    this.upload.state.set(UploadState::AwaitingClient);
                    return Poll::Pending;
                }
                (UploadState::TimedOut, Some(Err(BodyError::TimedOut)))
            }
            Poll::Ready(None) => (UploadState::Finished, None),
            Poll::Ready(Some(Err(error))) => {
                (UploadState::Broken, Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    // Where the request comes from is said in its head, by us.
                    remove_forwarded(trailers);
                }
                let count = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.upload.bytes.set(this.upload.bytes.get() + count);
                let state = if incoming.is_end_stream() {
                    UploadState::Finished
                } else {
                    UploadState::Moving
                };
                (state, Some(Ok(frame)))
            }
        };
        this.upload.wait.borrow_mut().since = None;
        this.upload.state.set(state);
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) => incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

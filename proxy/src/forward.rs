//! One exchange with a server, and the response's body on its way to the client.
//!
//! Both bodies stream: nothing is held beyond what hyper's buffers bound. Called by
//! `request` with a connection that `upstream` gave.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;

use crate::downstream::Downstream;
use crate::stream::Meter;
use crate::telemetry::End;
use crate::timer::Stall;
use crate::upstream::Lease;
use crate::upstream::body::{RequestBody, Upload, UploadState};

/// Interim responses that a server may send before the final one: more than any use of
/// them needs, and an end to those of a server that sends nothing else.
const MAX_INTERIM: u32 = 64;

/// Why there is no response.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// Nothing was sent; here is the request again.
    #[error("the connection was closed before the request was sent")]
    Unsent(Box<Request<RequestBody>>, #[source] hyper::Error),
    /// The connection ended before a byte of the response.
    #[error("the server closed the connection without an answer")]
    Closed(#[source] hyper::Error),
    /// The connection had ended already.
    #[error("the connection was closed")]
    Ended,
    /// The connection ended in the response's head.
    #[error("the server closed the connection in the middle of its head")]
    Incomplete(#[source] hyper::Error),
    /// The response's head is not HTTP.
    #[error("the server's answer is not HTTP")]
    Invalid(#[source] hyper::Error),
    /// More than `MAX_INTERIM` interim responses.
    #[error("the server sent interim responses without end")]
    Interim,
    /// Nothing moved for `timeout.server`.
    #[error("the server was silent for too long")]
    ServerTimeout,
    /// The client sent nothing of its body for `timeout.client`.
    #[error("the client stopped in the middle of its body")]
    ClientTimeout,
    /// The client's body broke off.
    #[error("the client's body broke off")]
    ClientBroken,
}

/// Sends `request` and waits for the head of the response.
///
/// # Errors
/// [`ExchangeError`].
///
/// # Cancel safety
/// Dropping it leaves the connection in the middle of an exchange: drop the lease too.
pub async fn exchange(
    lease: &mut Lease,
    mut request: Request<RequestBody>,
    downstream: &Downstream,
    limit: Duration,
) -> Result<Response<Incoming>, ExchangeError> {
    let interim = Arc::clone(&downstream.interim);
    hyper::ext::on_informational(&mut request, move |response| {
        interim.push(response.status(), response.headers());
    });
    let meter = Rc::clone(lease.link.meter());
    let received = meter.read();
    let mut response = pin!(lease.link.send(request));
    let mut stall = Stall::new(limit, meter.moved());
    poll_fn(|cx| {
        let ended = lease.link.poll_drive(cx);
        downstream.forward_interim();
        if let Poll::Ready(result) = response.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|mut error| {
                let unsent = error.take_message();
                let has_received = meter.read() > received;
                classify(unsent, error.into_error(), &downstream.upload, has_received)
            }));
        }
        if downstream.interim.count() > MAX_INTERIM {
            return Poll::Ready(Err(ExchangeError::Interim));
        }
        if let Poll::Ready(ended) = ended {
            let has_received = meter.read() > received;
            return Poll::Ready(Err(match ended {
                Err(error) => classify(None, error, &downstream.upload, has_received),
                Ok(()) => ExchangeError::Ended,
            }));
        }
        poll_server(&mut stall, downstream, &meter, cx).map(|()| Err(ExchangeError::ServerTimeout))
    })
    .await
}

/// Ready when it is the server's turn and nothing has moved for the limit.
fn poll_server(
    stall: &mut Stall,
    downstream: &Downstream,
    meter: &Meter,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let is_clients_turn = matches!(
        downstream.upload.state(),
        UploadState::AwaitingClient | UploadState::Held
    );
    if is_clients_turn && !meter.is_write_blocked() {
        stall.restart();
        return Poll::Pending;
    }
    stall.poll(&mut downstream.timer.borrow_mut(), meter.moved(), cx)
}

fn classify(
    unsent: Option<Request<RequestBody>>,
    error: hyper::Error,
    upload: &Upload,
    has_received: bool,
) -> ExchangeError {
    match (unsent, upload.state()) {
        (Some(request), _) => ExchangeError::Unsent(Box::new(request), error),
        (None, UploadState::TimedOut) => ExchangeError::ClientTimeout,
        (None, UploadState::Broken) => ExchangeError::ClientBroken,
        (None, _) if error.is_parse() => ExchangeError::Invalid(error),
        (None, _) if has_received => ExchangeError::Incomplete(error),
        (None, _) => ExchangeError::Closed(error),
    }
}

/// The body of a response to the client.
#[derive(Debug)]
pub enum ResponseBody {
    /// The proxy's own or a plugin's; None once it was sent.
    Own(Option<Bytes>),
    /// A server's.
    Forwarded(Forwarded),
}

impl ResponseBody {
    /// What the proxy itself says.
    pub fn own(bytes: impl Into<Bytes>) -> ResponseBody {
        ResponseBody::Own(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// The body of `response`, whose head has just arrived over `lease`.
    pub async fn forwarded(
        incoming: Incoming,
        version: Version,
        lease: Lease,
        downstream: &Rc<Downstream>,
        limit: Duration,
    ) -> ResponseBody {
        let mut body = Forwarded {
            stall: Stall::new(limit, 0),
            state: Wait::Frames,
            incoming,
            downstream: Rc::clone(downstream),
        };
        *downstream.lease.borrow_mut() = Some(lease);
        // Having learnt that a server speaks HTTP/1.0, hyper would leave the body out of a
        // later chunked request on the same connection.
        if version != Version::HTTP_11 {
            body.spoil();
        }
        if body.incoming.is_end_stream() {
            poll_fn(|cx| {
                body.finish(cx);
                Poll::Ready(())
            })
            .await;
            return ResponseBody::Own(None);
        }
        ResponseBody::Forwarded(body)
    }
}

/// A server's body. The connection that it comes over is the `Downstream`'s until the body
/// is whole, or dropped.
#[derive(Debug)]
pub struct Forwarded {
    incoming: Incoming,
    downstream: Rc<Downstream>,
    stall: Stall,
    state: Wait,
}

/// What a [`Forwarded`] body was last waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Nothing: the client takes what is there.
    Frames,
    /// The server.
    Server,
}

/// Why a response's body breaks off; the client's connection ends with it.
#[derive(Debug, Error)]
pub enum ResponseError {
    /// The server's body broke off.
    #[error("the server's body broke off")]
    Broken(#[source] hyper::Error),
    /// Nothing came for `timeout.server`.
    #[error("the server stopped in the middle of its body")]
    Timeout,
}

impl Forwarded {
    fn meter(&self) -> Option<Rc<Meter>> {
        let lease = self.downstream.lease.borrow();
        lease.as_ref().map(|lease| Rc::clone(lease.link.meter()))
    }

    /// The connection is not to be used again.
    fn spoil(&mut self) {
        if let Some(lease) = self.downstream.lease.borrow_mut().as_mut() {
            lease.link.spoil();
        }
    }

    /// The body is whole: gives the connection back.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let lease = self.downstream.lease.take();
        if let Some(mut lease) = lease {
            // A request that is still being sent goes on, or spoils the connection. With
            // nothing left to send, hyper learns that the exchange is over when the next
            // request asks for the connection: one poll of it instead of two.
            if !self.downstream.upload.is_over() {
                let _ = lease.link.poll_drive(cx);
                if !lease.link.is_ready() {
                    lease.link.spoil();
                }
            }
            lease.release();
            self.downstream
                .note(|transaction| transaction.finish(End::Ok));
        }
    }

    fn fail(&mut self, end: End, error: ResponseError) -> ResponseError {
        self.downstream.lease.take();
        // The client's fault ends both bodies, and is told by the other one.
        let end = match self.downstream.upload.state() {
            UploadState::TimedOut => End::ClientTimeout,
            UploadState::Broken => End::ClientClosed,
            _ => end,
        };
        self.downstream.note(|transaction| {
            transaction.fail(end, || match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            });
        });
        error
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.downstream.drive(cx);
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

impl Drop for Forwarded {
    /// A body that nobody wants any more takes its connection with it.
    fn drop(&mut self) {
        self.downstream.lease.take();
    }
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let this = &mut *self;
        match this.poll_incoming(cx) {
            Poll::Pending => {
                let Some(meter) = this.meter() else {
                    return Poll::Pending;
                };
                if this.state != Wait::Server {
                    this.state = Wait::Server;
                    this.stall.restart();
                }
                if poll_server(&mut this.stall, &this.downstream, &meter, cx).is_pending() {
                    return Poll::Pending;
                }
                let error = this.fail(End::ServerTimeout, ResponseError::Timeout);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.finish(cx);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = this.fail(End::ServerClosed, ResponseError::Broken(error));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.state = Wait::Frames;
                if let Some(data) = frame.data_ref() {
                    this.downstream
                        .note(|transaction| transaction.bytes_out += data.len() as u64);
                }
                // After trailers hyper polls no more.
                if this.incoming.is_end_stream() || frame.is_trailers() {
                    this.finish(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        match &mut *self {
            ResponseBody::Own(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            ResponseBody::Forwarded(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Own(bytes) => bytes.is_none(),
            ResponseBody::Forwarded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            ResponseBody::Forwarded(body) => body.size_hint(),
        }
    }
}

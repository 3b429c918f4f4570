//! One request, from its head to the head of its response.
//!
//! In order, a request is admitted, routed, given a connection to a server, and exchanged for a
//! response. This module does not depend on the client's protocol; `downstream` calls it for each
//! request that it has read. Handling a request never fails: an error becomes a local reply and a
//! log entry.

mod body_prefix;
pub mod client;
pub mod context;
pub mod error;
pub mod exchange;
pub mod record;
pub mod reply;
pub mod tcp;

mod affinity;
mod authentication;
mod choice;
mod gone;
mod origin;
mod outgoing;
mod redirect;
mod repeat;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use crate::frontend::Frontend;
use crate::http::forwarded::{self, MaxForwards};
use crate::http::message::{ResponseHead, Scheme};
use crate::http::path;
use crate::http1::body::BodyLength;
use crate::http1::request::{Expectation, Parsed as Request};
use crate::http1::response::Parsed as Response;
use crate::http1::upgrade::Upgrade;
use crate::plugin::{Answers, BodyPrefix};
use crate::telemetry::{End, chain};
use crate::transport::proxy_protocol::Header;
use crate::upstream::{Demand, Lease, Needs, PrivateConnections, Reuse, ServerStream};
use affinity::Affinity;
use choice::Choice;
use client::Client;
use context::Context;
use error::ProxyError;
use exchange::{Exchange, ExchangeError, ExchangeLimits, Sent};
use gone::unless_gone;
use outgoing::Outgoing;
use record::Stage;
use repeat::{Attempts, RetryKind};
use reply::Reply;

/// Outcome of a request.
#[derive(Debug)]
pub enum Outcome<C> {
    /// A local reply, and the client's side.
    Reply(Reply, Box<C>),
    /// A server's response, whose body must still be forwarded.
    Response(Exchange<C>, Response),
    /// The client has disconnected, so no response is sent.
    Gone,
    /// A server's 101: once it has been sent to the client, both connections become a tunnel.
    Switch(Exchange<C>),
}

/// Position of a request on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPosition {
    /// The first request. Its client does not expect the connection to be closed yet.
    First,
    /// A later request. Its client has already received a response over the connection.
    Later,
}

/// Handles one request. Its body comes next on the client's connection.
///
/// # Cancel safety
/// Dropping the future closes both connections.
pub async fn handle<C: Client>(
    cx: &mut Context,
    mut client: Box<C>,
    request: &Request,
    head: ResponseHead,
    position: RequestPosition,
    frontend: &Frontend,
    private: &mut PrivateConnections,
) -> Outcome<C> {
    // This comes before any redirect: an ACME server sends its request over plain HTTP and accepts
    // no other response (RFC 8555, section 8.3).
    if let Some(answer) = challenge(cx) {
        return Outcome::Reply(Reply::of_challenge(cx, &answer), client);
    }
    if let Some(redirect) = cx.facts.redirect {
        return Outcome::Reply(redirect::answer(cx, redirect), client);
    }
    if forwarded::count_max_forwards(&mut cx.head) == MaxForwards::RespondLocally {
        return Outcome::Reply(Reply::of_last_hop(cx), client);
    }
    match admit(cx, &mut *client, request, frontend).await {
        Ok(()) => {}
        Err(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))) => {
            return gone(cx, &error);
        }
        Err(error) => return Outcome::Reply(Reply::refusal(cx, &error), client),
    }
    let sending = Sending::of(cx, request, position);
    let mut head = head;
    let mut failed: Option<(Outgoing, ProxyError)> = None;
    loop {
        let outgoing = match choice::choose(cx, &mut *client, frontend).await {
            Ok(Choice::Forward(outgoing)) => outgoing,
            Ok(Choice::Answer(reply)) => return Outcome::Reply(reply, client),
            Err(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))) => {
                return gone(cx, &error);
            }
            Err(error) => return Outcome::Reply(Reply::refusal(cx, &error), client),
        };
        if let Some((before, error)) = &failed
            && outgoing.is_same_choice(before)
        {
            return Outcome::Reply(Reply::refusal(cx, error), client);
        }
        let sent = send(cx, client, request, head, sending, &outgoing, private).await;
        let unsent = match sent {
            Ok(outcome) => return outcome,
            Err(unsent) => *unsent,
        };
        (client, head) = (unsent.client, unsent.head);
        cx.attempt += 1;
        // The configuration may have been reloaded meanwhile.
        cx.rules = frontend.rules();
        if cx.attempt >= cx.rules.max_attempts() {
            return Outcome::Reply(Reply::refusal(cx, &unsent.error), client);
        }
        failed = Some((outgoing, unsent.error));
    }
}

/// Constraints on how a request is sent.
#[derive(Debug, Clone, Copy)]
struct Sending {
    reuse: Reuse,
    needs: Needs,
}

impl Sending {
    fn of(cx: &Context, request: &Request, position: RequestPosition) -> Sending {
        let is_replayable = request.body.is_empty() && cx.head.method_kind().is_idempotent();
        Sending {
            reuse: match position {
                _ if is_replayable => Reuse::Replayable,
                RequestPosition::First => Reuse::Risky,
                RequestPosition::Later => Reuse::Safe,
            },
            needs: if request.upgrade.is_some() {
                Needs::Upgrade
            } else {
                Needs::Any
            },
        }
    }
}

/// A request of which no server has received any part, so the router can choose again.
struct Unsent<C> {
    error: ProxyError,
    client: Box<C>,
    head: ResponseHead,
}

/// Sends the request to its destination. Sends it again after a failure if that is safe.
async fn send<C: Client>(
    cx: &mut Context,
    mut client: Box<C>,
    request: &Request,
    mut head: ResponseHead,
    sending: Sending,
    outgoing: &Outgoing,
    private: &mut PrivateConnections,
) -> Result<Outcome<C>, Box<Unsent<C>>> {
    let limit = outgoing.options().and_then(|options| options.tries);
    let mut attempts = Attempts::new(sending.reuse, sending.needs, limit);
    let affinity = Affinity::of(cx, outgoing);
    outgoing.backend().count_request();
    loop {
        attempts.begin();
        let mut demand = Demand {
            bound: affinity.bound(outgoing),
            key: affinity.key,
            avoid: &attempts.avoid,
            ..Demand::new(attempts.reuse, attempts.needs)
        };
        outgoing.apply_timeouts(&mut demand);
        let lease = match checkout(cx, &mut *client, outgoing, demand, private).await {
            Ok(lease) => lease,
            Err(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))) => {
                return Ok(gone(cx, &error));
            }
            Err(error) if attempts.is_first() => {
                return Err(Box::new(Unsent {
                    error,
                    client,
                    head,
                }));
            }
            Err(error) => {
                return Ok(Outcome::Reply(Reply::refusal(cx, &error), client));
            }
        };
        match exchange(cx, client, lease, request, outgoing, head, &mut attempts).await {
            Ok(outcome) => {
                if let Outcome::Response(exchange, _) | Outcome::Switch(exchange) = &outcome {
                    affinity.answered(cx, exchange.lease(), &exchange.head);
                }
                return Ok(outcome);
            }
            Err(Failed {
                error: None,
                client: again,
                head: cleared,
            }) => {
                client = again;
                head = cleared;
            }
            Err(Failed {
                error: Some(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))),
                ..
            }) => {
                return Ok(gone(cx, &error));
            }
            Err(Failed {
                error: Some(error),
                client,
                ..
            }) => {
                let reply = Reply::refusal(cx, &error);
                return Ok(Outcome::Reply(reply, client));
            }
        }
    }
}

/// Returns the response to an ACME challenge, if the request belongs to an order in progress.
fn challenge(cx: &Context) -> Option<Arc<str>> {
    if cx.facts.scheme != Scheme::Http || cx.head.method() != b"GET" {
        return None;
    }
    cx.rules.challenges.answer(cx.head.target())
}

fn gone<C>(cx: &mut Context, error: &ExchangeError) -> Outcome<C> {
    cx.record.fail(End::ClientClosed, || chain(error));
    Outcome::Gone
}

/// Validates a request, waits for the start of its body if the router needs it, and prepares the
/// head that plugins and servers see.
async fn admit<C: Client>(
    cx: &mut Context,
    client: &mut C,
    request: &Request,
    frontend: &Frontend,
) -> Result<(), ProxyError> {
    if cx.rules.config.http.normalize_path {
        path::normalize(&mut cx.head).map_err(ProxyError::Path)?;
    }
    if let (Some(limit), BodyLength::Known(length)) =
        (cx.rules.config.limits.max_body, request.body)
        && length > limit
    {
        return Err(ProxyError::BodyTooLarge(limit));
    }
    if let Some(settings) = &cx.rules.config.routing.body
        && body_prefix::is_awaited(&cx.head, request, settings)
    {
        let (since, stall) = (cx.record.mark(), cx.rules.config.timeouts.client);
        // Boxed because it is rarely needed, so that it takes no memory in every connection's task.
        let prefix = Box::pin(body_prefix::read(client, request, settings, since, stall)).await?;
        cx.body_prefix = Some(BodyPrefix {
            bytes: Bytes::copy_from_slice(prefix.bytes(client)),
            is_complete: prefix.is_complete,
        });
        cx.record.passed(Stage::Body);
        // The configuration may have been reloaded meanwhile.
        cx.rules = frontend.rules();
    }
    describe_origin(cx);
    Ok(())
}

/// Drops an untrusted peer's claims about the origin of the request and adds this proxy's own, so
/// that servers and plugins can rely on them.
fn describe_origin(cx: &mut Context) {
    let facts = &cx.facts;
    forwarded::drop_claims(&mut cx.head, facts.trust);
    if cx.rules.config.forwarded.x_forwarded {
        let peer = facts.peer.address.as_bytes();
        let client = cx.named_client.as_ref();
        let client = client.map(|client| client.address.as_bytes());
        forwarded::set_x_forwarded(&mut cx.head, peer, client, facts.trust);
    }
}

/// Gets a connection to a server, unless the client disconnects first.
async fn checkout<C: Client>(
    cx: &mut Context,
    client: &mut C,
    outgoing: &Outgoing,
    demand: Demand<'_>,
    private: &mut PrivateConnections,
) -> Result<Lease, ProxyError> {
    let backend = outgoing.backend();
    let header = if backend.names_clients() {
        origin::describe(&cx.facts, client.local_address())
    } else {
        Header::Local
    };
    let demand = Demand {
        client: &header,
        ..demand
    };
    let lease = pin!(async {
        match private.take(backend, &demand).await? {
            Some(lease) => Ok(lease),
            None => backend.checkout(&demand).await,
        }
    });
    let lease = unless_gone(cx, client, lease).await?;
    let mut lease = lease.map_err(ProxyError::Checkout)?;
    if let Some(options) = outgoing.options() {
        lease.set_timeouts(options.server_timeout, options.tunnel_timeout);
    }
    // The router is not called again, so its answers are freed: they would keep a replaced table in
    // memory until the response.
    cx.answers = Answers::default();
    if let Some(prefix) = &mut cx.body_prefix {
        prefix.bytes = Bytes::new();
    }
    cx.record.endpoint = Some(Rc::clone(lease.endpoint()));
    cx.record.passed(Stage::Connect);
    Ok(lease)
}

/// A failed exchange.
struct Failed<C> {
    /// The error for the client; None if the request is sent again.
    error: Option<ProxyError>,
    client: Box<C>,
    head: ResponseHead,
}

/// Sends the request and waits for the head of its response.
async fn exchange<C: Client>(
    cx: &mut Context,
    mut client: Box<C>,
    mut lease: Lease,
    request: &Request,
    outgoing: &Outgoing,
    head: ResponseHead,
    attempts: &mut Attempts,
) -> Result<Outcome<C>, Failed<C>> {
    // If part of the body has already arrived, the client does not wait for a 100.
    let expectation = match request.expectation {
        Expectation::Continue if cx.body_prefix.is_some() => Expectation::None,
        Expectation::Continue if poll_fn(|task| Poll::Ready(client.has_early_body(task))).await => {
            Expectation::None
        }
        expectation => expectation,
    };
    if let Err(error) = outgoing.push(cx, request, expectation, &mut lease) {
        let kind = match &error {
            ExchangeError::Refused(error) => RetryKind::refused(error),
            _ => RetryKind::Never,
        };
        let is_repeated = attempts.allow(kind, &lease);
        return Err(Failed {
            error: (!is_repeated).then_some(ProxyError::Exchange(error)),
            client,
            head,
        });
    }
    let sent = Sent {
        method: cx.head.method_kind(),
        version: cx.head.version(),
        body: request.body,
        expectation,
    };
    let timeouts = &cx.rules.config.timeouts;
    let limits = ExchangeLimits {
        client: timeouts.client,
        client_fin: timeouts.client_fin,
        server: lease.timeouts().server,
        head: lease.head_limits().into(),
    };
    let mut exchange = Exchange::new(client, lease, sent, limits, head);
    let fields = cx.head.fields();
    let polled = poll_fn(|task| exchange.poll_head(fields, task)).await;
    cx.record.bytes_in = exchange.uploaded();
    if polled.is_ok() {
        accept_websocket(request, &mut exchange);
    }
    let error = match polled {
        Ok(response) => {
            let status = exchange.head.status();
            exchange.lease_mut().answered(status);
            if attempts.again(status, cx, request, &exchange) {
                None
            } else if status != 101 {
                cx.record.passed(Stage::Response);
                return Ok(Outcome::Response(exchange, response));
            } else {
                match check_switch(cx, request, &exchange) {
                    Ok(()) => {
                        cx.record.passed(Stage::Response);
                        return Ok(Outcome::Switch(exchange));
                    }
                    Err(error) => Some(error),
                }
            }
        }
        Err(error) => {
            let failure = error.failure();
            let error = ProxyError::Exchange(error);
            let kind = attempts.retry_kind(&error, cx, request, &exchange);
            // A closed idle connection is no evidence against its server.
            if !matches!(kind, RetryKind::Once | RetryKind::Unsent)
                && let Some(failure) = failure
            {
                exchange.lease_mut().failed(failure);
            }
            let is_repeated = attempts.allow(kind, exchange.lease());
            (!is_repeated).then_some(error)
        }
    };
    let (client, _, head) = exchange.into_parts();
    Err(Failed {
        error,
        client,
        head,
    })
}

/// Converts an HTTP/2 server's response that opens a WebSocket (RFC 8441, section 5) to that of
/// HTTP/1.1.
fn accept_websocket<C: Client>(request: &Request, exchange: &mut Exchange<C>) {
    let is_http2 = matches!(exchange.lease().stream, ServerStream::Http2(_));
    let accept = request.upgrade.as_ref().and_then(Upgrade::accept);
    if let Some(accept) = accept
        && is_http2
        && (200..300).contains(&exchange.head.status())
    {
        exchange.head.switch_to_websocket(accept);
    }
}

fn check_switch<C: Client>(
    cx: &Context,
    request: &Request,
    exchange: &Exchange<C>,
) -> Result<(), ProxyError> {
    use crate::http1::upgrade::UpgradeError;
    let upgrade = request.upgrade.ok_or(UpgradeError::Protocol);
    upgrade
        .and_then(|upgrade| upgrade.check(&cx.head, &exchange.head))
        .and_then(|()| {
            if exchange.is_upload_complete() {
                Ok(())
            } else {
                Err(UpgradeError::Protocol)
            }
        })
        .map_err(ProxyError::ServerHandshake)
}

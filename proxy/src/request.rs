//! One request, from its head to the head of its response.
//!
//! The stages in order: it is routed, gets a connection to a server, and is exchanged for a
//! response. Knows no client's protocol; called by `downstream` for each request that it has
//! read. Never fails: an error becomes an answer and a line in the log.

pub mod client;
pub mod context;
pub mod error;
pub mod exchange;
pub mod record;
pub mod reply;
pub mod tcp;

mod affinity;
mod authentication;
mod origin;
mod outgoing;
mod redirect;
mod repeat;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crate::config::OnFault;
use crate::frontend::Frontend;
use crate::http::forwarded::{self, MaxForwards};
use crate::http::message::{ResponseHead, Scheme};
use crate::http::path;
use crate::http1::body::BodyLength;
use crate::http1::request::{Expectation, Parsed as Request};
use crate::http1::response::Parsed as Response;
use crate::http1::upgrade::Upgrade;
use crate::plugin::{self, Fault, Route};
use crate::router::{Router, RouterDecision, Supplied};
use crate::telemetry::{End, chain};
use crate::transport::proxy_protocol::Header;
use crate::upstream::{Demand, Lease, Needs, PrivateConnections, Reuse, ServerStream};
use affinity::Affinity;
use client::Client;
use context::Context;
use error::ProxyError;
use exchange::{Exchange, ExchangeError, ExchangeLimits, Sent};
use outgoing::Outgoing;
use record::Stage;
use repeat::{Repeat, Tries};
use reply::Reply;

/// Outcome of a request.
#[derive(Debug)]
pub enum Outcome<C> {
    /// An answer of the proxy's own, and the client's side.
    Reply(Reply, Box<C>),
    /// A server's response, whose body is still to be passed on.
    Response(Exchange<C>, Response),
    /// The client has left; nobody waits for an answer.
    Gone,
    /// A server's 101: both sides become a tunnel once the client has it.
    Switch(Exchange<C>),
}

/// Where a request stands among those of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Its client does not know yet that the connection may end at any moment.
    First,
    /// Its client has had an answer over the connection.
    Later,
}

/// Answers one request, whose body is next on the client's connection.
///
/// # Cancel safety
/// Dropping it closes both connections.
pub async fn handle<C: Client>(
    cx: &mut Context,
    mut client: Box<C>,
    request: &Request,
    head: ResponseHead,
    place: Place,
    frontend: &Frontend,
    private: &mut PrivateConnections,
) -> Outcome<C> {
    // An ACME server asks over plain HTTP, and takes no other answer (RFC 8555, section 8.3).
    if let Some(answer) = challenge(cx) {
        return Outcome::Reply(Reply::of_challenge(cx, &answer), client);
    }
    if let Some(redirect) = cx.facts.redirect {
        return Outcome::Reply(redirect::answer(cx, redirect), client);
    }
    if forwarded::count_max_forwards(&mut cx.head) == MaxForwards::Answer {
        return Outcome::Reply(Reply::of_last_hop(cx), client);
    }
    let outgoing = match route(cx, &mut *client, request, frontend).await {
        Ok(Decision::Forward(outgoing)) => outgoing,
        Ok(Decision::Answer(reply)) => return Outcome::Reply(reply, client),
        Err(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))) => {
            return gone(cx, &error);
        }
        Err(error) => return Outcome::Reply(Reply::refusal(cx, &error), client),
    };
    let mut head = head;
    let is_replayable = request.body.is_empty() && cx.head.method_kind().is_idempotent();
    let reuse = match place {
        _ if is_replayable => Reuse::Replayable,
        Place::First => Reuse::Risky,
        Place::Later => Reuse::Safe,
    };
    let needs = if request.upgrade.is_some() {
        Needs::Upgrade
    } else {
        Needs::Any
    };
    let mut tries = Tries::new(reuse, needs);
    let affinity = Affinity::of(cx, &outgoing);
    outgoing.backend().count_request();
    loop {
        tries.begin();
        let demand = Demand {
            bound: affinity.bound,
            key: affinity.key,
            avoid: &tries.avoid,
            ..Demand::new(tries.reuse, tries.needs)
        };
        let lease = match checkout(cx, &mut *client, &outgoing, demand, private).await {
            Ok(lease) => lease,
            Err(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))) => {
                return gone(cx, &error);
            }
            Err(error) => return Outcome::Reply(Reply::refusal(cx, &error), client),
        };
        match exchange(cx, client, lease, request, &outgoing, head, &mut tries).await {
            Ok(outcome) => {
                if let Outcome::Response(exchange, _) | Outcome::Switch(exchange) = &outcome {
                    affinity.answered(cx, exchange.lease(), &exchange.head);
                }
                return outcome;
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
                return gone(cx, &error);
            }
            Err(Failed {
                error: Some(error),
                client,
                ..
            }) => {
                let reply = Reply::refusal(cx, &error);
                return Outcome::Reply(reply, client);
            }
        }
    }
}

/// The answer to a challenge of an order that is under way.
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

/// Answer of the router.
enum Decision {
    Forward(Outgoing),
    Answer(Reply),
}

/// Asks the router; a fault goes by the frontend's policy.
async fn route<C: Client>(
    cx: &mut Context,
    client: &mut C,
    request: &Request,
    frontend: &Frontend,
) -> Result<Decision, ProxyError> {
    if cx.rules.config.http.normalize_path {
        path::normalize(&mut cx.head).map_err(ProxyError::Path)?;
    }
    if let (Some(limit), BodyLength::Known(length)) =
        (cx.rules.config.limits.max_body, request.body)
        && length > limit
    {
        return Err(ProxyError::BodyTooLarge(limit));
    }
    describe_origin(cx);
    let decided = decided(cx, client, frontend).await?;
    let backend = match decided.as_ref().map(|decided| &decided.route) {
        Some(Route::Respond(answer)) => {
            return Ok(Decision::Answer(Reply::of_plugin(cx, answer)));
        }
        Some(Route::Backend(name)) => cx.rules.backends.get(name),
        Some(Route::Default) | None => cx.rules.default_backend.as_ref(),
    };
    let backend = Rc::clone(backend.ok_or(ProxyError::NoBackend)?);
    cx.record.backend = Some(Rc::clone(&backend));
    Ok(Decision::Forward(Outgoing::new(backend, decided)))
}

/// The server and the plugin are told who sent the request, by this proxy alone.
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

/// The router's decision; None if there is no router, or if it failed and the frontend goes on
/// without.
async fn decided<C: Client>(
    cx: &mut Context,
    client: &mut C,
    frontend: &Frontend,
) -> Result<Option<Rc<plugin::Decision>>, ProxyError> {
    let Some((verdict, on_fault)) = decide(cx, client, frontend).await? else {
        return Ok(None);
    };
    match (verdict.decision, on_fault) {
        (Ok(decision), _) => Ok(Some(decision)),
        (Err(_), OnFault::DefaultBackend) => Ok(None),
        (Err(fault), OnFault::Reject) => Err(ProxyError::Plugin(fault)),
    }
}

/// Asks the router, if there is one, and waits where the plugin has no instance for this request yet.
async fn decide<C: Client>(
    cx: &mut Context,
    client: &mut C,
    frontend: &Frontend,
) -> Result<Option<(RouterDecision, OnFault)>, ProxyError> {
    let mut supplied = None;
    loop {
        let Some(router) = cx.rules.router.clone() else {
            return Ok(None);
        };
        let (verdict, on_fault) = ask(cx, &mut router.borrow_mut(), supplied.take());
        let Some(wait) = verdict.wait else {
            return Ok(Some((verdict, on_fault)));
        };
        // Seldom needed: it is to take no room in the task of each connection.
        let wait = Box::pin(wait.end());
        supplied = unless_gone(cx, client, wait).await?;
        if supplied.is_none() {
            // There may be other rules by now.
            cx.rules = frontend.rules();
        }
    }
}

/// Asks the router; the record has its answer.
fn ask(
    cx: &mut Context,
    router: &mut Router,
    supplied: Option<Supplied>,
) -> (RouterDecision, OnFault) {
    let request = &mut plugin::Request {
        client: cx.named_client.as_ref().unwrap_or(&cx.facts.peer),
        tls: cx.facts.tls.as_ref(),
        head: &mut cx.head,
        attempt: 0,
        id: Some(cx.record.id()),
    };
    let verdict = router.decide(request, supplied);
    if verdict.wait.is_none() {
        cx.record.decided(router.decider(&verdict), verdict.cached);
        cx.record.fault = verdict.decision.as_ref().err().map(Fault::kind);
    }
    (verdict, router.on_fault())
}

/// The value of `future`, as long as the client waits for it.
async fn unless_gone<C: Client, F: Future + Unpin>(
    cx: &Context,
    client: &mut C,
    mut future: F,
) -> Result<F::Output, ProxyError> {
    let client_fin = cx.rules.config.timeouts.client_fin;
    poll_fn(|task| {
        if let Poll::Ready(value) = Pin::new(&mut future).poll(task) {
            return Poll::Ready(Ok(value));
        }
        let gone = client.poll_gone(client_fin, task);
        gone.map(|error| Err(ProxyError::Exchange(ExchangeError::ClientGone(error))))
    })
    .await
}

/// A connection to a server, as long as the client waits for it.
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
    let lease = lease.map_err(ProxyError::Checkout)?;
    cx.record.endpoint = Some(Rc::clone(lease.endpoint()));
    cx.record.passed(Stage::Connect);
    Ok(lease)
}

/// An exchange without a response.
struct Failed<C> {
    /// None: the request is sent again.
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
    tries: &mut Tries,
) -> Result<Outcome<C>, Failed<C>> {
    // A body that is on its way already waits for no 100.
    let expectation = match request.expectation {
        Expectation::Continue if poll_fn(|task| Poll::Ready(client.has_early_body(task))).await => {
            Expectation::None
        }
        expectation => expectation,
    };
    if let Err(error) = outgoing.push(cx, request, expectation, &mut lease) {
        let repeat = match &error {
            ExchangeError::Refused(error) => Repeat::refused(error),
            _ => Repeat::Never,
        };
        let is_repeated = tries.allow(repeat, &lease);
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
            if tries.again(status, cx, request, &exchange) {
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
            let repeat = tries.repeat(&error, cx, request, &exchange);
            // An idle connection that was closed says nothing about its server.
            if !matches!(repeat, Repeat::Once | Repeat::Unsent)
                && let Some(failure) = failure
            {
                exchange.lease_mut().failed(failure);
            }
            let is_repeated = tries.allow(repeat, exchange.lease());
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

/// Makes the answer of an HTTP/2 server that opens a WebSocket (RFC 8441, section 5) that of HTTP/1.1.
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

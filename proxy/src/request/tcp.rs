//! The destination of a connection without HTTP: one decision, and one connection to a server.

use super::affinity::Affinity;
use super::choice::{self, Destination};
use super::context::Context;
use super::error::ProxyError;
use super::outgoing::Outgoing;
use crate::frontend::Frontend;
use crate::upstream::{Demand, Lease, Needs, PrivateConnections, Reuse};
use crate::wire::Wire;

/// The fault name in the log if a plugin decides on a response for a connection without HTTP. Such
/// a decision does not count as a fault of the plugin's version: otherwise, clients that the plugin
/// rejects could take the version out of service.
const ANSWER: &str = "answer-without-http";

/// Routes a connection, and opens a connection to a server for it alone.
///
/// # Errors
/// The caller must close the connection. Nothing was sent to the client.
///
/// # Cancel safety
/// Dropping the future cancels the attempt to connect.
pub async fn connect(
    cx: &mut Context,
    client: &mut Wire,
    frontend: &Frontend,
) -> Result<Lease, ProxyError> {
    let mut failed: Option<(Outgoing, ProxyError)> = None;
    loop {
        let outgoing = match choice::destination(cx, client, frontend).await? {
            Destination::Plugin(_) => {
                cx.record.fault = Some(ANSWER);
                return Err(ProxyError::AnswerWithoutHttp);
            }
            Destination::Backend(backend, decided) => Outgoing::new(backend, decided),
        };
        if let Some((before, error)) = failed
            && outgoing.is_same_choice(&before)
        {
            return Err(error);
        }
        let error = match connect_to(cx, client, &outgoing).await {
            Err(error @ ProxyError::Checkout(_)) => error,
            ended => return ended,
        };
        cx.attempt += 1;
        // The configuration may have been reloaded meanwhile.
        cx.rules = frontend.rules();
        if cx.attempt >= cx.rules.max_attempts() {
            return Err(error);
        }
        failed = Some((outgoing, error));
    }
}

async fn connect_to(
    cx: &mut Context,
    client: &mut Wire,
    outgoing: &Outgoing,
) -> Result<Lease, ProxyError> {
    let affinity = Affinity::of(cx, outgoing);
    let mut demand = Demand {
        bound: affinity.bound(outgoing),
        key: affinity.key,
        ..Demand::new(Reuse::Fresh, Needs::Bytes)
    };
    outgoing.apply_timeouts(&mut demand);
    let mut private = PrivateConnections::default();
    super::checkout(cx, client, outgoing, demand, &mut private).await
}

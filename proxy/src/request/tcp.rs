//! Where a connection without HTTP goes: one decision, and one connection to a server.

use super::affinity::Affinity;
use super::choice::{self, Destination};
use super::context::Context;
use super::error::ProxyError;
use super::outgoing::Outgoing;
use crate::frontend::Frontend;
use crate::upstream::{Demand, Lease, Needs, PrivateConnections, Reuse};
use crate::wire::Wire;

/// The log's word for a plugin that answers where there is no HTTP. It is no fault that counts
/// against its version: otherwise clients that it keeps out could have it taken out of service.
const ANSWER: &str = "answer-without-http";

/// Routes a connection, and connects to a server for it alone.
///
/// # Errors
/// The connection is closed. Nothing was sent to the client.
///
/// # Cancel safety
/// Dropping it gives up.
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
        // A reload may have come meanwhile.
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

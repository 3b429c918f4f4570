//! Where a connection without HTTP goes: one decision, and one connection to a server.

use std::rc::Rc;

use super::affinity::Affinity;
use super::context::Context;
use super::error::ProxyError;
use super::outgoing::Outgoing;
use crate::frontend::Frontend;
use crate::plugin::Route;
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
    let decided = super::decided(cx, client, frontend).await?;
    let backend = match decided.as_ref().map(|decided| &decided.route) {
        Some(Route::Respond(_)) => {
            cx.record.fault = Some(ANSWER);
            return Err(ProxyError::AnswerWithoutHttp);
        }
        Some(Route::Backend(name)) => cx.rules.backends.get(name),
        Some(Route::Default) | None => cx.rules.default_backend.as_ref(),
    };
    let backend = Rc::clone(backend.ok_or(ProxyError::NoBackend)?);
    cx.record.backend = Some(Rc::clone(&backend));
    let outgoing = Outgoing::new(backend, None);
    let affinity = Affinity::of(cx, &outgoing);
    let demand = Demand {
        key: affinity.key,
        ..Demand::new(Reuse::Fresh, Needs::Bytes)
    };
    let mut private = PrivateConnections::default();
    super::checkout(cx, client, &outgoing, demand, &mut private).await
}

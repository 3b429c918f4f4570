//! Waits that end when the client disconnects.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::client::Client;
use super::context::Context;
use super::error::ProxyError;
use super::exchange::ExchangeError;

/// Waits for `future`, unless the client disconnects first.
pub(super) async fn unless_gone<C: Client, F: Future + Unpin>(
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

//! A scripted server to which the proxy forwards requests. It runs in this process, and records
//! what it receives.
//!
//! It sends and receives raw bytes, so it can also break the rules of HTTP.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::DEADLINE;
use crate::message::Message;
use crate::wire::Wire;

/// Any free port of 127.0.0.1.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A scripted server on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
    connections: Arc<AtomicUsize>,
    stop: Arc<Notify>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Origin {
    /// Starts a server that responds to each request with 200 and `name` as the body, on kept-alive
    /// connections.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn with_name(name: &str) -> anyhow::Result<Self> {
        Self::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{name}",
            name.len()
        ))
        .await
    }

    /// Starts a server that reads each whole request and responds with these bytes, on kept-alive
    /// connections.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn answering(response: impl Into<Vec<u8>>) -> anyhow::Result<Self> {
        Self::answering_at(ANY_PORT, response).await
    }

    /// Does the same as [`Origin::answering`] on this address. The address is that of a
    /// [`ReservedPort`] if the server starts after the proxy, or stops and comes back.
    ///
    /// [`ReservedPort`]: crate::ReservedPort
    ///
    /// # Errors
    /// Fails if the address is taken.
    pub async fn answering_at(
        address: SocketAddr,
        response: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let response: Arc<[u8]> = response.into().into();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&requests);
        Self::start(address, requests, move |mut wire, _| {
            let (record, response) = (Arc::clone(&record), Arc::clone(&response));
            async move {
                // The loop ends with the connection. A client that disconnects is not an error.
                while let Ok(request) = wire.request().await {
                    record
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request);
                    wire.send(&response).await?;
                }
                Ok(())
            }
        })
        .await
    }

    /// Starts a server that runs `script` for each connection. The script receives the connection
    /// and its number, from 0.
    ///
    /// The connection closes when the script returns. [`Origin::join`] returns the scripts' errors.
    /// [`Origin::requests`] stays empty, because the script reads requests itself.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn scripted<F, Fut>(script: F) -> anyhow::Result<Self>
    where
        F: Fn(Wire, usize) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self::start(ANY_PORT, Arc::default(), script).await
    }

    async fn start<F, Fut>(
        address: SocketAddr,
        requests: Arc<Mutex<Vec<Message>>>,
        script: F,
    ) -> anyhow::Result<Self>
    where
        F: Fn(Wire, usize) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(address)
            .await
            .context("binding an origin")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(serve(
            listener,
            script,
            Arc::clone(&connections),
            Arc::clone(&stop),
        ));
        Ok(Self {
            address,
            requests,
            connections,
            stop,
            task,
        })
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests received so far, in order.
    pub fn requests(&self) -> Vec<Message> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Stops listening, as a server that is killed does. When this returns, the port is free; the
    /// connections close right after.
    pub async fn stop(mut self) {
        self.task.abort();
        // The task was aborted, which also closes its sockets.
        let _ = (&mut self.task).await;
    }

    /// Stops listening, and waits for every running script to return.
    ///
    /// # Errors
    /// Fails if a script returns an error, panics, or still runs after [`DEADLINE`].
    pub async fn join(mut self) -> anyhow::Result<()> {
        self.stop.notify_one();
        match tokio::time::timeout(DEADLINE, &mut self.task).await {
            Ok(outcome) => outcome.context("an origin panicked")?,
            Err(_) => bail!("an origin's script still runs after {DEADLINE:?}"),
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // The task owns the JoinSet of the scripts, so they end with it.
        self.task.abort();
    }
}

/// Accepts connections until it is stopped, then waits for the scripts.
async fn serve<F, Fut>(
    listener: TcpListener,
    script: F,
    connections: Arc<AtomicUsize>,
    stop: Arc<Notify>,
) -> anyhow::Result<()>
where
    F: Fn(Wire, usize) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("accepting")?;
                let number = connections.fetch_add(1, Ordering::SeqCst);
                running.spawn(script(Wire::over(stream)?, number));
            }
            () = stop.notified() => break,
        }
    }
    drop(listener);
    while let Some(outcome) = running.join_next().await {
        outcome
            .context("a script panicked")?
            .context("a script failed")?;
    }
    Ok(())
}

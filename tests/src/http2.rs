//! HTTP/2 clients and servers without TLS, based on the h2 crate.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::DEADLINE;

/// A client's connection.
#[derive(Debug, Clone)]
pub struct Http2Client {
    send: SendRequest<Bytes>,
}

impl Http2Client {
    /// Connects, and starts HTTP/2 by prior knowledge.
    ///
    /// # Errors
    /// Fails if the connection or the HTTP/2 handshake fails.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Http2Client> {
        let socket = TcpStream::connect(address).await?;
        let (send, connection) = timeout(DEADLINE, h2::client::handshake(socket)).await??;
        tokio::spawn(async move {
            // Requests on the connection also report its error, so this task ignores it.
            let _ = connection.await;
        });
        Ok(Http2Client { send })
    }

    /// Returns a handle with which a test can send any kind of request.
    ///
    /// # Errors
    /// Fails if the connection accepts no further request.
    pub async fn ready(&self) -> anyhow::Result<SendRequest<Bytes>> {
        Ok(timeout(DEADLINE, self.send.clone().ready()).await??)
    }

    /// Sends a GET, and returns the status and body of the response.
    ///
    /// # Errors
    /// Fails if there is no complete response.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::get(format!("http://www.test.tld{path}")).body(())?;
        let (response, _) = self.ready().await?.send_request(request, true)?;
        let (parts, body) = timeout(DEADLINE, response).await??.into_parts();
        Ok((parts.status.as_u16(), read(body).await?))
    }
}

/// Reads a whole body.
///
/// # Errors
/// Fails if the body breaks off.
async fn read(mut body: RecvStream) -> anyhow::Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(piece) = timeout(DEADLINE, body.data()).await? {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// A request that an [`Http2Origin`] has received.
#[derive(Debug)]
pub struct Asked {
    /// The connection's number, from 0.
    pub connection: usize,
    /// The number of the request on its connection, from 0.
    pub number: usize,
    /// The request, with its body.
    pub request: Request<RecvStream>,
    /// The handle for the response.
    pub respond: SendResponse<Bytes>,
}

impl Asked {
    /// Responds with 200 and a body.
    ///
    /// # Errors
    /// Fails if the client is gone.
    pub fn answer(mut self, body: impl Into<Bytes>) -> anyhow::Result<()> {
        let mut stream = self.respond.send_response(Response::new(()), false)?;
        stream.send_data(body.into(), true)?;
        Ok(())
    }
}

/// An HTTP/2 server on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Http2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Http2Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http2Origin {
    /// Starts a server that calls `script` for each request, in a separate task. If `most` is
    /// given, a connection ends with GOAWAY after that number of requests.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn start<F, Fut>(
        builder: h2::server::Builder,
        most: Option<usize>,
        script: F,
    ) -> anyhow::Result<Http2Origin>
    where
        F: Fn(Asked) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, builder.clone(), number, most, script.clone()));
            }
        });
        Ok(Http2Origin {
            address,
            connections,
            task,
        })
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve<F, Fut>(
    socket: TcpStream,
    builder: h2::server::Builder,
    connection: usize,
    most: Option<usize>,
    script: F,
) -> anyhow::Result<()>
where
    F: Fn(Asked) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut http2 = builder.handshake::<_, Bytes>(socket).await?;
    let mut number = 0;
    while let Some(accepted) = http2.accept().await {
        let (request, respond) = accepted.context("the proxy ends the connection in order")?;
        tokio::spawn(script(Asked {
            connection,
            number,
            request,
            respond,
        }));
        number += 1;
        if Some(number) == most {
            http2.graceful_shutdown();
        }
    }
    Ok(())
}

//! `node_backend`: pushes live messages over `WebSocket`s (RFC 6455).
//!
//! Responds to any other request as to the page's `/whoami`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::UPGRADE;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::backend::{self, Answer};
use super::feed::Feed;

const NAME: &str = "node_backend";

/// Longest message accepted from a page, in bytes. A longer message closes the connection (1009).
const MAX_MESSAGE: usize = 4096;

/// Longest message that is sent to all pages, in characters. A longer message is cut.
const MAX_SHOWN: usize = 280;

/// Serves `WebSocket`s and sends ticks, forever.
pub(super) async fn run(listener: TcpListener, feed: Feed, tick: Duration) {
    let numbers = Arc::new(AtomicU64::new(1));
    let ticking = feed.clone();
    let serve = backend::serve(listener, move |request| answer(request, &feed, &numbers));
    tokio::select! {
        () = serve => {}
        () = tick_forever(ticking, tick) => {}
    }
}

async fn tick_forever(feed: Feed, period: Duration) {
    let mut interval = tokio::time::interval(period);
    let mut count = 0_u64;
    loop {
        interval.tick().await;
        count += 1;
        feed.send(&json!({ "type": "tick", "count": count, "pages": feed.pages() }));
    }
}

fn answer(request: Request<Incoming>, feed: &Feed, numbers: &AtomicU64) -> Answer {
    let origin = backend::origin(request.headers());
    let mut answer = if let Some(refusal) = backend::refuse_method(request.method()) {
        refusal
    } else if !request.headers().contains_key(UPGRADE) {
        backend::whoami(NAME, &request)
    } else if origin.as_ref().is_some_and(|it| !backend::is_local(it)) {
        backend::plain(StatusCode::FORBIDDEN, "pages of the demo only\n")
    } else {
        upgrade(request, feed.clone(), numbers)
    };
    backend::finish(NAME, origin, &mut answer);
    answer
}

fn upgrade(mut request: Request<Incoming>, feed: Feed, numbers: &AtomicU64) -> Answer {
    let upgraded = hyper::upgrade::on(&mut request);
    let response = match create_response(&request.map(drop)) {
        Ok(response) => response.map(|()| Full::default()),
        Err(error) => {
            tracing::debug!(%error, "not a WebSocket handshake");
            return backend::plain(StatusCode::BAD_REQUEST, "not a WebSocket handshake\n");
        }
    };
    let number = numbers.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let ended = match upgraded.await {
            Ok(upgraded) => Page::open(upgraded, feed, number).await.talk().await,
            Err(error) => return tracing::debug!(%error, "no upgrade after a 101"),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, number, "a page's WebSocket ended");
        }
    });
    response
}

/// An open page.
struct Page {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    feed: Feed,
    messages: Receiver<Utf8Bytes>,
    recent: Vec<Utf8Bytes>,
    /// Number of the page, by which users distinguish pages.
    number: u64,
}

impl Page {
    async fn open(upgraded: Upgraded, feed: Feed, number: u64) -> Self {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
        let (recent, messages) = feed.subscribe();
        Self {
            socket,
            feed,
            messages,
            recent,
            number,
        }
    }

    /// Exchanges messages until either side closes.
    async fn talk(mut self) -> Result<(), tungstenite::Error> {
        self.send(&json!({
            "type": "hello",
            "served_by": NAME,
            "number": self.number,
            "pages": self.feed.pages(),
        }))
        .await?;
        for record in std::mem::take(&mut self.recent) {
            self.socket.send(Message::Text(record)).await?;
        }
        loop {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Ok(text) => self.socket.send(Message::Text(text)).await?,
                    Err(RecvError::Lagged(count)) => {
                        self.send(&json!({ "type": "missed", "count": count })).await?;
                    }
                    Err(RecvError::Closed) => return self.socket.close(None).await,
                },
                received = self.socket.next() => match received {
                    Some(Ok(Message::Text(text))) => self.say(&text),
                    // The library responds to pings and close frames while it reads.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Sends a message of this page to every page, including this one.
    fn say(&self, text: &str) {
        let text: String = text.chars().take(MAX_SHOWN).collect();
        if !text.trim().is_empty() {
            self.feed.send(&json!({
                "type": "message",
                "from": self.number,
                "text": text.trim(),
            }));
        }
    }

    async fn send(&mut self, message: &Value) -> Result<(), tungstenite::Error> {
        let text = Utf8Bytes::from(message.to_string());
        self.socket.send(Message::Text(text)).await
    }
}

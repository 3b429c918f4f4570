//! The HTTP/2 connections of a worker to an endpoint, each shared by many requests.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Open;
use super::server::Connected;
use crate::http2::client::{Connection, Driver, Stream};

/// Maximum number of requests on one connection before another is opened, even if the server allows
/// more. The limit bounds how many requests fail if a connection is lost. It adds few connections,
/// since each worker has separate connections anyway.
pub(super) const MAX_STREAMS: u32 = 100;

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(super) struct SharedConnections {
    open: RefCell<Vec<Connection>>,
    /// How long an unused connection is kept. `None`: unused connections are not kept.
    max_idle: Cell<Option<Duration>>,
    /// Whether a request is establishing a new connection.
    is_dialling: Cell<bool>,
    /// Wakes the requests that wait for the new connection.
    dialled: Notify,
    /// Whether the server chose HTTP/1.1 for the latest new connection.
    is_http1: Cell<bool>,
}

/// The connections that a request may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// None: the request gets a new connection.
    None,
    /// Only connections that other requests are using.
    InUse,
    /// All connections.
    Any,
}

/// A guard that lives while a request establishes a connection for which others wait.
pub(super) struct Dialling<'a>(&'a SharedConnections);

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.is_dialling.set(false);
        self.0.dialled.notify_waiters();
    }
}

impl SharedConnections {
    /// Changes how long unused connections are kept. With `None`, no existing connection accepts
    /// further requests.
    pub(super) fn set_max_idle(&self, max_idle: Option<Duration>) {
        self.max_idle.set(max_idle);
        if max_idle.is_none() {
            self.open.take();
        }
    }

    /// Returns a stream of the fullest connection that still has room, so that the other
    /// connections become idle.
    pub(super) fn stream(&self, sharing: Sharing) -> Option<Box<Stream>> {
        let mut open = self.open.borrow_mut();
        open.retain_mut(Connection::is_open);
        let mut with_room = open.iter_mut().filter_map(|one| {
            let is_allowed = sharing == Sharing::Any || one.active() > 0;
            (is_allowed && one.has_room()).then_some(&*one)
        });
        let first = with_room.next()?;
        let fullest = with_room.fold(first, |best, one| {
            if one.active() > best.active() {
                one
            } else {
                best
            }
        });
        Some(Box::new(fullest.stream()))
    }

    /// Returns whether another request is establishing a connection that the caller's request can
    /// probably share.
    pub(super) fn is_worth_waiting_for(&self) -> bool {
        self.is_dialling.get() && !self.is_http1.get() && self.max_idle.get().is_some()
    }

    /// Waits until the attempt to connect has ended, with success or failure. The future must be
    /// polled immediately, before any other event: it does not notice an end that precedes its
    /// first poll.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn dialled(&self) {
        self.dialled.notified().await;
    }

    /// Starts an attempt to connect. Other requests wait until the returned guard is dropped.
    pub(super) fn dial(&self) -> Dialling<'_> {
        self.is_dialling.set(true);
        Dialling(self)
    }

    /// Records which HTTP version the server has chosen.
    pub(super) fn chose_http1(&self, is_http1: bool) {
        self.is_http1.set(is_http1);
    }

    /// Adds a new connection, and spawns the task that drives it. Returns a stream of the
    /// connection.
    pub(super) fn add(
        &self,
        connection: Connection,
        driver: Driver,
        server: &str,
        counted: (Connected, Open),
    ) -> Box<Stream> {
        let server = server.to_owned();
        tokio::task::spawn_local(async move {
            if let Some(violation) = driver.await {
                tracing::warn!(
                    server,
                    ?violation,
                    "HTTP/2 connection closed: the server violated the protocol"
                );
            }
            drop(counted);
        });
        let stream = Box::new(connection.stream());
        // If unused connections are not kept, this one closes when this stream ends.
        if self.max_idle.get().is_some() {
            self.open.borrow_mut().push(connection);
        }
        stream
    }

    /// Closes connections that have been idle for too long, and removes those that have ended.
    pub(super) fn sweep(&self) {
        let Some(max_idle) = self.max_idle.get() else {
            return;
        };
        let now = Instant::now();
        self.open.borrow_mut().retain_mut(|connection| {
            let idle = connection.idle_since();
            connection.is_open() && idle.is_none_or(|since| now.duration_since(since) < max_idle)
        });
    }

    /// Returns when the connection that has been idle longest became idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let open = self.open.borrow();
        open.iter().filter_map(Connection::idle_since).min()
    }

    /// Closes the connection that has been idle longest.
    pub(super) fn drop_oldest(&self) {
        let mut open = self.open.borrow_mut();
        let idle = open
            .iter()
            .enumerate()
            .filter_map(|(index, one)| Some((one.idle_since()?, index)));
        if let Some((_, index)) = idle.min() {
            open.swap_remove(index);
        }
    }
}

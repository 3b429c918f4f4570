//! The HTTP/2 connections of a worker to an endpoint, each shared by many requests.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Open;
use super::server::Connected;
use crate::http2::client::{Connection, Driver, Stream};

/// Requests on one connection before another is opened, whatever more the server allows: a lost
/// connection fails no more than these, and each worker has connections of its own.
pub(super) const MAX_STREAMS: u32 = 100;

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(super) struct SharedConnections {
    open: RefCell<Vec<Connection>>,
    /// How long a connection is kept without use; None: not at all.
    max_idle: Cell<Option<Duration>>,
    /// Whether a request is making another.
    is_dialling: Cell<bool>,
    /// Wakes those that wait for it.
    dialled: Notify,
    /// Whether the last one that was made is of HTTP/1.1.
    is_http1: Cell<bool>,
}

/// Which connections a request may have a stream of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// None: it gets a new one.
    None,
    /// Those that others use at the moment.
    InUse,
    /// Every one.
    Any,
}

/// A request that makes a connection, which others wait for.
pub(super) struct Dialling<'a>(&'a SharedConnections);

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.is_dialling.set(false);
        self.0.dialled.notify_waiters();
    }
}

impl SharedConnections {
    /// Changes how long connections are kept. With None none takes a further request.
    pub(super) fn set_max_idle(&self, max_idle: Option<Duration>) {
        self.max_idle.set(max_idle);
        if max_idle.is_none() {
            self.open.take();
        }
    }

    /// A stream of a connection that has room for one: of the fullest, so that the others become
    /// idle.
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

    /// Whether another request is making a connection that this one may get a stream of.
    pub(super) fn is_worth_waiting_for(&self) -> bool {
        self.is_dialling.get() && !self.is_http1.get() && self.max_idle.get().is_some()
    }

    /// Waits until a connection was made, or could not be. To be polled before anything else
    /// happens.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn dialled(&self) {
        self.dialled.notified().await;
    }

    /// Others wait until the returned value is dropped.
    pub(super) fn dial(&self) -> Dialling<'_> {
        self.is_dialling.set(true);
        Dialling(self)
    }

    /// Notes which HTTP the server has chosen.
    pub(super) fn chose_http1(&self, is_http1: bool) {
        self.is_http1.set(is_http1);
    }

    /// Keeps a new connection, and has its bytes moved; a stream of it.
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
                    "an HTTP/2 connection is closed for what its server has sent"
                );
            }
            drop(counted);
        });
        let stream = Box::new(connection.stream());
        // Otherwise it ends with this stream.
        if self.max_idle.get().is_some() {
            self.open.borrow_mut().push(connection);
        }
        stream
    }

    /// Closes what has been idle too long, or has ended.
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

    /// When the connection that has been idle longest became so.
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

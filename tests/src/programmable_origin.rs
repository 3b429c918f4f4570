//! A server whose behavior a test can change while it runs, separately for health checks and for
//! other requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::DEADLINE;
use crate::message::Message;
use crate::origin::Origin;
use crate::wire::Wire;

/// The path of health checks.
const HEALTH: &str = "/health";

/// The reaction of the server to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Responds with this status. The body of a 200 is the server's name.
    Answers(u16),
    /// Responds with a 200 as soon as the behavior changes.
    Holds,
    /// Sends no response, and keeps the connection open.
    Silent,
    /// Closes the connection.
    Closes,
}

/// A server that responds with its name, and whose behavior can change.
#[derive(Debug)]
pub struct ProgrammableOrigin {
    origin: Origin,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    behavior: watch::Sender<Behavior>,
    /// Behaviors for the next checks, in reverse order. The last behavior stays in force.
    checks: Mutex<Vec<Behavior>>,
    record: watch::Sender<Record>,
}

#[derive(Debug, Default)]
struct Record {
    requests: Vec<Message>,
    checks: Vec<Message>,
}

impl ProgrammableOrigin {
    /// Starts a server that responds to everything with 200 at first.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn with_name(name: &str) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            behavior: watch::Sender::new(Behavior::Answers(200)),
            checks: Mutex::new(vec![Behavior::Answers(200)]),
            record: watch::Sender::default(),
        });
        let serving = Arc::clone(&shared);
        let origin = Origin::scripted(move |wire, _| {
            let shared = Arc::clone(&serving);
            async move { shared.serve(wire).await }
        })
        .await?;
        Ok(Self { origin, shared })
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// Sets the behavior for requests from now on. Requests that the server holds get their
    /// response.
    pub fn set(&self, behavior: Behavior) {
        self.shared.behavior.send_replace(behavior);
    }

    /// Sets the behaviors for the next checks, which have the path `/health`. Each check uses the
    /// next behavior, and the last behavior stays in force.
    pub fn set_checks(&self, behaviors: impl IntoIterator<Item = Behavior>) {
        let mut behaviors: Vec<_> = behaviors.into_iter().collect();
        behaviors.reverse();
        *self.shared.checks() = behaviors;
    }

    /// Returns the requests received so far, except checks, in order.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.record.borrow().requests.clone()
    }

    /// Returns the checks received so far.
    pub fn checks(&self) -> Vec<Message> {
        self.shared.record.borrow().checks.clone()
    }

    /// Waits until the server has received `count` requests, not counting checks.
    ///
    /// # Errors
    /// Fails if the requests do not arrive.
    pub async fn reached(&self, count: usize) -> anyhow::Result<()> {
        self.wait(|record| record.requests.len() >= count).await
    }

    /// Waits until the server has received `count` checks.
    ///
    /// # Errors
    /// Fails if the checks do not arrive.
    pub async fn checked(&self, count: usize) -> anyhow::Result<()> {
        self.wait(|record| record.checks.len() >= count).await
    }

    async fn wait(&self, is_there: impl FnMut(&Record) -> bool) -> anyhow::Result<()> {
        let mut record = self.shared.record.subscribe();
        let waiting = timeout(DEADLINE, record.wait_for(is_there)).await;
        waiting.with_context(|| format!("too few requests at {}", self.shared.name))??;
        Ok(())
    }

    /// Stops listening and closes all connections, as a server that is killed does.
    pub async fn stop(self) {
        self.origin.stop().await;
    }
}

impl Shared {
    fn checks(&self) -> MutexGuard<'_, Vec<Behavior>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut wire: Wire) -> anyhow::Result<()> {
        // The loop ends with the connection. A client that disconnects is not an error.
        while let Ok(request) = wire.request().await {
            let is_check = request.head.start_line.contains(HEALTH);
            let behavior = if is_check {
                self.next_check()
            } else {
                *self.behavior.borrow()
            };
            self.record.send_modify(|record| {
                let kind = if is_check {
                    &mut record.checks
                } else {
                    &mut record.requests
                };
                kind.push(request);
            });
            let status = match behavior {
                Behavior::Answers(status) => status,
                Behavior::Holds => {
                    let mut behavior = self.behavior.subscribe();
                    behavior
                        .wait_for(|behavior| *behavior != Behavior::Holds)
                        .await?;
                    200
                }
                Behavior::Silent => {
                    let _ = wire.end().await;
                    return Ok(());
                }
                Behavior::Closes => return Ok(()),
            };
            let body = if status == 200 { &*self.name } else { "" };
            let answer = format!(
                "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if wire.send(answer).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn next_check(&self) -> Behavior {
        let mut checks = self.checks();
        match checks.as_slice() {
            [] => Behavior::Answers(200),
            [last] => *last,
            _ => checks.pop().unwrap_or(Behavior::Silent),
        }
    }
}

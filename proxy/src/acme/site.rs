//! The task of one site: checks the disk, orders a certificate when one is due, and publishes it.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::challenge::ChallengeResponders;
use super::error::OrderError;
use super::http::Client;
use super::order::{self, OrderContext};
use super::schedule;
use super::storage::{State, Storage, StorageError, Stored, blocking};
use crate::config::Acme;
use crate::telemetry::{CertificateOrders, OrderOutcome, chain};
use crate::transport::tls::{Identity, date};

/// Timeout for an order as a whole. It includes slow responses, and the time that the server takes
/// to check challenges and issue the certificate.
const ORDER_TIMEOUT: Duration = Duration::from_mins(10);
/// Maximum interval between two checks of the disk and the clock. In between, another process can
/// renew the certificate, and the clock can be set.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// Maximum interval between two checks while there is no usable certificate.
const EAGER_LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Interval between attempts to take the lock while another process is ordering.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);

/// Receiver of new certificates.
pub trait Publish: Send + Sync + fmt::Debug {
    /// Makes TLS handshakes of `[tls.SITE]` present `identity` for the names in `identity` from now
    /// on.
    fn publish(&self, site: &str, identity: &Identity);
}

/// The status of a site's certificate and orders at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteStatus {
    /// NAME of `[tls.NAME]`.
    pub site: String,
    /// Names of the certificate.
    pub names: Vec<String>,
    /// Time when the certificate in use expires, in seconds since 1970. `None` without a
    /// certificate.
    pub not_after: Option<i64>,
    /// Time when the next order is due, in seconds since 1970. `None` while it is unknown.
    pub next: Option<i64>,
    /// Reason why the last attempt failed. `None` after a success.
    pub error: Option<String>,
}

/// A site's state, owned by its task.
pub(super) struct Site {
    name: String,
    acme: Acme,
    storage: Storage,
    responders: ChallengeResponders,
    publish: Arc<dyn Publish>,
    status: Arc<Mutex<SiteStatus>>,
    orders: Arc<CertificateOrders>,
    /// The published certificate.
    current: Option<Stored>,
    /// The last storage error that was logged.
    reported: Option<String>,
}

/// Outcome of `take_up` for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// The certificate was published.
    New,
    /// The certificate was not published, because it is already in use or not valid.
    Ignored,
}

impl Site {
    /// Creates a site that has not read anything yet.
    pub(super) fn new(
        name: &str,
        acme: &Acme,
        responders: &ChallengeResponders,
        publish: &Arc<dyn Publish>,
        status: &Arc<Mutex<SiteStatus>>,
    ) -> Site {
        Site {
            name: name.to_owned(),
            storage: Storage::new(acme),
            acme: acme.clone(),
            responders: responders.clone(),
            publish: Arc::clone(publish),
            status: Arc::clone(status),
            orders: CertificateOrders::of(name),
            current: None,
            reported: None,
        }
    }

    /// Runs the task, which never ends by itself.
    pub(super) async fn run(mut self) {
        loop {
            let pause = match self.step().await {
                Ok(pause) => {
                    self.reported = None;
                    pause
                }
                // If the storage fails, nothing is ordered: a new certificate could not be stored.
                Err(error) => {
                    self.report(&error);
                    LOOK_INTERVAL
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Does the work that is due. Returns how long to wait before the next call.
    async fn step(&mut self) -> Result<Duration, StorageError> {
        if let Err(pause) = self.look().await? {
            return Ok(pause);
        }
        let storage = self.storage.clone();
        let Some(_lock) = blocking(move || storage.lock()).await? else {
            return Ok(LOCK_INTERVAL);
        };
        // Another process can have completed an order just before this one took the lock.
        match self.look().await? {
            Err(pause) => Ok(pause),
            Ok(state) => {
                self.order(state).await?;
                Ok(Duration::ZERO)
            }
        }
    }

    /// Loads the certificate from disk, and publishes it if it is new. Returns `Ok` with the state
    /// to start from if an order is due, otherwise `Err` with the time to wait.
    async fn look(&mut self) -> Result<Result<State, Duration>, StorageError> {
        let storage = self.storage.clone();
        let read = blocking(move || Ok((storage.certificate(), storage.state()?))).await?;
        let (stored, mut state) = read;
        let stored = match stored {
            Ok(stored) => stored,
            Err(error @ StorageError::Certificate { .. }) => {
                self.report(&error);
                None
            }
            Err(error) => return Err(error),
        };
        let now = now();
        if state.names != self.acme.names {
            // The stored failures belong to other names, so they do not delay this order.
            state = State {
                names: self.acme.names.clone(),
                ..State::default()
            };
        }
        let renewal = stored
            .as_ref()
            .map_or(i64::MIN, |stored| self.renewal(stored));
        if let Some(stored) = stored
            && let Taken::New = self.take_up(stored)
        {
            tracing::info!(tls = self.name, "certificate loaded from storage");
        }
        let due = renewal.max(schedule::believable(now, state.next_try));
        self.update(|status| {
            status.next = Some(due.max(now));
            status.error.clone_from(&state.error);
        });
        if due <= now {
            return Ok(Ok(state));
        }
        let longest = match self.current {
            Some(_) => LOOK_INTERVAL,
            None => EAGER_LOOK_INTERVAL,
        };
        let wait = u64::try_from(due - now).unwrap_or(u64::MAX);
        Ok(Err(Duration::from_secs(wait).min(longest)))
    }

    /// Returns the time when the certificate is to be replaced. If it lacks a name, that time has
    /// already passed.
    fn renewal(&self, stored: &Stored) -> i64 {
        match stored.missing(&self.acme.names) {
            Some(_) => i64::MIN,
            None => schedule::renewal(stored.validity(), stored.chance()),
        }
    }

    /// Publishes the certificate unless it is already in use or not valid.
    fn take_up(&mut self, stored: Stored) -> Taken {
        let is_known = |current: &Stored| current.is_same(&stored);
        if self.current.as_ref().is_some_and(is_known)
            || stored.identity.check_dates(SystemTime::now()).is_err()
        {
            return Taken::Ignored;
        }
        self.publish.publish(&self.name, &stored.identity);
        let not_after = stored.validity().not_after;
        self.update(|status| status.not_after = Some(not_after));
        self.current = Some(stored);
        Taken::New
    }

    /// Orders a certificate and stores the result. The caller holds the lock.
    async fn order(&mut self, mut state: State) -> Result<(), StorageError> {
        state.failures = state.failures.saturating_add(1);
        state.next_try = schedule::next_try(now(), state.failures, None, chance());
        state.error = Some("the last attempt was interrupted".to_owned());
        self.write(&state).await?;
        let names = self.acme.names.join(", ");
        tracing::info!(tls = self.name, names, "ordering a certificate");
        let mut retry_after = None;
        let kept = match self.obtain(&mut state, &mut retry_after).await {
            Ok(stored) => self.keep(stored, &mut state).await,
            Err(error) => Err(error),
        };
        let Err(error) = kept else { return Ok(()) };
        state.next_try = schedule::next_try(now(), state.failures, retry_after, chance());
        let reason = chain(&error);
        self.update(|status| {
            status.next = Some(state.next_try);
            status.error = Some(reason.clone());
        });
        let next_try = date(state.next_try);
        tracing::error!(
            tls = self.name,
            names,
            next_try,
            "cannot obtain a certificate: {reason}"
        );
        state.error = Some(reason);
        self.orders.count(OrderOutcome::Failed);
        self.write(&state).await
    }

    /// Runs an order. Sets `retry_after` to the earliest time for the next request, if the server
    /// specified one.
    async fn obtain(
        &self,
        state: &mut State,
        retry_after: &mut Option<i64>,
    ) -> Result<Stored, OrderError> {
        let acme = self.acme.clone();
        let client = tokio::task::spawn_blocking(move || Client::try_new(&acme)).await;
        let client = client.map_err(|_| StorageError::Interrupted)??;
        let context = OrderContext {
            acme: &self.acme,
            client: &client,
            storage: &self.storage,
            responders: &self.responders,
        };
        let ordered = timeout(ORDER_TIMEOUT, order::obtain(context, state)).await;
        *retry_after = client.retry_after().map(seconds);
        ordered.unwrap_or(Err(OrderError::Timeout))
    }

    /// Stores a certificate and publishes it.
    async fn keep(&mut self, stored: Stored, state: &mut State) -> Result<(), OrderError> {
        let (storage, written) = (self.storage.clone(), stored.clone());
        blocking(move || storage.set_certificate(&written)).await?;
        state.order = None;
        let not_after = date(stored.validity().not_after);
        let names = self.acme.names.join(", ");
        tracing::info!(tls = self.name, names, not_after, "certificate obtained");
        self.orders.count(OrderOutcome::Obtained);
        let is_due = self.renewal(&stored) <= now();
        self.take_up(stored);
        if is_due {
            // Without this error, orders would follow each other without a pause.
            return Err(OrderError::DueAlready);
        }
        let done = State {
            names: self.acme.names.clone(),
            ..State::default()
        };
        self.write(&done).await?;
        Ok(())
    }

    async fn write(&self, state: &State) -> Result<(), StorageError> {
        let (storage, state) = (self.storage.clone(), state.clone());
        blocking(move || storage.set_state(&state)).await
    }

    fn report(&mut self, error: &StorageError) {
        let reason = chain(error);
        self.update(|status| status.error = Some(reason.clone()));
        if self.reported.as_ref() != Some(&reason) {
            tracing::error!(tls = self.name, "certificate storage: {reason}");
            self.reported = Some(reason);
        }
    }

    fn update(&self, change: impl FnOnce(&mut SiteStatus)) {
        change(&mut lock(&self.status));
    }
}

/// Locks a status. The lock is held only for a moment, by the site's task and by readers of the
/// status.
pub(super) fn lock(status: &Mutex<SiteStatus>) -> MutexGuard<'_, SiteStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> i64 {
    seconds(SystemTime::now())
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn chance() -> u16 {
    let [low, high, ..] = RandomState::new().hash_one(0).to_le_bytes();
    u16::from_le_bytes([low, high])
}

//! The keeper: one thread of the process that runs health checks, detects when servers are
//! reachable again, ends ejections, and looks up names.
//!
//! Workers read the keeper's results from atomics. The keeper reads the workers' results whenever a
//! worker wakes it. It serves no requests, so slow work on this thread delays none.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::Condition;
use super::check;
use crate::config::{Check, ServerAddress, ServerState};
use crate::transport::proxy_protocol::Header;
use crate::upstream::cluster::Cluster;
use crate::upstream::connect;
use crate::upstream::discovery::{Moved, Names};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::establish::{Handshake, Limits, Needs};
use crate::upstream::random::Random;
use crate::upstream::server_tls::service_domain;
use crate::upstream::settings::Settings;
use crate::upstream::wake::Wake;

/// Minimum pause between two scans of all endpoints.
const REST: Duration = Duration::from_millis(20);

/// Pause before the first attempt to connect to an unreachable server.
const FIRST_RECOVERY: Duration = Duration::from_secs(1);

/// Maximum pause. The pause doubles with each failure until it reaches this limit.
const MAX_RECOVERY: Duration = Duration::from_secs(10);

/// Maximum number of concurrent checks, each of which takes a descriptor.
const MAX_CHECKS: usize = 64;

/// Number of steps of a slow start.
const SLOW_START_STEPS: u32 = 20;

/// Minimum duration of a step of a slow start.
const MIN_STEP: Duration = Duration::from_millis(100);

/// Handle to the keeper. Clones refer to the same keeper.
#[derive(Debug, Clone)]
pub struct Keeper {
    clusters: watch::Sender<Vec<Arc<Cluster>>>,
    wake: Wake,
}

impl Keeper {
    /// Creates a handle, and the inputs with which the keeper is started. The keeper has no
    /// clusters yet.
    pub fn new() -> (Keeper, KeeperInputs) {
        let (clusters, receiver) = watch::channel(Vec::new());
        let wake = Wake::default();
        let inputs = KeeperInputs {
            clusters: receiver,
            wake: wake.clone(),
        };
        (Keeper { clusters, wake }, inputs)
    }

    /// Replaces the clusters for which the keeper is responsible.
    pub fn keep(&self, clusters: Vec<Arc<Cluster>>) {
        self.clusters.send_replace(clusters);
    }

    /// Returns the handle that wakes the keeper.
    pub fn waker(&self) -> &Wake {
        &self.wake
    }
}

/// The receiving ends of the keeper's channels.
#[derive(Debug)]
pub struct KeeperInputs {
    clusters: watch::Receiver<Vec<Arc<Cluster>>>,
    wake: Wake,
}

impl KeeperInputs {
    /// Runs the keeper on a dedicated thread until its handles are gone. The thread calls `prepare`
    /// first. Names whose addresses have changed are sent to `changed`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self, changed: mpsc::UnboundedSender<Moved>, prepare: fn()) -> io::Result<()> {
        thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                prepare();
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => runtime.block_on(keep(self, changed)),
                    Err(error) => tracing::error!(%error, "cannot start health checks"),
                }
            })?;
        Ok(())
    }
}

/// Notifiers that wake the idle loops of an endpoint: recovery, end of ejections, slow start.
type LoopNotifiers = [Notify; 3];

/// The task of an endpoint, with the inputs with which it was started.
struct EndpointTask {
    task: AbortHandle,
    settings: Arc<Settings>,
    handshake: Arc<Handshake>,
    notifiers: Rc<LoopNotifiers>,
}

async fn keep(mut inputs: KeeperInputs, changed: mpsc::UnboundedSender<Moved>) {
    let mut endpoint_tasks: HashMap<EndpointId, EndpointTask> = HashMap::new();
    let mut tasks: JoinSet<()> = JoinSet::new();
    let random = Rc::new(Random::new());
    let permits = Rc::new(Semaphore::new(MAX_CHECKS));
    let mut names = Names::new(changed, &random);
    loop {
        let clusters = inputs.clusters.borrow_and_update().clone();
        update_tasks(
            &clusters,
            &mut endpoint_tasks,
            &mut tasks,
            &random,
            &permits,
        );
        names.watch(&clusters);
        for cluster in &clusters {
            cluster.free_retired();
        }
        drop(clusters);
        tokio::select! {
            () = inputs.wake.notified() => sleep(REST).await,
            ended = inputs.clusters.changed() => if ended.is_err() { return },
        }
        // Remove the results of aborted tasks.
        while tasks.try_join_next().is_some() {}
    }
}

/// Starts a task for each endpoint that needs one, and aborts the other tasks.
fn update_tasks(
    clusters: &[Arc<Cluster>],
    endpoint_tasks: &mut HashMap<EndpointId, EndpointTask>,
    tasks: &mut JoinSet<()>,
    random: &Rc<Random>,
    permits: &Rc<Semaphore>,
) {
    let mut before = std::mem::take(endpoint_tasks);
    for cluster in clusters {
        let settings = cluster.settings();
        let set = cluster.endpoints();
        for entry in set.endpoints() {
            let endpoint = &entry.endpoint;
            let handshake = set.servers()[entry.server].handshake();
            let known = before.remove(&endpoint.id());
            if !needs_task(endpoint, settings.backend.check.as_ref()) {
                if let Some(known) = known {
                    known.task.abort();
                }
                continue;
            }
            let is_same = |known: &EndpointTask| {
                known.settings.backend.check == settings.backend.check
                    && known.settings.backend.slow_start == settings.backend.slow_start
                    && Arc::ptr_eq(&known.handshake, handshake)
            };
            let known = match known {
                Some(known) if is_same(&known) && !known.task.is_finished() => {
                    known.notifiers.iter().for_each(Notify::notify_one);
                    known
                }
                other => {
                    if let Some(other) = other {
                        other.task.abort();
                    }
                    let notifiers = Rc::<LoopNotifiers>::default();
                    let work = EndpointWork {
                        notifiers: Rc::clone(&notifiers),
                        endpoint: Arc::clone(endpoint),
                        host: host(endpoint.server().address()),
                        handshake: handshake.for_worker(),
                        settings: Arc::clone(&settings),
                        random: Rc::clone(random),
                        permits: Rc::clone(permits),
                    };
                    EndpointTask {
                        task: tasks.spawn_local(work.run()),
                        settings: Arc::clone(&settings),
                        handshake: Arc::clone(handshake),
                        notifiers,
                    }
                }
            };
            endpoint_tasks.insert(endpoint.id(), known);
        }
    }
    for (_, gone) in before {
        gone.task.abort();
    }
}

/// Returns whether an endpoint needs a task.
fn needs_task(endpoint: &Endpoint, check: Option<&Check>) -> bool {
    let is_checked = check.is_some();
    if endpoint.server().state() == ServerState::Maintenance {
        return false;
    }
    let condition = endpoint.condition();
    if !is_checked && matches!(condition, Condition::Down | Condition::GoingDown) {
        // The endpoint's checks have been removed from the configuration.
        let change = endpoint.health().forget_checks();
        endpoint.publish(change, &"it is no longer checked");
    }
    is_checked
        || matches!(condition, Condition::Unreachable | Condition::Ejected)
        || endpoint.health().share() < 100
}

/// Returns the Host field for checks that do not specify one (RFC 9110, section 7.2). It contains
/// neither the path of a Unix socket, nor the service labels of an SRV name.
fn host(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Tcp { .. } => address.to_string(),
        ServerAddress::Srv(name) => service_domain(name).to_owned(),
        ServerAddress::Unix(_) => "localhost".to_owned(),
    }
}

/// The work of an endpoint's task.
struct EndpointWork {
    endpoint: Arc<Endpoint>,
    host: String,
    handshake: Handshake,
    settings: Arc<Settings>,
    random: Rc<Random>,
    /// Permits for checks in progress.
    permits: Rc<Semaphore>,
    /// Notifiers that wake the loops when the state of the endpoint may have changed.
    notifiers: Rc<LoopNotifiers>,
}

impl EndpointWork {
    /// Runs until its task is aborted.
    async fn run(self) {
        let [recoveries, ejections, starts] = &*self.notifiers;
        // The four loops run concurrently.
        tokio::join!(
            self.check(),
            async {
                loop {
                    self.recover().await;
                    recoveries.notified().await;
                }
            },
            async {
                loop {
                    self.end_ejection().await;
                    ejections.notified().await;
                }
            },
            async {
                loop {
                    self.start_slowly().await;
                    starts.notified().await;
                }
            },
        );
    }

    /// Runs checks until the task is aborted, if any checks are configured.
    async fn check(&self) {
        let Some(check) = &self.settings.backend.check else {
            return;
        };
        let endpoint = &self.endpoint;
        // A random pause spreads the first checks over the interval.
        sleep(check.interval.mul_f64(self.random.fraction())).await;
        loop {
            let checked = {
                // The semaphore is never closed.
                let _permit = self.permits.acquire().await;
                check::check(check, endpoint.address(), &self.host, &self.handshake).await
            };
            match checked {
                Ok(()) => {
                    if check.port.is_none() {
                        endpoint.reached();
                    }
                    let change = endpoint.health().check_succeeded(check.rise);
                    endpoint.publish(change, &"a check has succeeded");
                }
                // A lack of descriptors is not the server's fault.
                Err(error) if error.is_exhaustion() => {}
                Err(error) => {
                    let change = endpoint.health().check_failed(check.fall);
                    endpoint.publish(change, &format_args!("a check has failed: {error}"));
                }
            }
            sleep(self.jittered(check.interval)).await;
        }
    }

    /// Ends ejections when they are due. Ready once the endpoint is not ejected.
    async fn end_ejection(&self) {
        while let Some(until) = self.endpoint.health().ejected_until() {
            if Instant::now() < until {
                sleep_until(until).await;
                continue;
            }
            let change = self.endpoint.health().allow_trial();
            self.endpoint.publish(change, &"its ejection has ended");
        }
    }

    /// Tries to connect until the endpoint is reachable again.
    async fn recover(&self) {
        let mut pause = FIRST_RECOVERY;
        let timeouts = &self.settings.backend.timeouts;
        let limits = Limits {
            head: self.settings.backend.limits,
            stall: timeouts.server,
        };
        while self.endpoint.condition() == Condition::Unreachable {
            sleep(self.jittered(pause)).await;
            pause = (pause * 2).min(MAX_RECOVERY);
            let dialled = connect::dial(
                self.endpoint.address(),
                &self.handshake,
                &Header::Local,
                Needs::Any,
                timeouts.connect,
                &limits,
            );
            if dialled.await.is_ok() {
                self.endpoint.reached();
            }
        }
    }

    /// Raises the endpoint's share step by step.
    async fn start_slowly(&self) {
        let health = self.endpoint.health();
        while health.share() < 100 {
            let duration = self.settings.backend.slow_start;
            let step = duration.unwrap_or_default() / SLOW_START_STEPS;
            sleep(step.max(MIN_STEP)).await;
            health.go_on_with_slow_start(duration);
            self.endpoint.server().weights_changed();
        }
    }

    fn jittered(&self, pause: Duration) -> Duration {
        pause.mul_f64(0.9 + 0.2 * self.random.fraction())
    }
}

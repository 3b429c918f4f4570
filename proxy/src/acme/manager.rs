//! The manager, which runs a task for each `[tls.NAME]` with `acme`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::challenge::{ChallengeResponders, HttpChallenges};
use super::site::{Publish, Site, SiteStatus, lock};
use crate::config::Acme;
use crate::transport::tls::Challenges;

/// Pause after a panic in a site's task.
const FAULT_PAUSE: Duration = Duration::from_mins(1);

/// Orders and renews certificates. Dropping it stops all tasks.
#[derive(Debug)]
pub struct Manager {
    responders: ChallengeResponders,
    publish: Arc<dyn Publish>,
    running: Mutex<Sites>,
}

#[derive(Debug, Default)]
struct Sites {
    may_order: bool,
    by_name: HashMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    acme: Acme,
    task: AbortHandle,
    status: Arc<Mutex<SiteStatus>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Manager {
    /// Creates a manager that answers challenges through `http` and `tls`, and hands certificates
    /// to `publish`.
    pub fn new(
        http: Arc<HttpChallenges>,
        tls: Arc<Challenges>,
        publish: Arc<dyn Publish>,
    ) -> Manager {
        Manager {
            responders: ChallengeResponders { http, tls },
            publish,
            running: Mutex::default(),
        }
    }

    /// Allows orders to start. Before this call, [`apply`](Manager::apply) does nothing.
    pub fn begin(&self) {
        self.running().may_order = true;
    }

    /// Orders certificates for these sites and no others. Tasks of unchanged sites continue; the
    /// other tasks are restarted.
    ///
    /// # Panics
    /// If called outside of a Tokio runtime.
    pub fn apply<'a>(&self, sites: impl Iterator<Item = (&'a str, &'a Acme)>) {
        let mut running = self.running();
        if !running.may_order {
            return;
        }
        let mut next = HashMap::new();
        for (name, acme) in sites {
            let known = running.by_name.remove(name);
            let known = known.filter(|known| known.acme == *acme);
            let site = known.unwrap_or_else(|| self.start(name, acme));
            next.insert(name.to_owned(), site);
        }
        running.by_name = next;
    }

    /// Stops all tasks permanently. The next process resumes their orders.
    pub fn stop(&self) {
        *self.running() = Sites::default();
    }

    /// Returns the status of every site, sorted by name.
    pub fn status(&self) -> Vec<SiteStatus> {
        let running = self.running();
        let sites = running.by_name.values();
        let mut status: Vec<_> = sites.map(|site| lock(&site.status).clone()).collect();
        status.sort_by(|one, other| one.site.cmp(&other.site));
        status
    }

    fn start(&self, name: &str, acme: &Acme) -> Running {
        let status = Arc::new(Mutex::new(SiteStatus {
            site: name.to_owned(),
            names: acme.names.clone(),
            ..SiteStatus::default()
        }));
        let site = {
            let (name, acme) = (name.to_owned(), acme.clone());
            let (responders, publish) = (self.responders.clone(), Arc::clone(&self.publish));
            let status = Arc::clone(&status);
            move || Site::new(&name, &acme, &responders, &publish, &status)
        };
        Running {
            acme: acme.clone(),
            task: tokio::spawn(keep_running(name.to_owned(), site)).abort_handle(),
            status,
        }
    }

    fn running(&self) -> MutexGuard<'_, Sites> {
        // Each change is written in one step, so the data behind a poisoned lock is consistent.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a site's task, and restarts it after a panic.
async fn keep_running(name: String, site: impl Fn() -> Site) {
    loop {
        // Dropping the set aborts the site's task together with this one.
        let mut tasks = JoinSet::new();
        tasks.spawn(site().run());
        let _ = tasks.join_next().await;
        tracing::error!(
            tls = name,
            "internal error in the task that manages certificates; it will be restarted"
        );
        tokio::time::sleep(FAULT_PAUSE).await;
    }
}

//! A task for each `[tls.NAME]` with `acme`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::challenge::{Answers, HttpChallenges};
use super::site::{Publish, Site, SiteStatus, lock};
use crate::config::Acme;
use crate::transport::tls::Challenges;

/// Orders and renews. Dropping it stops all tasks.
#[derive(Debug)]
pub struct Manager {
    answers: Answers,
    publish: Arc<dyn Publish>,
    running: Mutex<HashMap<String, Running>>,
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
    /// Answers challenges by `http` and `tls`, and gives certificates to `publish`.
    pub fn new(
        http: Arc<HttpChallenges>,
        tls: Arc<Challenges>,
        publish: Arc<dyn Publish>,
    ) -> Manager {
        Manager {
            answers: Answers { http, tls },
            publish,
            running: Mutex::default(),
        }
    }

    /// Orders for these sites and no others. Sites that have not changed go on; others start anew.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn apply<'a>(&self, sites: impl Iterator<Item = (&'a str, &'a Acme)>) {
        let mut running = self.running();
        let mut next = HashMap::new();
        for (name, acme) in sites {
            let known = running.remove(name);
            let known = known.filter(|known| known.acme == *acme);
            let site = known.unwrap_or_else(|| self.start(name, acme));
            next.insert(name.to_owned(), site);
        }
        *running = next;
    }

    /// Stops all; what they were at goes on with the next process.
    pub fn stop(&self) {
        self.running().clear();
    }

    /// Every site, by name.
    pub fn status(&self) -> Vec<SiteStatus> {
        let running = self.running();
        let status = running.values().map(|site| lock(&site.status).clone());
        let mut status: Vec<_> = status.collect();
        status.sort_by(|one, other| one.site.cmp(&other.site));
        status
    }

    fn start(&self, name: &str, acme: &Acme) -> Running {
        let status = Arc::new(Mutex::new(SiteStatus {
            site: name.to_owned(),
            names: acme.names.clone(),
            ..SiteStatus::default()
        }));
        let site = Site::new(
            name,
            acme,
            self.answers.clone(),
            Arc::clone(&self.publish),
            Arc::clone(&status),
        );
        Running {
            acme: acme.clone(),
            task: tokio::spawn(site.run()).abort_handle(),
            status,
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        // Each change is written in one go.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

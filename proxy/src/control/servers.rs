//! Changes to servers while the process runs: by discovery and by operators.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::certificates::Taken;
use super::{ChangeError, Control, blocking};
use crate::upstream::{Cluster, FileServersOutcome, Moved, ServerOverride};
use crate::worker::Command;

impl Control {
    /// Sends new addresses of server names to the workers, until the keeper has ended.
    pub async fn handle_moves(self, mut moves: mpsc::UnboundedReceiver<Moved>) {
        while let Some(moved) = moves.recv().await {
            let Moved {
                cluster,
                name,
                addresses,
            } = moved;
            self.send_endpoints(&cluster);
            let backend = &**cluster.name();
            tracing::info!(backend, name, addresses, "the addresses of a name changed");
        }
    }

    /// Overrides the state or weight of a server.
    ///
    /// # Errors
    /// [`ChangeError::NoServer`], [`ChangeError::Stopping`].
    pub fn override_server(
        &self,
        backend: &str,
        server: &str,
        server_override: ServerOverride,
    ) -> Result<(), ChangeError> {
        self.ensure_serving()?;
        let clusters = self.clusters();
        let cluster = clusters.iter().find(|cluster| **cluster.name() == *backend);
        let changed = cluster.and_then(|cluster| {
            cluster.set_override(server, server_override)?;
            Some(cluster)
        });
        let no_server = || ChangeError::NoServer(backend.to_owned(), server.to_owned());
        self.send_endpoints(changed.ok_or_else(no_server)?);
        Ok(())
    }

    /// Returns the name and the `servers_file` of each backend that has such a file.
    pub(super) fn server_files(&self) -> Vec<(String, PathBuf)> {
        let state = self.state();
        let backends = state.active.config.backends.iter();
        let files = backends.filter_map(|backend| {
            let path = backend.servers_file.clone()?;
            Some((backend.name.clone(), path))
        });
        files.collect()
    }

    /// Loads the `servers_file` of a backend.
    pub(super) async fn refresh_servers(&self, backend: &str, path: &Path) -> Taken {
        let mut clusters = self.clusters().into_iter();
        let Some(cluster) = clusters.find(|one| **one.name() == *backend) else {
            return Taken::Done;
        };
        let read = {
            let (cluster, path) = (Arc::clone(&cluster), path.to_owned());
            blocking(move || cluster.read_servers(&path)).await
        };
        match read {
            Ok(Ok(FileServersOutcome::InForce)) => {
                self.send_endpoints(&cluster);
                let servers = cluster.server_count();
                tracing::info!(backend, servers, "the servers file is in force");
                Taken::Done
            }
            Ok(Ok(FileServersOutcome::Overtaken)) => Taken::Done,
            Ok(Ok(FileServersOutcome::Stale)) => Taken::TryAgain,
            Ok(Err(error)) => {
                let file = path.display();
                tracing::error!(
                    backend,
                    %file,
                    "the new servers are refused, the current ones stay in force: {error}"
                );
                Taken::Done
            }
            Err(error) => {
                tracing::error!(backend, %error, "the servers file could not be read");
                Taken::TryAgain
            }
        }
    }

    fn send_endpoints(&self, cluster: &Arc<Cluster>) {
        // Hold the lock while sending, so that an older set of endpoints is never sent after a
        // newer one.
        let state = self.state();
        let clusters = &state.active.clusters;
        if !clusters.iter().any(|one| Arc::ptr_eq(one, cluster)) {
            return;
        }
        for worker in &self.0.handles.workers {
            // If the channel is closed, the worker is stopping.
            let _ = worker.send(Command::Endpoints(Box::new(cluster.current())));
        }
    }
}

//! Changes to tables while the process runs: from files and by operators.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::MAX_ATTEMPTS;
use super::certificates::Taken;
use super::superseded::Superseded;
use super::{ChangeError, Control, blocking};
use crate::tables::{Change, Installed, Refreshed, TableState, Tables};

/// Interval of sweeps. A replaced table can occupy memory for this long after the last request that
/// reads it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Control {
    /// Returns the tables in force.
    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.state().active.tables)
    }

    /// Returns the state of each table in force, for display.
    pub fn table_states(&self) -> Vec<TableState> {
        self.tables().states()
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    /// [`ChangeError::Table`].
    pub fn get_entry(&self, table: &str, key: &str) -> Result<String, ChangeError> {
        Ok(self.tables().get(table, key)?)
    }

    /// Sets the value of a key, or deletes the key if `value` is None. The change lasts until the
    /// table's file changes.
    ///
    /// # Errors
    /// [`ChangeError::Table`], [`ChangeError::Stopping`].
    pub async fn change_entry(
        &self,
        table: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ChangeError> {
        self.ensure_serving()?;
        let (tables, name) = (self.tables(), table.to_owned());
        blocking(move || tables.fold(&name)).await??;
        // Hold the lock, so that the backends and the table belong to the same configuration.
        let state = self.state();
        let live = &state.active.live;
        let is_backend = |name: &str| live.find(name).is_some();
        let tables = &state.active.tables;
        Ok(tables.change(table, key, value, &is_backend)?)
    }

    /// Writes a table to its file and returns the file's path.
    ///
    /// # Errors
    /// [`ChangeError::Save`].
    pub async fn save_table(&self, table: &str) -> Result<PathBuf, ChangeError> {
        let (control, name) = (self.clone(), table.to_owned());
        let save = move || {
            // Record under the lock. Otherwise a reload in between would inherit the record of the
            // file as it was before this save.
            let record = |saved| control.state().active.tables.record(saved);
            control.tables().save(&name, record)
        };
        Ok(blocking(save).await??)
    }

    /// Warns about unsaved changes, which are lost when this process ends.
    pub(super) fn warn_about_unsaved_tables(&self) {
        for table in self.table_states() {
            if table.unsaved > 0 {
                tracing::warn!(
                    table = table.name,
                    changes = table.unsaved,
                    "unsaved changes of a table are lost when this process ends"
                );
            }
        }
    }

    /// Returns the name and the file of each table.
    pub(super) fn table_files(&self) -> Vec<(String, PathBuf)> {
        self.tables().files()
    }

    /// Loads the file of a table, with several attempts.
    pub(super) async fn refresh_table(&self, name: &str, path: &Path) -> Taken {
        for _ in 0..MAX_ATTEMPTS {
            match self.try_refresh_table(name, path).await {
                Ok(Some(taken)) => return taken,
                // The tables or the backends have been replaced in the meantime: try again.
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(table = name, %error, "a table could not be reloaded");
                    break;
                }
            }
        }
        Taken::TryAgain
    }

    /// Loads the file of a table, with one attempt. Returns None if the configuration has changed
    /// in the meantime.
    async fn try_refresh_table(
        &self,
        name: &str,
        path: &Path,
    ) -> Result<Option<Taken>, ChangeError> {
        let (tables, live) = {
            let state = self.state();
            let active = &state.active;
            (Arc::clone(&active.tables), Arc::clone(&active.live))
        };
        let refreshed = {
            let (tables, live) = (Arc::clone(&tables), Arc::clone(&live));
            let (name, path) = (name.to_owned(), path.to_owned());
            let is_backend = move |name: &str| live.find(name).is_some();
            blocking(move || tables.refresh(&name, &path, &is_backend)).await?
        };
        let file = path.display();
        let loaded = match refreshed {
            Refreshed::Known => return Ok(Some(Taken::Done)),
            Refreshed::Refused {
                error,
                is_news,
                is_transient,
            } => {
                if is_news {
                    tracing::warn!(
                        table = name,
                        %file,
                        "the new table is refused, the current one stays in force: {error}"
                    );
                }
                return Ok(Some(if is_transient {
                    Taken::TryAgain
                } else {
                    Taken::Done
                }));
            }
            Refreshed::Loaded(loaded) => loaded,
        };
        let installed = {
            let state = self.state();
            let active = &state.active;
            if !Arc::ptr_eq(&active.tables, &tables) || !Arc::ptr_eq(&active.live, &live) {
                return Ok(None);
            }
            tables.install(name, path, loaded)
        };
        if let Installed::InForce(change) = installed {
            announce(&change);
        }
        self.sweep_tables().await;
        Ok(Some(Taken::Done))
    }

    /// Periodically frees the contents of replaced tables until the process ends.
    pub async fn free_replaced_tables(self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            self.sweep_tables().await;
        }
    }

    /// Frees the contents of replaced tables that no request reads any more.
    pub async fn sweep_tables(&self) {
        let (tables, superseded) = {
            let mut state = self.state();
            let superseded = state.superseded.extract_if(.., |one| one.is_over());
            let over: Vec<Superseded> = superseded.collect();
            (Arc::clone(&state.active.tables), over)
        };
        if superseded.is_empty() && !tables.has_replaced() {
            return;
        }
        // Freeing can panic only because of a bug in the allocator.
        let _ = blocking(move || {
            superseded.into_iter().for_each(Superseded::clear);
            tables.sweep();
        })
        .await;
    }
}

/// Logs that a table is in force, and how many manual changes were dropped.
pub(super) fn announce(change: &Change) {
    let Change {
        table,
        file,
        entries,
        dropped,
    } = change;
    let file = file.display();
    if let Some(entries) = entries {
        tracing::info!(table, %file, entries, "the table is in force");
    }
    if *dropped == 0 {
        return;
    }
    let what = if entries.is_some() {
        "a new file was loaded"
    } else {
        "the table is no longer configured"
    };
    tracing::warn!(
        table,
        changes = dropped,
        "unsaved changes of a table are lost: {what}"
    );
}

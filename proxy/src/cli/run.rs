//! `pointsman run`.

use std::path::Path;
use std::sync::Arc;

use super::Exit;
use crate::config::{Config, Source};
use crate::memory;
use crate::process::{self, Inherited, Stopped};
use crate::telemetry::AccessTap;

pub(super) fn run(path: &Path) -> Exit {
    // First of all: what is opened from now on gets other descriptors.
    let inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => return super::fail(&error),
    };
    match super::load(path) {
        Ok((config, source)) => serve(config, source, inherited, None, || {}),
        Err(exit) => exit,
    }
}

/// Serves a configuration; `ready` is called once it listens, `tap` sees the access records.
pub(super) fn serve(
    config: Config,
    source: Source,
    inherited: Inherited,
    tap: Option<AccessTap>,
    ready: impl FnOnce(),
) -> Exit {
    memory::settle(config.worker_count());
    // Held until the end: dropping it writes out what is queued.
    let log = match super::start_log(&config.log, tap) {
        Ok(log) => Arc::new(log),
        Err(exit) => return exit,
    };
    let prepared = match super::prepare(config, source) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let stopped = process::run(prepared, inherited, Arc::clone(&log), ready);
    drop(log);
    match stopped {
        Ok(Stopped::Drained) => Exit::Success,
        Ok(Stopped::Aborted(_)) => Exit::Aborted,
        Err(error) => super::fail(&error),
    }
}

//! `pointsman run`.

use std::path::Path;
use std::sync::Arc;

use super::{Exit, check};
use crate::config::{self, Draft};
use crate::memory;
use crate::process::{self, Inherited, Start, StartError, Stopped};
use crate::telemetry::{self, AccessTap};

pub(super) fn run(path: &Path) -> Exit {
    // Must come first: any file that is opened earlier could get the number of an inherited
    // descriptor.
    let inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => return super::fail(&error),
    };
    let start = match Start::try_new(inherited) {
        Ok(start) => start,
        Err(error) => return super::fail(&error),
    };
    match config::draft(path) {
        Ok(draft) => serve(start, draft, None, || {}),
        Err(errors) => {
            super::print_errors(&errors);
            Exit::Config
        }
    }
}

/// Serves a configuration. Calls `ready` once the proxy serves. `tap` receives the access records.
pub(super) fn serve(
    start: Start,
    draft: Draft,
    tap: Option<AccessTap>,
    ready: impl FnOnce(),
) -> Exit {
    memory::configure_allocator(draft.config.worker_count());
    let served = try_serve(start, draft, tap, ready);
    served.unwrap_or_else(|error| super::fail(&error))
}

fn try_serve(
    mut start: Start,
    draft: Draft,
    tap: Option<AccessTap>,
    ready: impl FnOnce(),
) -> Result<Exit, StartError> {
    let surveyed = start.wait_for(move || {
        let survey = process::survey(&draft.config, &draft.source);
        (draft, survey)
    })?;
    let Some((draft, survey)) = surveyed else {
        return Ok(Exit::Success);
    };
    if draft.mistakes.is_some() || survey.mistakes.is_some() {
        let examined = start.wait_for(move || check::examine(draft, survey))?;
        return Ok(examined.unwrap_or(Exit::Success));
    }
    let Draft { config, source, .. } = draft;
    let mut opened = start.open(&config, &survey)?;
    if let Some(mistakes) = process::review(&config, &source) {
        let reported = opened.wait_for(move || check::report(config, source, Some(mistakes)))?;
        return Ok(reported.unwrap_or(Exit::Success));
    }
    let settings = config.log.clone();
    // Writing can block for as long as the reader of the output does not read.
    let started = opened.wait_for(move || super::start_log(&settings, tap))?;
    // Keep the log until the end: dropping it flushes the queue.
    let log = match started {
        Some(Ok(log)) => Arc::new(log),
        Some(Err(exit)) => return Ok(exit),
        None => return Ok(Exit::Success),
    };
    telemetry::log_panics();
    let prepared = match opened.wait_for(move || super::prepare(config, source))? {
        Some(Ok(prepared)) => prepared,
        Some(Err(exit)) => return Ok(exit),
        None => return Ok(Exit::Success),
    };
    let stopped = opened.serve(prepared, Arc::clone(&log), ready)?;
    Ok(match stopped {
        Stopped::Drained => Exit::Success,
        Stopped::Aborted(_) => Exit::Aborted,
        Stopped::Failed => Exit::Failure,
    })
}

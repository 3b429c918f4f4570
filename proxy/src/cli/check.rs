//! `pointsman check`, and the report of mistakes that prevent the server from starting.

use std::path::Path;

use super::{Exit, lines};
use crate::config::{self, Config, Draft, Errors, Source};
use crate::control::{PrepareError, Prepared};
use crate::process::{self, Survey};

pub(super) fn run(path: &Path) -> Exit {
    match config::draft(path) {
        Ok(draft) => {
            let survey = process::survey(&draft.config, &draft.source);
            let (exit, logged) = lines::collect(|| examine(draft, survey));
            lines::show(&logged);
            exit
        }
        Err(errors) => {
            super::print_errors(&errors);
            Exit::Config
        }
    }
}

/// Prints all mistakes: in the file, on the machine and in the plugins. If this process runs as
/// root, it switches permanently to the configured user.
pub(super) fn examine(draft: Draft, survey: Survey) -> Exit {
    let Draft {
        config,
        source,
        mut mistakes,
    } = draft;
    if let Some(errors) = survey.mistakes {
        errors.add_to(&mut mistakes);
    }
    // If the user is unknown, `mistakes` already contains that.
    let assumed = process::assume_if_root(config.user.as_deref(), config.group.as_deref());
    if let (Err(error), None) = (assumed, &mistakes) {
        return super::fail(&error);
    }
    if let Some(errors) = process::review(&config, &source) {
        errors.add_to(&mut mistakes);
    }
    report(config, source, mistakes)
}

/// Prints `mistakes` and all mistakes in the plugins, in one list.
pub(super) fn report(config: Config, source: Source, mut mistakes: Option<Errors>) -> Exit {
    match Prepared::new(config, source, super::COMPILER) {
        Ok(_) => {}
        Err(PrepareError::Config(errors)) => errors.add_to(&mut mistakes),
        Err(error) => {
            if let Some(errors) = mistakes {
                super::print_errors(&errors);
            }
            return super::fail(&error);
        }
    }
    match mistakes {
        None => Exit::Success,
        Some(errors) => {
            super::print_errors(&errors);
            Exit::Config
        }
    }
}

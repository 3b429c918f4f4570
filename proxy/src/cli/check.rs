//! `pointsman check`.

use std::path::Path;

use super::Exit;

pub(super) fn run(path: &Path) -> Exit {
    let checked = super::load(path).and_then(|(config, source)| super::prepare(config, source));
    match checked {
        Ok(_) => Exit::Success,
        Err(exit) => exit,
    }
}

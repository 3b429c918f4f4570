//! `pointsman check`.

use std::path::Path;

use super::{Exit, lines};

pub(super) fn run(path: &Path) -> Exit {
    let check = || super::load(path).and_then(|(config, source)| super::prepare(config, source));
    let (checked, logged) = lines::collect(check);
    lines::show(&logged);
    match checked {
        Ok(_) => Exit::Success,
        Err(exit) => exit,
    }
}

//! `pointsman demo`.

use super::Exit;
use crate::config;
use crate::demo::{DEFAULT_PORT, Demo, Feed};
use crate::process::{Inherited, Start};

/// Flags of `pointsman demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// Port of the proxy, on loopback
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,
}

pub(super) fn run(flags: &Flags) -> Exit {
    let feed = Feed::default();
    let tap = feed.tap();
    let demo = match Demo::start(feed, flags.port) {
        Ok(demo) => demo,
        Err(error) => return super::fail(&error),
    };
    match config::draft(demo.config()) {
        Ok(draft) => {
            let start = match Start::try_new(Inherited::default()) {
                Ok(start) => start,
                Err(error) => return super::fail(&error),
            };
            super::run::serve(start, draft, Some(tap), || super::print(&demo.banner()))
        }
        Err(errors) => {
            super::print_errors(&errors);
            Exit::Config
        }
    }
}

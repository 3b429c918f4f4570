//! `pointsman demo`.

use std::path::Path;

use super::Exit;
use crate::config::{self, Draft};
use crate::demo::{self, DEFAULT_PORT, Demo, Feed};
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
    let backends = match Demo::start(feed, flags.port) {
        Ok(backends) => backends,
        Err(error) => return super::fail(&error),
    };
    let (page, notifier) = (backends.page(), backends.notifier());
    let text = demo::config_text(flags.port, page, notifier);
    match config::parse(Path::new("demo.toml"), text) {
        Ok((config, source)) => {
            let start = match Start::try_new(Inherited::default()) {
                Ok(start) => start,
                Err(error) => return super::fail(&error),
            };
            let draft = Draft {
                config,
                source,
                mistakes: None,
            };
            super::run::serve(start, draft, Some(tap), || {
                super::print(&demo::banner(flags.port, page, notifier));
            })
        }
        Err(errors) => {
            super::print_errors(&errors);
            Exit::Config
        }
    }
}

//! `cargo xtask fuzz`: runs the targets of `proxy/fuzz` for a while each.
//!
//! Without a sanitizer, which would take a nightly compiler: what is looked for is a panic, a
//! failed check, an endless run, or memory without bounds.

use std::fs;

use anyhow::Context;

use crate::setup::succeed;
use crate::test::{Place, say};

/// Those in `proxy/fuzz/fuzz_targets`.
const TARGETS: [&str; 3] = ["configuration", "admin", "component"];

/// Of which a target may use so much, in MiB: several times what it does.
const MEMORY: u32 = 2048;

/// Flags of this command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this one of configuration, admin and component.
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 100)]
    pub(crate) seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: None,
            seconds: 100,
        }
    }
}

/// Builds the targets, and runs them one after another.
pub(crate) fn run(place: &Place, options: &Options) -> anyhow::Result<()> {
    let target_dir = place.target.join("fuzz");
    for target in TARGETS {
        if options.target.as_ref().is_some_and(|only| only != target) {
            continue;
        }
        let fuzz = place.root.join("proxy/fuzz");
        let corpus = fuzz.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
        say(&format!("{target}: {} s", options.seconds));
        let mut command = place.cargo(["fuzz", "run", "--sanitizer=none", "--codegen-units=16"]);
        command
            .arg("--fuzz-dir")
            .arg(&fuzz)
            .arg("--target-dir")
            .arg(&target_dir)
            .arg(target)
            // What is found is added to the first, and is where the next run goes on.
            .arg(&corpus)
            .arg(fuzz.join("seeds").join(target))
            .arg("--")
            .args(["-verbosity=0", "-print_final_stats=1", "-timeout=30"])
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-max_total_time={}", options.seconds));
        succeed(command)?;
    }
    Ok(())
}

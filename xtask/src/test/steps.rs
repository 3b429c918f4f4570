//! The steps of `cargo xtask test`, in order.

use super::counts::{self, Counts, Runner, Selection};
use crate::place::Place;
use crate::setup::succeed;

/// Tests that `--quick` leaves out, in nextest's filter language.
const NOT_QUICK: &str = "not (test(/^languages::/) | test(/^scenario::/))";

/// The scope of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Full,
    /// For quick iterations: no languages, no browser, no fuzzing.
    Quick,
}

/// One step, with the heading under which it runs.
pub(super) struct Step {
    pub(super) heading: &'static str,
    pub(super) work: fn(&Place, Scope) -> (Counts, anyhow::Result<()>),
    slow: bool,
}

impl Step {
    const fn new(
        heading: &'static str,
        work: fn(&Place, Scope) -> (Counts, anyhow::Result<()>),
    ) -> Self {
        Self {
            heading,
            work,
            slow: false,
        }
    }

    pub(super) fn is_in(&self, scope: Scope) -> bool {
        scope == Scope::Full || !self.slow
    }
}

/// All steps, from quick to slow, so that a mistake shows early; builds come before the steps that
/// use them.
pub(super) const STEPS: &[Step] = &[
    Step::new("format", |place, _| {
        only(succeed(place.cargo(["fmt", "--all", "--check"])))
    }),
    Step::new("tidy", |_, _| {
        only(crate::tidy::run(&crate::tidy::Options::default()))
    }),
    Step::new("dependencies: licences, sources, duplicates", |place, _| {
        // Not `advisories`: see deny.toml.
        let check = ["check", "bans", "licenses", "sources"];
        only(succeed(place.rust_tool("cargo-deny", check)))
    }),
    Step::new("plugins and guests", |_, _| only(crate::plugins::check())),
    Step::new("clippy", |place, _| {
        let mut command = place.cargo(["clippy", "--workspace", "--all-targets"]);
        command.args(["--", "--deny=warnings"]);
        only(succeed(command))
    }),
    Step::new("documentation", |place, _| only(documentation(place))),
    // Separate from the tests, so that the summary shows compiling and running separately. Building
    // the proxy's own tests also builds the binary that the end-to-end tests start.
    Step::new("build", |place, _| {
        let build = ["nextest", "run", "--workspace", "--no-run"];
        only(succeed(place.rust_tool("cargo-nextest", build)))
    }),
    // Plugins in every language come last.
    Step::new("tests", nextest),
    Step::new("examples in the documentation", |place, _| {
        let mut command = place.cargo(["test", "--workspace", "--doc", "--no-fail-fast"]);
        counts::run(&mut command, Runner::Libtest, Selection::All)
    }),
    Step {
        heading: "fuzzing",
        work: |place, _| only(crate::fuzz::run(place, &crate::fuzz::Options::default())),
        slow: true,
    },
];

/// Returns the outcome of a step that counts no tests.
fn only(result: anyhow::Result<()>) -> (Counts, anyhow::Result<()>) {
    (Counts::default(), result)
}

fn documentation(place: &Place) -> anyhow::Result<()> {
    let mut command = place.cargo(["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "--deny=warnings");
    succeed(command)?;
    succeed(place.rust_tool("mdbook", ["build", "docs"]))
}

fn nextest(place: &Place, scope: Scope) -> (Counts, anyhow::Result<()>) {
    let mut command = place.rust_tool("cargo-nextest", ["nextest", "run", "--workspace"]);
    command.arg("--no-fail-fast");
    let selection = match scope {
        Scope::Full => Selection::All,
        Scope::Quick => {
            command.args(["--filterset", NOT_QUICK]);
            Selection::Some
        }
    };
    counts::run(&mut command, Runner::Nextest, selection)
}

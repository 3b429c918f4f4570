//! The steps of `cargo xtask test`, in order.

use super::counts::{self, Counts, Runner, Selection};
use crate::paths::Paths;
use crate::setup::succeed;

/// Tests that `--quick` leaves out, in nextest's filter language.
const NOT_QUICK: &str =
    "not (test(/^languages::/) | test(/^scenario::/) | test(/^demo::a_visitor/))";

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
    pub(super) work: fn(&Paths, Scope) -> (Counts, anyhow::Result<()>),
    slow: bool,
}

impl Step {
    const fn new(
        heading: &'static str,
        work: fn(&Paths, Scope) -> (Counts, anyhow::Result<()>),
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
    Step::new("format", |paths, _| {
        only(succeed(paths.cargo(["fmt", "--all", "--check"])))
    }),
    Step::new("tidy", |_, _| {
        only(crate::tidy::run(&crate::tidy::Options::default()))
    }),
    Step::new("dependencies: licences, sources, duplicates", |paths, _| {
        // `advisories` is left out; see deny.toml.
        let check = ["check", "bans", "licenses", "sources"];
        only(succeed(paths.rust_tool("cargo-deny", check)))
    }),
    Step::new("plugins and guests", |_, _| only(crate::plugins::check())),
    Step::new("clippy", |paths, _| {
        let mut command = paths.cargo(["clippy", "--workspace", "--all-targets"]);
        command.args(["--", "--deny=warnings"]);
        only(succeed(command))
    }),
    Step::new("documentation", |paths, _| only(documentation(paths))),
    // Separate from the tests, so that the summary shows compiling and running separately. Building
    // the proxy's own tests also builds the binary that the end-to-end tests start.
    Step::new("build", |paths, _| {
        let build = ["nextest", "run", "--workspace", "--no-run"];
        only(succeed(paths.rust_tool("cargo-nextest", build)))
    }),
    // Tests of plugins in other languages come last.
    Step::new("tests", nextest),
    Step::new("examples in the documentation", |paths, _| {
        let mut command = paths.cargo(["test", "--workspace", "--doc", "--no-fail-fast"]);
        counts::run(&mut command, Runner::Libtest, Selection::All)
    }),
    Step {
        heading: "fuzzing",
        work: |paths, _| only(crate::fuzz::run(paths, &crate::fuzz::Options::default())),
        slow: true,
    },
];

/// Returns the outcome of a step that counts no tests.
fn only(result: anyhow::Result<()>) -> (Counts, anyhow::Result<()>) {
    (Counts::default(), result)
}

fn documentation(paths: &Paths) -> anyhow::Result<()> {
    let mut command = paths.cargo(["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "--deny=warnings");
    succeed(command)?;
    succeed(paths.rust_tool("mdbook", ["build", "docs"]))
}

fn nextest(paths: &Paths, scope: Scope) -> (Counts, anyhow::Result<()>) {
    let mut command = paths.rust_tool("cargo-nextest", ["nextest", "run", "--workspace"]);
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

//! `host-suffix` in every language: its own tests, the same cases, the same errors, the same
//! scenario in a browser, and 600,000 decisions on one instance without growing memory.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use pointsman_tests::Proxy;
use serde_json::Value;

use super::place::{Place, output, root, tell};
use crate::scenario::Site;

/// Number of decisions: enough for a garbage collector to run many times, and for a leak of one
/// byte per decision to fill whole pages.
const DECISIONS: &str = "600000";

/// Checks the example in one language; `native` is the command with which its README tests the
/// plugin without a sandbox.
async fn check(language: &str, native: &str) -> anyhow::Result<()> {
    let place = Place::new()?;
    let project = root()
        .join("plugins/examples")
        .join(format!("host-suffix-{language}"));
    let component = place.work().join("host-suffix.wasm");
    output(
        plugin(&place, "build")
            .arg(&project)
            .arg("--output")
            .arg(&component),
    )?;
    let mut tests = place.command("bash");
    tests.args(["-euc", native]).current_dir(&project);
    tell(&output(&mut tests)?);
    measure(&place, language, &component)?;

    let site = Site::start().await?;
    let config = site.config("");
    let named = format!("router.plugin = \"{}\"", component.display());
    let config = config.replace("router.plugin = \"host-suffix\"", &named);
    ensure!(
        config.contains(&named),
        "the configuration names the plugin"
    );
    let proxy = Proxy::pointsman(&config).await?;
    site.check(&proxy).await?;
    Ok(())
}

fn plugin(place: &Place, command: &str) -> Command {
    let mut program = place.command("pointsman");
    program.args(["plugin", command]);
    program
}

/// Runs the cases, and many decisions on one instance.
fn measure(place: &Place, language: &str, component: &Path) -> anyhow::Result<()> {
    let cases = root().join("plugins/host-suffix/cases.toml");
    output(
        plugin(place, "test")
            .arg(component)
            .arg("--cases")
            .arg(&cases),
    )?;
    let measured = output(
        plugin(place, "bench")
            .arg(component)
            .arg("--cases")
            .arg(&cases)
            .args(["--count", DECISIONS, "--json"]),
    )?;
    tell(&format!("{language}: {measured}"));
    let figures: Value = serde_json::from_str(&measured)?;
    let figure = |name: &str| figures[name].as_u64().context("a figure");
    assert_eq!(
        figure("memory_after")?,
        figure("memory_midway")?,
        "{figures:#}"
    );
    ensure!(figures["cached_ns"].is_number(), "its decisions are cached");
    Ok(())
}

macro_rules! languages {
    ($($language:ident $native:literal)*) => {
        $(
            #[tokio::test]
            async fn $language() -> anyhow::Result<()> {
                check(stringify!($language), $native).await
            }
        )*
    };
}

languages! {
    javascript "npm test"
    typescript "npm run check && npm test"
    python "python3 -B -m unittest"
    go "go vet . && go test ."
    c "make test"
    cpp "make test"
    zig "python3 -m ziglang build test"
}

/// Checks the bundled plugin from the repository. The browser scenario has a separate test.
#[test]
fn rust() -> anyhow::Result<()> {
    let component = root().join("plugins/host-suffix/host-suffix.wasm");
    measure(&Place::new()?, "rust", &component)
}

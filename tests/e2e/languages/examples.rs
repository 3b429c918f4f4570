//! `host-suffix` in every language: the same cases, the same errors, the same scenario in a
//! browser, and 600,000 decisions on one instance in the same memory.

use anyhow::{Context, ensure};
use pointsman_tests::Proxy;
use serde_json::Value;

use super::place::{Place, output, root, tell};
use crate::scenario::Site;

/// Enough for a collector to run many times, and for a leak of a byte to show as pages.
const DECISIONS: &str = "600000";

async fn check(language: &str) -> anyhow::Result<()> {
    let place = Place::new()?;
    let project = root()
        .join("plugins/examples")
        .join(format!("host-suffix-{language}"));
    let component = place.work().join("host-suffix.wasm");
    let cases = root().join("plugins/host-suffix/cases.toml");
    let plugin = |command: &str| {
        let mut program = place.command("pointsman");
        program.args(["plugin", command]);
        program
    };
    output(
        plugin("build")
            .arg(&project)
            .arg("--output")
            .arg(&component),
    )?;
    output(plugin("test").arg(&component).arg("--cases").arg(&cases))?;

    let measured = output(
        plugin("bench")
            .arg(&component)
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

macro_rules! languages {
    ($($language:ident)*) => {
        $(
            #[tokio::test]
            async fn $language() -> anyhow::Result<()> {
                check(stringify!($language)).await
            }
        )*
    };
}

languages! { javascript typescript python go c cpp zig }
